"""Outputs equal those of transformers' pipeline and of its `generate`, called with one prompt at a time."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch

from pytest_llmcompare.decoding.engine import generate
from pytest_llmcompare.decoding.request import Request
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.models.load import LocalModel

from .small_models import CONFIGS, PROMPTS, Reference, ask, make, make_model, make_tokenizer, reference

NAMES = (*CONFIGS, "tiny-gpt2", "tiny-bloom")
ENDS = list(range(1, 256, 9))  # so many tokens end an output that it does end somewhere
SETTINGS: dict[str, dict[str, Any]] = {
    "greedy": {"max_new_tokens": 6},
    "eos inside": {"max_new_tokens": 8, "eos_token_id": ENDS},
    "least length": {"max_new_tokens": 6, "min_new_tokens": 3, "eos_token_id": ENDS},
    "top k": {"max_new_tokens": 5, "do_sample": True, "top_k": 10},
    "top p": {"max_new_tokens": 5, "do_sample": True, "top_k": 0, "top_p": 0.9, "temperature": 1.5},
    "penalty": {"max_new_tokens": 5, "repetition_penalty": 1.7},
    "no repeats": {"max_new_tokens": 6, "no_repeat_ngram_size": 2},
    "no repeats at all": {"max_new_tokens": 4, "no_repeat_ngram_size": 1},
    "whole length": {"max_length": 25},
    "stop strings": {"max_new_tokens": 6, "stop_strings": ["a", "e", "\n", ":", "\ufffd"]},
}


def check(reference: Reference, requests: list[Request], found: list[Any]) -> None:
    """Texts and tokens are equal, likelihoods within what padding does to them."""
    for request, generation in zip(requests, found, strict=True):
        assert isinstance(generation, Generation), generation
        expected = reference.answer(request)
        assert generation.token_ids == expected.tokens
        assert generation.text == expected.text
        assert generation.logprobs == pytest.approx(expected.logprobs, abs=1e-4)
        assert generation.environment == reference.local.environment


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("name", NAMES)
def test_outputs_equal_those_of_a_prompt_asked_alone(name: str, settings: str) -> None:
    """Every architecture and every kind of settings gives transformers' own texts and tokens."""
    requests = ask(SETTINGS[settings], seed=7)
    check(reference(name), requests, generate(reference(name).local, requests))


@pytest.mark.parametrize("name", ["gpt2", "bloom", "llama", "qwen2", "t5", "tiny-gpt2"])
def test_beam_search_equals_transformers_and_has_no_likelihoods(name: str) -> None:
    """A beam search gives transformers' texts and tokens, and no likelihoods, which it does not follow."""
    requests = ask({"max_new_tokens": 5, "num_beams": 3}, PROMPTS[:4])
    for request, found in zip(requests, generate(reference(name).local, requests), strict=True):
        assert isinstance(found, Generation)
        expected = reference(name).answer(request)
        assert (found.text, found.token_ids, found.logprobs) == (expected.text, expected.tokens, None)


@pytest.mark.parametrize("rows", [1, 3, 7])
@pytest.mark.parametrize("name", ["gpt2", "bloom", "llama", "mistral", "mamba", "tiny-bloom"])
def test_batch_size_changes_no_output(name: str, rows: int) -> None:
    """Odd batch sizes give the same texts and tokens."""
    requests = ask({"max_new_tokens": 8, "eos_token_id": ENDS}, [prompt * n for prompt in PROMPTS for n in (1, 2)])
    check(reference(name), requests, generate(reference(name).local, requests, batch_size=rows))


