"""How other tools decide whether an output changed."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import torch

from pytest_llmcompare.generation import Generation, first_difference
from pytest_llmcompare.models.load import LocalModel

SIMILAR = 0.9
TOP = 5
Question = tuple[LocalModel, Sequence[int]]
"""A model, and the tokens of its prompt."""


def other_text(then: Generation, now: Generation) -> bool:
    """Exact comparison."""
    return then.text != now.text


def dissimilar(then: Generation, now: Generation) -> bool:
    """Edit similarity below a threshold."""
    return difflib.SequenceMatcher(None, then.text, now.text, autojunk=False).ratio() < SIMILAR


def outside_top(then: Generation, now: Generation, before: Question, after: Question) -> bool:
    """vLLM's rule (`check_logprobs_close` in its `tests/models/utils.py`).

    At the first token that differs, each side's token must be among the other side's likeliest. What follows is not
    compared, nor is an output that only ends earlier.
    """
    ours, theirs = then.token_ids or (), now.token_ids or ()
    at = first_difference(ours, theirs)
    if at is None or at >= min(len(ours), len(theirs)):
        return False
    return ours[at] not in likeliest(after, theirs[:at]) or theirs[at] not in likeliest(before, ours[:at])


@torch.no_grad()
def likeliest(question: Question, output: Sequence[int]) -> list[int]:
    """The likeliest tokens after a prompt and the beginning of its output."""
    model, prompt = question
    scores = model.model(torch.tensor([[*prompt, *output]])).logits[0, -1]  # [vocab]
    tokens: list[int] = scores.topk(TOP).indices.tolist()
    return tokens
