"""What a model says along a draft is what teacher forcing by hand gives, whatever the model's own output is."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from pytest_llmcompare.decoding.engine import EngineWarning, generate
from pytest_llmcompare.decoding.generation_config import configuration
from pytest_llmcompare.decoding.request import Request
from pytest_llmcompare.generation import Generation, Path
from pytest_llmcompare.models.load import transformers_quiet

from .small_models import PROMPTS, Reference, ask, make, reference
from .test_drafts import DRAFTS, ENDS, EXAMPLES, SETTINGS

WRONG = ("right", "wrong first", "wrong middle", "wrong last", "too short")


def forced(reference: Reference, request: Request) -> Tensor:
    """Processed log-probabilities [draft, vocab] after each part of a draft, from one whole pass per position."""
    draft = request.draft or ()
    for at in range(len(draft)):
        if key_of(request, at) not in reference.rows:  # drafts of several kinds begin alike
            reference.rows[key_of(request, at)] = forced_row(reference, request, list(draft[:at]))
    return torch.stack([reference.rows[key_of(request, at)] for at in range(len(draft))])


def key_of(request: Request, at: int) -> str:
    """All that the log-probabilities after a part of a draft depend on."""
    return repr(replace(request, draft=(request.draft or ())[:at], seed=None))


def forced_row(reference: Reference, request: Request, given: list[int]) -> Tensor:
    """Processed log-probabilities [vocab] after these tokens of an output."""
    model = reference.local.model
    prompt = reference.local.tokenizer(request.prompt)["input_ids"]
    if model.config.is_encoder_decoder:
        start = [model.config.decoder_start_token_id, *given]
        inputs = {"input_ids": torch.tensor([prompt]), "decoder_input_ids": torch.tensor([start])}
    else:
        start = [*prompt, *given]
        inputs = {"input_ids": torch.tensor([start])}
    with torch.no_grad():
        raw = model(**inputs).logits[:, -1].float()
    return processed(reference, configuration(request.gen_config), prompt, start, raw)[0].log_softmax(-1)


def processed(reference: Reference, config: Any, prompt: list[int], start: list[int], raw: Tensor) -> Tensor:
    """Scores as transformers' own processors leave them."""
    model = reference.local.model
    caught: list[Tensor] = []

    def catch(
        model: Any, input_ids: Tensor, logits_processor: Any, stopping_criteria: Any, generation_config: Any, **_: Any
    ) -> Tensor:
        caught.append(logits_processor(torch.tensor([start]), raw))
        return input_ids

    with transformers_quiet():
        ids = torch.tensor([prompt])
        model.generate(ids, generation_config=config, custom_generate=catch, tokenizer=reference.local.tokenizer)
    return caught[0]


def drafted(reference: Reference, settings: dict[str, Any], kind: str) -> list[Request]:
    """Requests with drafts of a kind, two of the prompts after a prefix that can be shared."""
    asked = ask(settings, [*PROMPTS[:3], *(EXAMPLES + prompt for prompt in PROMPTS[:2])], seed=7)
    return [replace(one, draft=DRAFTS[kind](reference.answer(one).tokens)) for one in asked]


@pytest.mark.parametrize("settings", ["greedy", "drawn", "penalty", "least length"])
@pytest.mark.parametrize("name", ["tiny-gpt2", "bloom", "llama", "mistral", "mamba", "t5"])
def test_a_path_is_what_teacher_forcing_gives(name: str, settings: str) -> None:
    """Choices, log-probabilities, margins and leads at every position, also after the draft was left."""
    model = reference(name)
    for kind in WRONG:
        requests = drafted(model, SETTINGS[settings], kind)
        for request, output in zip(requests, generate(model.local, requests), strict=True):
            assert isinstance(output, Generation)
            assert output.path is not None, output.unverified
            check(output.path, forced(model, request), request)
            if request.draft == output.token_ids:
                assert output.path.choices == output.token_ids
                assert output.path.stop == output.stop


