"""A shortcut that raises costs time and no output: it is logged and said once; under the tests it is fatal."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any

import pytest
import torch
from transformers import GPT2LMHeadModel

from pytest_llmcompare.decoding.engine import Outcome, ShortcutWarning, generate
from pytest_llmcompare.decoding.request import Request
from pytest_llmcompare.decoding.self_check import why_no_batches, why_no_padding, why_not_in_one_pass
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.models.load import LocalModel

from .small_models import PROMPTS, ask, make_model, make_tokenizer

GREEDY = {"max_new_tokens": 4}
EXAMPLES = "one two three four five six seven eight nine "


def new_gpt2() -> LocalModel:
    """A model of its own, to be changed."""
    return LocalModel("gpt2", make_model("gpt2"), make_tokenizer())


def drafted(local: LocalModel, requests: list[Request]) -> list[Request]:
    """The requests with right drafts."""
    found = generate(local, requests, shortcuts=False, batch_size=1)
    return [replace(one, draft=said.token_ids) for one, said in zip(requests, found, strict=True)]  # type: ignore[union-attr]


def texts(outcomes: list[Outcome]) -> list[str]:
    """What was said."""
    return [str(one) for one in outcomes]


def refuse(local: LocalModel, refused: Callable[[dict[str, Any]], bool]) -> None:
    """Let the model raise at passes of a kind."""

    def check(module: object, args: object, kwargs: dict[str, Any]) -> None:
        if refused(kwargs):
            raise TypeError("forward() got an unexpected keyword argument 'cash'")

    local.model.register_forward_pre_hook(check, with_kwargs=True)


SHORTCUTS: dict[str, tuple[bool, Callable[[dict[str, Any]], bool], str]] = {
    "batch": (False, lambda given: len(given["input_ids"]) > 1, "a batch of 7 prompts failed"),
    "drafts": (True, lambda given: given["use_cache"] is False, "reading 7 baselines in one pass failed"),
    "prefix": (
        False,
        lambda given: given["use_cache"] is True and tuple(given["input_ids"].shape) == (1, len(EXAMPLES)),
        "tokens that prompts share failed",
    ),
}
"""Whether there are drafts, at which passes the model raises, and what is said."""


def prepared(name: str) -> tuple[LocalModel, list[Request], list[str]]:
    """A model that has been tried and now refuses a shortcut, what it is asked, and what it says plainly."""
    has_drafts, refused, _ = SHORTCUTS[name]
    local = new_gpt2()
    requests = ask(GREEDY, [EXAMPLES + prompt for prompt in PROMPTS] if name == "prefix" else PROMPTS)
    requests = drafted(local, requests) if has_drafts else requests
    expected = texts(generate(local, requests))
    refuse(local, refused)
    return local, requests, expected


@pytest.mark.parametrize("name", SHORTCUTS)
def test_a_failed_shortcut_is_fatal_under_the_tests(name: str) -> None:
    """A bug in a shortcut can't cost the speed in silence: the exception itself goes through."""
    local, requests, _ = prepared(name)
    with pytest.raises(TypeError, match="cash"):
        generate(local, requests)


@pytest.mark.usefixtures("shortcuts_may_fail")
@pytest.mark.parametrize("name", SHORTCUTS)
def test_a_failed_shortcut_costs_only_time(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """For users outputs are those of the plain way, with one note per model and the traceback in the log."""
    local, requests, expected = prepared(name)
    with caplog.at_level(logging.WARNING), pytest.warns(ShortcutWarning) as said:
        found = [texts(generate(local, requests)) for _ in range(2)]
    assert found == [expected, expected]
    (note,) = {str(one.message) for one in said}
    assert len(said) == 1
    assert SHORTCUTS[name][2] in note
    assert note.startswith("model 'gpt2': ")
    assert "TypeError: forward() got an unexpected keyword argument 'cash'" in note
    assert caplog.records[0].name.startswith("pytest_llmcompare.decoding.")
    assert "Traceback" in caplog.text


def test_a_prompt_that_fails_plainly_too_is_no_fault_of_a_shortcut(caplog: pytest.LogCaptureFixture) -> None:
    """An error that a prompt has by itself ends its batch, and is that prompt's outcome, with no note."""
    local = new_gpt2()
    requests = drafted(local, ask(GREEDY))
    token = local.encode("Z")[0]
    refuse(local, lambda given: bool((given["input_ids"] == token).any()))
    found = generate(local, requests)
    assert [isinstance(one, Generation) for one in found] == ["Z" not in prompt for prompt in PROMPTS]
    assert not caplog.records


class Moving(GPT2LMHeadModel):  # type: ignore[no-untyped-call]
    """A checkpoint's own code that counts positions from the start of the row, padding included."""

    @wraps(GPT2LMHeadModel.forward)
    def forward(self, *args: Any, **given: Any) -> Any:  # type: ignore[override]
        """GPT-2, with positions of its own."""
        given.pop("position_ids", None)
        return super().forward(*args, **given)


class Neighbourly(GPT2LMHeadModel):  # type: ignore[no-untyped-call]
    """A checkpoint's own code in which the rows of a batch change each other."""

    @wraps(GPT2LMHeadModel.forward)
    def forward(self, *args: Any, **given: Any) -> Any:  # type: ignore[override]
        """GPT-2, with scores relative to the batch's."""
        found = super().forward(*args, **given)
        found.logits = found.logits - 0.5 * found.logits.mean(dim=0, keepdim=True)
        return found


@pytest.mark.parametrize(("kind", "rows"), [(Moving, 2), (Neighbourly, 1)])
def test_a_checkpoints_own_code_is_tried_before_batches(kind: type[GPT2LMHeadModel], rows: int) -> None:
    """What no list of architectures can know is found by trying; outputs are those of each prompt alone."""
    local = new_gpt2()
    own: Any = kind(local.model.config)
    own.eval()
    own.load_state_dict(local.model.state_dict())
    local = LocalModel("own", own, make_tokenizer())
    requests = ask(GREEDY, ["a b", "Q", "Why?", "c", *(EXAMPLES + prompt for prompt in PROMPTS)])
    expected = texts(generate(local, requests, shortcuts=False, batch_size=1))
    seen: list[int] = []
    assert why_no_padding(local)
    assert bool(why_no_batches(local)) is (rows == 1)
    with pytest.warns(ShortcutWarning, match="it takes longer"):
        assert texts(generate(local, requests)) == expected
    own.register_forward_pre_hook(lambda _, args, given: seen.append(len(given["input_ids"])), with_kwargs=True)
    assert texts(generate(local, requests)) == expected
    assert (max(seen) > 1) is (rows > 1)


def test_probes_leave_random_numbers_alone() -> None:
    """A user's draws are the same whether a model has been tried or not."""
    before = torch.get_rng_state()
    local = new_gpt2()
    after_making = torch.get_rng_state()
    assert not any((why_not_in_one_pass(local), why_no_padding(local), why_no_batches(local)))
    assert torch.equal(after_making, torch.get_rng_state())
    assert torch.equal(before, after_making)
