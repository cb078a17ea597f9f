"""Verdicts: what a candidate says about its baseline. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from .records import Baseline, Case, Generation, Judgement, Verdict

Item = TypeVar("Item")
Piece = Callable[[int], str]
"""Text of one token id, to show."""


def judge(case: Case, baseline: Baseline | None, candidate: Generation, piece: Piece = str) -> Judgement:
    """Compare a candidate with its baseline.

    Tokens are compared where both sides have them, and the texts in any case: they are what a user sees, and a changed
    tokenizer may make another text of equal tokens. An equal output must also have ended for the same reason, where
    both sides know theirs.

    Args:
        case: What was asked; its hashes tell a stale baseline.
        baseline: The approved generation, or None.
        candidate: Today's generation.
        piece: Text of a token id, for the evidence.

    Returns:
        `identical`, `drifted`, `missing` or `stale`, with the first position that differs.
    """
    if baseline is None:
        return Judgement(Verdict.MISSING, reason="no baseline is recorded for this case")
    stale = stale_reason(case, baseline)
    if stale:
        return Judgement(Verdict.STALE, reason=stale)
    expected, actual = baseline.generation, candidate
    by_text = judge_texts(expected, actual)
    if expected.token_ids is None or actual.token_ids is None:
        return by_text
    by_token = judge_tokens(expected, actual, expected.token_ids, actual.token_ids, piece)
    return by_text if by_token.verdict is Verdict.IDENTICAL is not by_text.verdict else by_token


def stale_reason(case: Case, baseline: Baseline) -> str:
    """Why the baseline answers another question than the case asks; empty where it does not."""
    changed = [
        what
        for what, then, now in (
            ("the prompt or its examples", baseline.input_hash, case.input_hash),
            ("the decoding settings, the seed or the chat template", baseline.settings_hash, case.settings_hash),
        )
        if then != now
    ]
    return f"{' and '.join(changed)} changed since the baseline was recorded" if changed else ""


def judge_tokens(
    expected: Generation, actual: Generation, ours: tuple[int, ...], theirs: tuple[int, ...], piece: Piece
) -> Judgement:
    """Compare token by token; `ours` are the baseline's."""
    at = first_difference(ours, theirs)
    if at is None and same_stop(expected, actual):
        return Judgement(Verdict.IDENTICAL, length=len(ours))
    at = len(ours) if at is None else at
    return Judgement(
        Verdict.DRIFTED,
        position=at,
        length=len(ours),
        baseline_token=piece(ours[at]) if at < len(ours) else end_of(expected),
        candidate_token=piece(theirs[at]) if at < len(theirs) else end_of(actual),
    )


def judge_texts(expected: Generation, actual: Generation) -> Judgement:
    """Compare character by character; the evidence shows the words around the first difference."""
    at = first_difference(expected.text, actual.text)
    if at is None and same_stop(expected, actual):
        return Judgement(Verdict.IDENTICAL, length=len(expected.text), unit="char")
    at = len(expected.text) if at is None else at
    return Judgement(
        Verdict.DRIFTED,
        position=at,
        length=len(expected.text),
        baseline_token=word_at(expected.text, at) or end_of(expected),
        candidate_token=word_at(actual.text, at) or end_of(actual),
        unit="char",
    )


def same_stop(one: Generation, other: Generation) -> bool:
    """Whether both ended for the same reason; a reason that is not known is no difference."""
    return one.stop == other.stop or not one.stop or not other.stop


def end_of(generation: Generation) -> str:
    """What to show where a generation has ended."""
    return f"<{generation.stop or 'end'}>"


def first_difference(one: Sequence[Item], other: Sequence[Item]) -> int | None:
    """Index of the first item that differs, the shorter length where one begins the other, None where equal."""
    for at, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return at
    return None if len(one) == len(other) else min(len(one), len(other))


def word_at(text: str, at: int, most: int = 24) -> str:
    """The word that `at` is in, or the white space that stands there with the word behind it.

    At most `most` characters, that at `at` among them; empty where the text has ended.
    """
    start = at
    if text[at : at + 1].strip():
        while start > max(0, at - most // 2) and not text[start - 1].isspace():
            start -= 1
    shown = text[start : start + most]
    behind = shown.lstrip()
    return shown[: len(shown) - len(behind)] + "".join(behind.split(maxsplit=1)[:1])