def check(path: Path, expected: Tensor, request: Request) -> None:
    """Compare a path with log-probabilities [draft, vocab]."""
    draft = request.draft or ()
    count = len(path.choices)
    assert path.tokens == draft
    assert path.draws is bool(request.gen_config.get("do_sample"))
    assert count == len(draft) or path.stop
    rows = expected[:count]
    given = rows.gather(-1, torch.tensor(draft[:count])[:, None])[:, 0]
    best = rows.topk(2).values
    assert path.logprobs == pytest.approx(given.tolist(), abs=1e-4)
    assert path.margins == pytest.approx((best[:, 0] - given).tolist(), abs=1e-4)
    assert path.leads == pytest.approx((best[:, 0] - best[:, 1]).tolist(), abs=1e-4)
    if not path.draws:
        assert path.choices == tuple(rows.argmax(-1).tolist())
    assert path.scale > 0


def test_a_path_ends_where_the_output_would() -> None:
    """An end-of-sequence token inside a draft ends it; what follows is not read."""
    model = reference("llama")
    (asked,) = ask({"max_new_tokens": 6, "eos_token_id": ENDS}, ["x"])
    inside = (30, ENDS[3], 31, 32)
    (output,) = generate(model.local, [replace(asked, draft=inside)])
    assert isinstance(output, Generation)
    assert output.path is not None
    assert (output.path.tokens, len(output.path.choices), output.path.stop) == (inside, 2, "eos")


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("gpt2", torch.bfloat16),
        ("gpt2", torch.float16),
        ("llama", torch.bfloat16),
        ("gemma2", torch.bfloat16),
        ("t5", torch.bfloat16),
    ],
)
def test_coarse_precision_is_read_in_float32(name: str, dtype: torch.dtype) -> None:
    """Outputs are what the checkpoint writes; a path is that of its float32 copy, after shared tokens, too."""
    local = make(name)
    local.model.to(dtype)
    copied = Reference(replace(local, model=copy.deepcopy(local.model).float()))
    asked = drafted(Reference(local), {"max_new_tokens": 5}, "right")
    plain = generate(local, [replace(one, draft=None) for one in asked])
    written = [output.token_ids for output in plain if isinstance(output, Generation)]
    for kind in ("right", "wrong middle"):
        requests = [replace(one, draft=DRAFTS[kind](one.draft)) for one in asked]
        for request, output, tokens in zip(requests, generate(local, requests), written, strict=True):
            assert isinstance(output, Generation)
            assert output.token_ids == tokens
            assert "rounds in another way than one token at a time" in output.unverified
            assert output.path is not None
            check(output.path, forced(copied, request), request)
            assert output.as_read == (output.path.logprobs if kind == "right" else None)


def test_coarse_precision_that_cannot_be_read_in_float32() -> None:
    """It is read as it is, and a warning names the module."""
    local = make("mamba")
    local.model.bfloat16()
    requests = drafted(Reference(local), {"max_new_tokens": 5}, "right")
    with pytest.warns(EngineWarning, match=r"log-probs are read in bfloat16.* after backbone\.norm_f"):
        outputs = generate(local, requests)
    for request, output in zip(requests, outputs, strict=True):
        assert isinstance(output, Generation)
        assert output.path is not None
        expected = forced(Reference(local), request).gather(-1, torch.tensor(request.draft)[:, None])[:, 0]
        assert output.path.logprobs == pytest.approx(expected.tolist(), abs=0.5)


@pytest.mark.parametrize("settings", [{"num_beams": 2}, {"use_cache": False}])
def test_no_path_where_a_pass_cannot_tell(settings: dict[str, Any]) -> None:
    """Beam search looks at more than one output."""
    model = reference("gpt2")
    requests = drafted(model, {"max_new_tokens": 4, **settings}, "right")
    assert all(isinstance(output, Generation) and output.path is None for output in generate(model.local, requests))
