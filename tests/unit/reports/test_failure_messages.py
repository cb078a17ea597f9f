"""What a failed comparison says."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcompare.judgement import AssertionResult, Judgement, Verdict
from pytest_llmcompare.reports.messages import failure_lines, headline
from pytest_llmcompare.reports.messages import test_name as name_of
from pytest_llmcompare.reports.text_diff import COLUMNS, MOST_SHOWN, common_ends, difference
from pytest_llmcompare.text import width

from .samples import DRIFTED, HOSTILE, MISSING, case, is_harmless

COMMAND = "pytest --llm-update 'tests/test_geo.py::test_geo[distilgpt2-paris]'"
STALE = Judgement(Verdict.STALE, reason="the prompt or its examples changed since the baseline was recorded")
ERROR = Judgement(Verdict.ERROR, reason="row 3: the model raised ValueError\nLook at its code.")

MESSAGES = {
    "drifted": (
        case(
            text="The capital of France is Lyon.",
            baseline="The capital of France is Paris.",
            judgement=Judgement(Verdict.DRIFTED, 6, 24, " Paris", " Lyon"),
        ),
        """\
drift @tok 7/24 ' Paris' -> ' Lyon'
test_geo[distilgpt2-paris] drifted at token 7 of 24: ' Paris' -> ' Lyon'
  baseline   The capital of France is Paris.
  candidate  The capital of France is Lyon.
Accept: pytest --llm-update 'tests/test_geo.py::test_geo[distilgpt2-paris]'""",
    ),
    "drifted, several lines": (
        case(
            text="Blue.\n\nQ: What colour is grass?\nA: Green.\nQ: And blood?\nA: Red.\nQ: Snow?",
            baseline="Blue.\n\nQ: What color is grass?\nA: Green.\nQ: And blood?\nA: Red.\nQ: Snow?",
            judgement=Judgement(Verdict.DRIFTED, 5, 24, " color", " colour"),
        ),
        """\
drift @tok 6/24 ' color' -> ' colour'
test_geo[distilgpt2-paris] drifted at token 6 of 24: ' color' -> ' colour'
             Blue.

  baseline   Q: What color is grass?
  candidate  Q: What colour is grass?
             A: Green.
             Q: And blood?
             … 2 equal lines
Accept: pytest --llm-update 'tests/test_geo.py::test_geo[distilgpt2-paris]'""",
    ),
    "drifted, characters": (
        case(
            text="the \x1b[31mwhole",
            baseline="the full",
            judgement=Judgement(Verdict.DRIFTED, 4, 8, "full", "\x1b[31mwhole", "char"),
        ),
        r"""drift @char 5/8 'full' -> '\x1b[31mwhole'
