"""Word ranges in which two texts differ."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcompare.reports.text_diff import MOST_ALIGNED, Range, word_changes


def parts(text: str, ranges: list[Range]) -> list[str]:
    return [text[start:end] for start, end in ranges]


@pytest.mark.parametrize(
    ("baseline", "candidate", "removed", "added"),
    [
        ("same", "same", [], []),
        ("", "new", [], ["new"]),
        ("Eight legs and no wings.", "Eight arms and two wings.", ["legs", "no"], ["arms", "two"]),
        ("Blue.", "Blue!", ["."], ["!"]),
        ("a b", "a new b", [], ["new "]),
        ("किताब है", "किताबें है", ["किताब"], ["किताबें"]),  # a vowel sign belongs to its letter
        ("I 👍 it", "I 👎 it", ["👍"], ["👎"]),
        ("x\ud800y", "x\ud801y", ["\ud800"], ["\ud801"]),
    ],
)
def test_changed_words(baseline: str, candidate: str, removed: list[str], added: list[str]) -> None:
    """Words, signs and white space are compared one by one."""
    changes = word_changes(baseline, candidate)
    assert (parts(baseline, changes[0]), parts(candidate, changes[1])) == (removed, added)


@given(*[st.text("ab. \né\u0301", max_size=60)] * 2)
def test_what_is_left_is_equal(baseline: str, candidate: str) -> None:
    """Without the changed ranges both texts are the same; the ranges are in order and not empty."""
    rest = []
    for text, ranges in zip((baseline, candidate), word_changes(baseline, candidate), strict=True):
        bounds = [bound for one in ranges for bound in one]
        assert bounds == sorted(set(bounds))
        kept = [0, *bounds, len(text)]
        rest.append("".join(text[start:end] for start, end in zip(kept[::2], kept[1::2], strict=True)))
    assert rest[0] == rest[1]


def test_texts_that_repeat_themselves_take_no_longer() -> None:
    """Small models say the same words again and again, which makes difflib take minutes."""
    loop = "the cat and the dog and " * (MOST_ALIGNED // 12)
    start = time.process_time()
    removed, added = word_changes("x " + loop + "x", "y " + loop.replace("cat", "cow") + "y")
    assert time.process_time() - start < 2
    assert len(removed) == len(added) == 2 + MOST_ALIGNED // 12


def test_very_long_changes_are_one() -> None:
    """Where aligning would take too long, all between the common beginning and end is changed."""
    ours, theirs = ("".join(f"{word}{at} " for at in range(MOST_ALIGNED)) for word in "ab")
    assert word_changes(f"start {ours}end", f"start {theirs}end")[0] == [(6, 6 + len(ours) - 1)]
