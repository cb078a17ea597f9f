"""Drafts and shared prefixes save time and change nothing: outputs are those of a prompt asked alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_llmcompare.decoding.engine import generate
from pytest_llmcompare.decoding.request import Request
from pytest_llmcompare.generation import Generation

from .small_models import CONFIGS, PROMPTS, VOCABULARY, Reference, ask, reference

NAMES = (*CONFIGS, "tiny-gpt2")
ENDS = list(range(1, 256, 9))
EXAMPLES = "Q: Sky?\nA: Blue.\nQ: Sun?\nA: "  # long enough to be shared
SETTINGS: dict[str, dict[str, Any]] = {
    "greedy": {"max_new_tokens": 6},
    "eos inside": {"max_new_tokens": 8, "eos_token_id": ENDS},
    "least length": {"max_new_tokens": 6, "min_new_tokens": 3, "eos_token_id": ENDS},
    "drawn": {"max_new_tokens": 6, "do_sample": True, "top_k": 20, "temperature": 1.3},
    "penalty": {"max_new_tokens": 5, "repetition_penalty": 1.7, "no_repeat_ngram_size": 2},
    "whole length": {"max_length": 55, "stop_strings": ["a", "e", "\n"]},
}
Tokens = tuple[int, ...]


def other(token: int) -> int:
    """A token that is not this one."""
    return (token + 1) % 250


DRAFTS: dict[str, Any] = {
    "right": lambda tokens: tokens,
    "empty": lambda tokens: (),
    "wrong first": lambda tokens: (other(tokens[0]), *tokens[1:]),
    "wrong middle": lambda tokens: (
        *tokens[: len(tokens) // 2],
        other(tokens[len(tokens) // 2]),
        *tokens[len(tokens) // 2 + 1 :],
    ),
    "wrong last": lambda tokens: (*tokens[:-1], other(tokens[-1])),
    "too long": lambda tokens: (*tokens, *tokens, 7, 7, 7, *range(90)),
    "too short": lambda tokens: tokens[:-1],
    "end inside": lambda tokens: (*tokens[:1], 257, *tokens[1:]),
    "beyond the vocabulary": lambda tokens: (*tokens[:2], VOCABULARY + 5, -1),
}


def check(reference: Reference, requests: list[Request], found: list[Any]) -> None:
    """Texts, tokens and reasons to stop are equal, likelihoods within what one pass does to them."""
    for request, generation in zip(requests, found, strict=True):
        assert isinstance(generation, Generation), generation
        expected = reference.answer(replace(request, draft=None))
        assert generation.token_ids == expected.tokens
        assert generation.text == expected.text
        assert generation.logprobs == pytest.approx(expected.logprobs, abs=1e-4)
        assert len(generation.margins or ()) == len(expected.tokens)
        assert generation.verified == (request.draft == expected.tokens and not generation.unverified)


def drafted(reference: Reference, requests: list[Request], kind: str) -> list[Request]:
    """The requests, with drafts made of what transformers says."""
    return [replace(request, draft=DRAFTS[kind](reference.answer(request).tokens)) for request in requests]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("name", NAMES)
def test_outputs_do_not_depend_on_drafts(name: str, settings: str) -> None:
    """With drafts of every kind, mixed, each output is transformers' own, after a shared prefix and without one."""
    asked = ask(SETTINGS[settings], [*PROMPTS, *(EXAMPLES + prompt for prompt in PROMPTS)], seed=7)
    kinds = [*DRAFTS, *DRAFTS]
    requests = [drafted(reference(name), [one], kinds[place])[0] for place, one in enumerate(asked)]
    requests[3] = asked[3]
    check(reference(name), requests, generate(reference(name).local, requests))


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("name", ["gpt2", "bloom", "llama", "mistral", "gemma", "gemma2", "qwen2", "mamba", "t5"])
def test_right_drafts_are_confirmed_without_decoding(name: str, settings: str) -> None:
    """A right draft costs one pass, not one per token, on every architecture and in every such setting."""
    local = reference(name).local
    requests = drafted(reference(name), ask(SETTINGS[settings], [EXAMPLES + one for one in PROMPTS], seed=7), "right")
    generate(local, requests)  # so that the model has been tried, after a shared prefix, too
    passes: list[int] = []
    hook = local.model.register_forward_pre_hook(lambda *_: passes.append(1))
    found = generate(local, requests)
    hook.remove()
    check(reference(name), requests, found)
    doubtful = [one.unverified for one in found if isinstance(one, Generation) and not one.verified]
    assert doubtful == []
    assert len(passes) <= len(requests) + 1


@pytest.mark.parametrize("name", ["gpt2", "bloom", "llama", "mistral", "gemma2"])
def test_one_prompt_is_much_longer_than_the_others(name: str) -> None:
    """Rows of a batch may have more padding than they share, once, and more than twice as much."""
    for length in (40, 50, 65):
        texts = ["a", "bc", "Why", "y", "Z", "no", "(k " * 9 + "x" * (length - 27)]
        requests = ask(SETTINGS["greedy"], [EXAMPLES[:20] + text for text in texts])
        check(reference(name), requests, generate(reference(name).local, requests, batch_size=7))


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_any_draft_gives_the_same_output(data: st.DataObject) -> None:
    """Random drafts, some of which begin rightly, change neither a greedy output nor a draw."""
    name = data.draw(st.sampled_from(["gpt2", "llama", "mistral"]))
    kind = data.draw(st.sampled_from(["greedy", "eos inside", "drawn"]))
    asked = ask(SETTINGS[kind], [EXAMPLES + "a", EXAMPLES + "bc", "Why?"], seed=3)
    drafts = st.lists(st.integers(0, VOCABULARY - 1), max_size=9)
    requests = []
    for request in asked:
        right = reference(name).answer(request).tokens
        begin = data.draw(st.integers(0, len(right)))
        requests.append(replace(request, draft=(*right[:begin], *data.draw(drafts))))
    check(reference(name), requests, generate(reference(name).local, requests, batch_size=data.draw(st.integers(0, 3))))