test_geo[distilgpt2-paris] drifted at character 5 of 8: 'full' -> '\x1b[31mwhole'
  baseline   the full
  candidate  the \x1b[31mwhole
Accept: pytest --llm-update 'tests/test_geo.py::test_geo[distilgpt2-paris]'""",
    ),
    "drifted after the end": (
        case(text="Paris.", baseline="Paris.", judgement=Judgement(Verdict.DRIFTED, 3, 3, "<eos>", "<length>")),
        """\
drift after tok 3 <eos> -> <length>
test_geo[distilgpt2-paris] drifted after the baseline's end (3 tokens): <eos> -> <length>
  both       Paris.
  The texts are equal; the tokens or the finish reasons are not.
Accept: pytest --llm-update 'tests/test_geo.py::test_geo[distilgpt2-paris]'""",
    ),
    "missing": (
        case(text="Paris. ", baseline=None, judgement=MISSING),
        r"""missing: no baseline is recorded for this case
test_geo[distilgpt2-paris] has nothing to compare with; today's output:
  candidate  Paris.\x20
Record: pytest --llm-update 'tests/test_geo.py::test_geo[distilgpt2-paris]'""",
    ),
    "stale": (
        case(text="Paris.", baseline="", judgement=STALE),
        """\
stale: the prompt or its examples changed since the baseline was recorded
test_geo[distilgpt2-paris] is not comparable: the prompt or its examples changed since the baseline was recorded
  baseline   (no text)
  candidate  Paris.
Accept: pytest --llm-update 'tests/test_geo.py::test_geo[distilgpt2-paris]'""",
    ),
    "error": (
        case(text=None, baseline=None, judgement=ERROR),
        """\
error: row 3: the model raised ValueError
test_geo[distilgpt2-paris] compared nothing
  Look at its code.""",
    ),
    "no judgement": (
        case(text=None, baseline=None),
        """\
error: the test ended before it compared
test_geo[distilgpt2-paris] compared nothing""",
    ),
}


def test_nothing_is_accepted_while_an_assertion_fails() -> None:
    """An update option writes no such output, so the command is for later."""
    failed = (AssertionResult("json", passed=False, why="the output is not JSON"),)
    for judgement, advice in ((MISSING, "Record"), (DRIFTED, "Accept")):
        result = replace(case(text="Lyon", judgement=judgement), assertions=failed)
        assert failure_lines(result, COMMAND)[-1] == f"{advice} once its assertions pass: {COMMAND}"


@pytest.mark.parametrize("name", MESSAGES)
def test_message(name: str) -> None:
    """A message has the verdict, the test, both texts and the command to go on with."""
    result, expected = MESSAGES[name]
    assert "\n".join(failure_lines(result, COMMAND)) == expected


@pytest.mark.parametrize("judgement", [DRIFTED, MISSING, STALE, ERROR])
def test_first_line_begins_with_the_verdict(judgement: Judgement) -> None:
    """The first line says what is wrong before pytest cuts it."""
    assert headline(judgement)[:40].startswith(
        ("drift @tok 7/8 ' Paris' -> ' Lyon'", "missing: ", "stale: ", "error: ")
    )


def test_long_tokens_are_cut_in_the_first_line() -> None:
    """A long token does not push the other one out of the line."""
    judgement = Judgement(Verdict.DRIFTED, 0, 9, "a" * 99, "b" * 99)
    assert headline(judgement) == f"drift @tok 1/9 '{'a' * 13}…' -> '{'b' * 13}…'"


@pytest.mark.parametrize(
    ("nodeid", "name"),
    [
        ("tests/test_geo.py::test_geo[a-b]", "test_geo[a-b]"),
        ("tests/test_geo.py::TestGeo::test_it[a-x::y]", "test_it[a-x::y]"),
        ("t.py::test_plain", "test_plain"),
        ("t.py::test_x[\x1b]", r"test_x[\x1b]"),
    ],
)
def test_test_names(nodeid: str, name: str) -> None:
    """A message names the test without its file, also where an id has `::` in it."""
    assert name_of(nodeid) == name


def test_long_lines_show_where_they_differ() -> None:
    """Common ends and long equal stretches of a long line are left out."""
    best = "It was the best of times, "
    lines = difference(best * 20 + "an end.", best * 9 + "it was " + best * 11 + "the end.")
    assert lines == [
        "  baseline   …It was the best of times, It was the … best of times, an end.",
        "  candidate  …It was the best of times, it was It was the … best of times, the end.",
    ]


def test_words_of_any_length_show_where_they_differ() -> None:
    """A text without blanks is cut around the difference, too."""
    lines = difference("x" * 5000 + "a" + "y" * 5000, "x" * 5000 + "b" + "y" * 5000)
    assert lines == [
        f"  {label:9}  …{'x' * 30}{char}{'y' * 30}…" for label, char in (("baseline", "a"), ("candidate", "b"))
    ]


def test_changed_empty_lines_are_seen() -> None:
    """A line break that is only in one text is shown as one."""
    assert difference("a\nb", "a\n\nb") == ["             a", r"  candidate  \n", "             b"]


def test_many_changed_lines_are_counted() -> None:
    """A message stays short, and says how much is left out."""
    lines = difference("a\n" * 500, "b\n" * 400 + "c")
    assert len(lines) <= MOST_SHOWN
    assert lines[-1].startswith("             … ")


@pytest.mark.parametrize(
    ("one", "other", "ends"), [("abcd", "abxd", (2, 1)), ("aa", "aaa", (2, 0)), ("", "x", (0, 0)), ("ab", "ab", (2, 0))]
)
def test_common_ends_do_not_overlap(one: str, other: str, ends: tuple[int, int]) -> None:
    """No item is counted at both ends."""
    assert common_ends(one, other) == ends


@pytest.mark.parametrize("separator", [" ", "\n", ""])
def test_repetitive_texts_are_compared_in_bounded_time(separator: str) -> None:
    """What models fall into, saying the same over and over, does not hang the message."""
    ours = separator.join("the" if at % 3 else "a" for at in range(100_000))
    theirs = separator.join("the" if at % 7 else "a" for at in range(100_000))
    start = time.process_time()
    difference(ours, theirs)
    assert time.process_time() - start < 2


@given(HOSTILE, HOSTILE, HOSTILE, st.sampled_from([DRIFTED, MISSING, STALE, ERROR]))
def test_messages_are_harmless(text: str, baseline: str, prompt_id: str, judgement: Judgement) -> None:
    """No line of a message acts, whatever the texts, the test's name and the tokens are."""
    hostile = Judgement(judgement.verdict, judgement.position, judgement.length, baseline, text, reason=text)
    for line in failure_lines(case(prompt_id, text=text, baseline=baseline, judgement=hostile), COMMAND):
        assert is_harmless(line)


@given(HOSTILE, HOSTILE)
def test_texts_are_cut(text: str, baseline: str) -> None:
    """No line of a text is wider than it may be, and unequal texts do not look equal."""
    lines = difference(baseline, text)
    assert max(map(width, lines)) <= COLUMNS + 13
    if text != baseline:
        ours, theirs = ([line[13:] for line in lines if line.startswith(f"  {who}")] for who in ("base", "cand"))
        assert ours != theirs
