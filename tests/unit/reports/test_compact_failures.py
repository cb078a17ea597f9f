"""A failed comparison in a few lines: evidence, old text, new text."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcompare.judgement import Judgement, Verdict
from pytest_llmcompare.records import CaseResult
from pytest_llmcompare.reports.compact_failure import compact_failure, full_failure, old_and_new
from pytest_llmcompare.reports.marked_words import coloured, marked_words
from pytest_llmcompare.reports.style import Page, Styled
from pytest_llmcompare.text import width

from .samples import DRIFTED, HOSTILE, MISSING, case, is_harmless

OLD, NEW = "The capital of France is Paris.", "The capital of France is Lyon, I think."
STALE = Judgement(Verdict.STALE, reason="the prompt changed since the baseline was recorded")
TIE = dataclasses.replace(DRIFTED, margin=1.84, tolerance=0.002)
SIMILAR = Judgement(Verdict.DRIFTED, reason="similarity 0.41, wanted 0.9\nby characters")


def texts(lines: list[Styled]) -> list[str]:
    return [line.text for line in lines]


@pytest.mark.parametrize(
    ("result", "lines"),
    [
        (
            case(text=NEW, baseline=OLD, judgement=TIE),
            [
                "drift @tok 7/8 ' Paris' -> ' Lyon' margin 1.8 (tie: up to 0.002 nats)",
                "- The capital of France is [-Paris-].",
                "+ The capital of France is {+Lyon, I think+}.",
            ],
        ),
        (case(text="Lyon.", baseline=None, judgement=MISSING), [f"missing: {MISSING.reason}", "+ Lyon."]),
        (case(text="", baseline="a", judgement=STALE), [f"stale: {STALE.reason}", "- [-a-]", "+ (no text)"]),
        (
            case(text="a", baseline="b", judgement=SIMILAR),
            ["drift: similarity 0.41, wanted 0.9", "- [-b-]", "+ {+a+}", "by characters"],
        ),
        (
            case(judgement=DRIFTED),
            [
                "drift @tok 7/8 ' Paris' -> ' Lyon'",
                "= Paris.",
                "The texts are equal; the tokens or the finish reasons are not.",
            ],
        ),
    ],
)
def test_a_few_lines(result: CaseResult, lines: list[str]) -> None:
    """Evidence, old, new; a sign before each text."""
    assert texts(compact_failure(result, (), Page(80), coloured=False)) == lines


def test_colour_takes_the_place_of_brackets() -> None:
    """The signs stay; the words that changed are bold."""
    _, old, new = compact_failure(case(text=NEW, baseline=OLD, judgement=DRIFTED), (), Page(80), coloured=True)
    assert (old.text, new.text) == (f"- {OLD}", f"+ {NEW}")
    assert [dict(line.markup) for line in (old, new)] == [{"red": True}, {"green": True}]
    assert [old.text[start:end] for start, end, _ in old.spans] == ["Paris"]
    assert [new.text[start:end] for start, end, _ in new.spans] == ["Lyon, I think"]


def test_long_texts_begin_shortly_before_they_part() -> None:
    """Both at the same place, whatever comes before it."""
    before = "It was the best of times, it was the worst of times. " * 9
    old, new = texts(old_and_new(before + OLD, before + NEW, Page(60), coloured=False))
    assert old == "- …of times. The capital of France is [-Paris-]."
    assert new == "+ …of times. The capital of France is {+Lyon, I think+}."


def test_further_lines_follow() -> None:
    """The message of the user's own assertion, and how many samples failed."""
    lines = texts(
        compact_failure(case(text=NEW, baseline=OLD, judgement=DRIFTED), ["mind this"], Page(80), coloured=True)
    )
    assert lines[3:] == ["mind this"]


def test_in_full_with_the_command() -> None:
    """All lines that differ, coloured by their side, then the command that accepts."""
    result = case(text="a\nb\nd", baseline="a\nb\nc", judgement=DRIFTED)
    lines = full_failure(result, ["mind this"], "pytest --llm-update x", Page(80))
    assert texts(lines)[-4:] == ["  baseline   c", "  candidate  d", "Accept: pytest --llm-update x", "mind this"]
    assert [dict(line.markup) for line in lines[-4:]] == [{"red": True}, {"green": True}, {}, {}]


@pytest.mark.parametrize(
    ("baseline", "candidate", "columns", "line"),
    [
        (OLD, NEW, 80, "The capital of France is [-Paris-]{+Lyon, I think+}."),
        (OLD, NEW, 40, "…France is [-Paris-]{+Lyon, I think+}."),
        (" Yes.", " No, because of the rain.", 30, "[-Yes-]{+No, because of th…+}."),
        ("a b", "a", 30, "a[- b-]"),
        ("", "x\ny", 30, r"{+x\ny+}"),
        ("x" * 90 + "y", "x" * 90 + "z", 24, "…" + "x" * 13 + "[-y-]{+z+}"),
    ],
)
def test_one_line_for_both_texts(baseline: str, candidate: str, columns: int, line: str) -> None:
    """What is gone and what has come, in brackets, with as much around it as there is room for."""
    assert marked_words(baseline, candidate, columns, Page(columns)) == line
    assert width(line) <= columns


def test_marked_words_are_coloured() -> None:
    """Red what is gone, green what has come; a line without them keeps its colour."""
    line = coloured(Styled("≠ is [-Paris-]{+Lyon+}.", {"red": True}))
    assert [(line.text[start:end], *markup) for start, end, markup in line.spans] == [
        ("≠", "red"),
        ("[-Paris-]", "red"),
        ("{+Lyon+}", "green"),
    ]
    assert "".join(text for text, _ in line.parts()) == line.text
    assert coloured(Styled("= Paris.", {"yellow": True})) == Styled("= Paris.", {"yellow": True})


@given(HOSTILE, HOSTILE, st.integers(20, 120), st.booleans(), st.sampled_from(["utf-8", "ascii"]))
def test_texts_cannot_act(baseline: str, candidate: str, columns: int, is_coloured: bool, encoding: str) -> None:
    """Whatever models say, lines are harmless, encodable and no wider than the terminal."""
    page = Page(columns, encoding)
    judged = dataclasses.replace(DRIFTED, baseline_token=baseline, candidate_token=candidate, reason=candidate)
    result = case(text=candidate, baseline=baseline, judgement=judged)
    lines = compact_failure(result, [baseline], page, coloured=is_coloured)
    if baseline != candidate:
        lines.append(page.line(marked_words(baseline, candidate, columns, page)))
    for line in lines:
        assert width(line.text) <= columns
        assert is_harmless(line.text)
        line.text.encode(encoding)
        assert "".join(text for text, _ in line.parts()) == line.text