@pytest.mark.parametrize("name", ["gpt2", "bloom", "llama", "gemma", "qwen2"])
def test_models_that_can_tell_no_padding_are_batched(name: str) -> None:
    """Several prompts really go through the model in one pass, no more than asked for."""
    local = reference(name).local
    rows: list[int] = []
    hook = local.model.register_forward_pre_hook(
        lambda _, args, kwargs: rows.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    generate(local, ask({"max_new_tokens": 2}), batch_size=3)
    hook.remove()
    assert max(rows) == 3
    assert sum(rows) >= 2 * len(PROMPTS)


@pytest.mark.parametrize("name", ["mistral", "gemma2", "mamba", "t5"])
def test_models_that_can_tell_padding_are_asked_one_prompt_at_a_time(name: str) -> None:
    """A sliding window, a recurrent state and an encoder keep prompts apart."""
    assert not reference(name).local.is_batchable


@cache
def in_precision(name: str, dtype: torch.dtype) -> Reference:
    """A model in another precision, made once; not to be changed."""
    return Reference(LocalModel(name, make_model(name).to(dtype), make_tokenizer()))


@pytest.mark.parametrize("settings", ["greedy", "eos inside", "top k", "penalty"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", ["gpt2", "llama", "t5"])
def test_low_precision_is_asked_one_prompt_at_a_time(name: str, dtype: torch.dtype, settings: str) -> None:
    """Below float32 neighbours and shared tokens change an output, so it has none, and drafts are not tried."""
    single = in_precision(name, dtype)
    local = single.local
    assert not local.is_batchable
    requests = ask(SETTINGS[settings], ["Q: Sky?\nA: Blue.\nQ: Sun?\nA: " + prompt for prompt in PROMPTS], seed=7)
    found = generate(local, requests)
    check(single, requests, found)
    drafted = [replace(request, draft=single.answer(request).tokens) for request in requests]
    again = generate(local, drafted)
    assert again == found
    precision = str(dtype).removeprefix("torch.")
    why = f"not tried: in {precision} one pass over many tokens rounds in another way than one token at a time"
    assert {(one.verified, one.unverified) for one in again if isinstance(one, Generation)} == {(False, why)}


def test_model_without_a_padding_token_is_batched_all_the_same() -> None:
    """Neither checkpoint nor tokenizer has to know a padding token, nor one that ends an output."""
    local = make("gpt2", pad=False, eos_token_id=None, bos_token_id=None)
    assert local.model.generation_config.pad_token_id is None
    requests = ask({"max_new_tokens": 6})
    check(Reference(local), requests, generate(local, requests))


def test_prompts_of_one_token_and_of_the_whole_context_are_answered_together() -> None:
    """The shortest and the longest possible prompt give what they give alone."""
    local = reference("gpt2").local
    requests = ask({"max_new_tokens": 1}, ["a", "b" * 96, "c" * 95])
    check(reference("gpt2"), requests, generate(local, requests))


def test_settings_may_differ_from_request_to_request() -> None:
    """Requests are answered in their order, each with its own settings."""
    names = ["greedy", "top k", "penalty", "eos inside", "stop strings", "greedy", "top k"]
    requests = [ask(SETTINGS[name], [prompt], seed=3)[0] for name, prompt in zip(names, PROMPTS, strict=True)]
    check(reference("llama"), requests, generate(reference("llama").local, requests))


def test_reason_to_stop_is_told() -> None:
    """An output says whether a token, a stop string or the length ended it."""
    local, prompt = reference("tiny-gpt2").local, "Q: What is the capital of France?\nA:"
    (long,) = generate(local, ask({"max_new_tokens": 4}, [prompt]))
    assert isinstance(long, Generation)
    assert (long.stop, len(long.token_ids or ())) == ("length", 4)
    ends = (long.token_ids or ())[2]
    (ended,) = generate(local, ask({"max_new_tokens": 4, "eos_token_id": ends}, [prompt]))
    assert isinstance(ended, Generation)
    assert ended.stop == "eos"
    assert ended.token_ids == (long.token_ids or ())[: (long.token_ids or ()).index(ends) + 1]
    (stopped,) = generate(local, ask({"max_new_tokens": 4, "stop_strings": long.text[:2]}, [prompt]))
    assert isinstance(stopped, Generation)
    assert stopped.stop == "stop"


def test_rows_that_a_batch_leaves_undecided_are_asked_alone() -> None:
    """Where two tokens are equally likely, a row of a batch is decided as it would be alone."""
    local = LocalModel("gpt2", make_model("gpt2"), make_tokenizer())
    with torch.no_grad():
        local.model.transformer.ln_f.weight.zero_()  # all tokens equally likely, whatever the prompt
    rows: list[int] = []
    requests = ask({"max_new_tokens": 2})
    generate(local, requests)  # so that the model has been tried
    local.model.register_forward_pre_hook(
        lambda _, args, kwargs: rows.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    found = generate(local, requests)
    assert rows.count(1) == 2 * len(PROMPTS)
    check(Reference(local), requests, found)


def test_nothing_is_asked_of_nobody() -> None:
    """No requests give no outcomes."""
    assert generate(reference("gpt2").local, []) == []
