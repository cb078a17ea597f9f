"""Outputs are read along themselves as a later check reads them, and that changes nothing else of them."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch

from pytest_llmcompare.decoding import measure_noise as reading_noise_module
from pytest_llmcompare.decoding.engine import generate
from pytest_llmcompare.decoding.measure_noise import measure_noise
from pytest_llmcompare.errors import GenerationError
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.models.load import LocalModel

from .small_models import PROMPTS, Reference, ask, make
from .test_drafts import EXAMPLES
from .test_paths import forced

SETTINGS: dict[str, dict[str, Any]] = {
    "greedy": {"max_new_tokens": 5},
    "sampled": {"max_new_tokens": 5, "do_sample": True, "temperature": 0.7, "top_k": 5},
    "penalty": {"max_new_tokens": 5, "repetition_penalty": 1.5},
}
PLAIN: dict[str, Any] = {"max_new_tokens": 5}


def outputs_of(local: Any, settings: dict[str, Any], **options: Any) -> list[Generation]:
    """Outputs to some prompts, two of which share their first tokens."""
    requests = ask(settings, [*PROMPTS[:2], *(EXAMPLES + prompt for prompt in PROMPTS[:2])], seed=7)
    outputs = generate(local, requests, **options)
    assert all(isinstance(output, Generation) for output in outputs)
    return [output for output in outputs if isinstance(output, Generation)]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("gpt2", torch.float32),
        ("gpt2", torch.bfloat16),
        ("mistral", torch.float32),
        ("llama", torch.float16),
        ("t5", torch.bfloat16),
    ],
)
def test_read_as_a_float32_copy_says(name: str, dtype: torch.dtype, settings: str) -> None:
    """Whatever was written, and by which settings, the log-probs are those of the model itself, unprocessed."""
    local = make(name)
    local.model.to(dtype)
    written = outputs_of(local, SETTINGS[settings])
    outputs = outputs_of(local, SETTINGS[settings], read=True)
    assert [output.as_read for output in written] == [None] * len(written)
    assert outputs == written
    copied = Reference(replace(local, model=copy.deepcopy(local.model).float()))
    requests = ask(PLAIN, [*PROMPTS[:2], *(EXAMPLES + prompt for prompt in PROMPTS[:2])])
    for request, output in zip(requests, outputs, strict=True):
        tokens = output.token_ids or ()
        scores = forced(copied, replace(request, draft=tokens))
        expected = scores.gather(-1, torch.tensor(tokens)[:, None])[:, 0].tolist()
        assert output.as_read == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_check_reads_the_same(settings: str) -> None:
    """The log-probs along a baseline are those that were read when it was written, up to noise."""
    local = make("llama")
    local.model.bfloat16()
    recorded = outputs_of(local, SETTINGS[settings], read=True)
    requests = ask(SETTINGS[settings], [*PROMPTS[:2], *(EXAMPLES + prompt for prompt in PROMPTS[:2])], seed=7)
    drafts = [replace(one, draft=output.token_ids) for one, output in zip(requests, recorded, strict=True)]
    for then, now in zip(recorded, generate(local, drafts), strict=True):
        assert isinstance(now, Generation)
        assert now == then
        assert now.path is not None
        assert now.as_read == now.path.as_read == pytest.approx(then.as_read, abs=1e-5)


@pytest.mark.parametrize("settings", [{"num_beams": 2}, {"max_new_tokens": 1, "eos_token_id": list(range(256))}])
def test_what_cannot_be_read_is_as_before(settings: dict[str, Any]) -> None:
    """Beam search chooses by another measure; an output may be its end alone."""
    local = make("gpt2")
    asked = {"max_new_tokens": 4, **settings}
    read = [output.as_read for output in outputs_of(local, asked, read=True)]
    assert read == [None] * 4 if "num_beams" in settings else all(len(one or ()) == 1 for one in read)


def test_errors_pass_through() -> None:
    """An outcome without an output has nothing to read."""
    requests = ask(PLAIN, ["x" * 95, "x"])
    error, output = generate(make("gpt2"), requests, read=True)
    assert isinstance(error, GenerationError)
    assert isinstance(output, Generation)
    assert output.as_read is not None


def test_more_outputs_than_are_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read some at a time; each comes once."""
    monkeypatch.setattr("pytest_llmcompare.decoding.read_outputs.HELD_BACK", 3)
    outputs = generate(make("gpt2"), ask(PLAIN, PROMPTS), read=True)
    assert [isinstance(one, Generation) and len(one.as_read or ()) for one in outputs] == [5] * len(PROMPTS)


@pytest.mark.parametrize(
    ("name", "dtype"), [("llama", torch.float32), ("llama", torch.bfloat16), ("t5", torch.float32)]
)
def test_noise_of_reading(name: str, dtype: torch.dtype) -> None:
    """Read one by one and in pairs, log-probs move by little; without outputs that were read nothing is known."""
    local = make(name)
    local.model.to(dtype)
    requests = ask(PLAIN, PROMPTS[:3])
    outputs = [output for output in generate(local, requests, read=True) if isinstance(output, Generation)]
    noise = measure_noise(local, list(zip(requests, outputs, strict=True)))
    assert noise is not None
    assert 0 <= noise < 1e-5
    unread = [replace(output, as_read=None) for output in outputs]
    assert measure_noise(local, list(zip(requests, unread, strict=True))) is None


@pytest.mark.parametrize(
    "settings",
    [
        {"do_sample": True, "temperature": 1.0, "top_k": 250},
        {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 0.999},
        {"repetition_penalty": 1.0001},
        {"min_new_tokens": 5, "eos_token_id": [257]},
        {"suppress_tokens": [3, 4]},
    ],
)
def test_processors_that_hardly_change_log_probs_are_no_noise(settings: dict[str, Any]) -> None:
    """Otherwise the model verdict would take every change of that size for noise."""
    local = make("llama")
    requests = ask({"max_new_tokens": 5, **settings}, PROMPTS, seed=7)
    outputs = [output for output in generate(local, requests, read=True) if isinstance(output, Generation)]
    moved = [
        abs(one - other)
        for output in outputs
        for one, other in zip(output.logprobs or (), output.as_read or (), strict=True)
    ]
    assert max(moved) > 1e-5
    assert (measure_noise(local, list(zip(requests, outputs, strict=True))) or 0) < 2e-6


def test_few_outputs_without_processors_are_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs are read again as often as without them, if fewer than these show what writing moves."""
    local = make("llama")
    lengths: list[int] = []
    read = reading_noise_module._read

    def counted(model: LocalModel, answered: Any) -> list[tuple[float, ...]]:
        lengths.append(len(answered))
        return read(model, answered)

    monkeypatch.setattr(reading_noise_module, "_read", counted)
    for processed, expected in ((6, 8), (0, 4)):
        requests = [
            *ask({"max_new_tokens": 5, "repetition_penalty": 1.5}, PROMPTS[:processed]),
            *ask(PLAIN, PROMPTS[processed:7]),
        ]
        outputs = [output for output in generate(local, requests, read=True) if isinstance(output, Generation)]
        lengths.clear()
        assert measure_noise(local, list(zip(requests, outputs, strict=True)))
        assert lengths.count(1) == expected  # the last of seven makes no pair


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("t5", torch.float32),
        ("t5", torch.bfloat16),
        ("llama", torch.float32),
        ("llama", torch.float16),
        ("qwen2", torch.bfloat16),
        ("gemma", torch.float32),
    ],
)
def test_noise_is_what_another_attention_moves(name: str, dtype: torch.dtype) -> None:
    """Outputs of an encoder, too, which are always read one by one; what is measured stays the same."""
    local = make(name)
    local.model.to(dtype)
    answered = [
        (request, output)
        for request, output in zip(ask(PLAIN, PROMPTS), generate(local, ask(PLAIN, PROMPTS), read=True), strict=True)
        if isinstance(output, Generation)
    ]
    noise = measure_noise(local, answered)
    assert noise == measure_noise(local, answered)
    local.model.set_attn_implementation("eager")
    squares = [
        (now - then) ** 2
        for pair in answered
        for then, now in zip(pair[1].as_read or (), reading_noise_module._read(local, [pair])[0], strict=True)
    ]
    moved = (sum(squares) / len(squares)) ** 0.5
    assert noise is not None
    assert 0 < moved < 2 * noise
    assert noise < 10 * moved


def test_models_are_as_before_when_their_noise_is_known() -> None:
    """No hook stays."""
    local = make("mistral")
    outputs = [one for one in generate(local, ask(PLAIN, PROMPTS), read=True) if isinstance(one, Generation)]
    measure_noise(local, list(zip(ask(PLAIN, PROMPTS), outputs, strict=True)))
    assert not any(part._forward_hooks for part in local.model.modules())
    assert generate(local, ask(PLAIN, PROMPTS), read=True) == outputs
