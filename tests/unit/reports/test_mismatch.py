"""A failed assertion on `llm_output` says what differs: type, white space, case, characters, words."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pytest_llmcompare.generation import Generation
from pytest_llmcompare.records import Case, CaseKey, GroupKey, Row
from pytest_llmcompare.reports.mismatch import mismatch_lines

TEXT = " The capital of France is Paris."
OUTPUT = Generation(TEXT, (1, 2), stop="length")
CASE = Case(CaseKey(GroupKey(".", "t", "m"), "france"), Row("france", "?"), "", {}, 0)
LONG = "\n".join(f"line {number} of a text" for number in range(40))


def hint(op: str, left: object, right: object) -> str:
    lines = mismatch_lines(op, left, right)
    assert lines is not None
    assert f" {op} " in lines[0]
    return "\n".join(lines[1:])


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (TEXT.strip(), "the output begins with a blank, the expected text does not; compare llm_output.strip()"),
        ("\n" + TEXT.strip(), "the output begins with a blank, the expected text with a line break"),
        (TEXT + "\n", "the expected text ends with a line break, the output does not"),
        (TEXT + "\t\n", r"the expected text ends with '\t\n', the output does not"),
        (TEXT.replace(" of ", "  of\n"), 'only its white space differs; compare " ".join(llm_output.split())'),
        (TEXT.replace(" ", "\u00a0"), "only its white space differs"),
        (TEXT.strip().lower(), "upper and lower case differ; compare llm_output.strip().lower()"),
        ("The capital", "the output goes on after the expected text: ' of France is Paris.'; `in` would hold"),
        ("Paris", "the expected text is in the output, with more around it; `in` would hold"),
        (TEXT + " Of Italy", "the output ends early (cut off at max_new_tokens); missing: ' Of Italy'"),
        ("The capital of France is Rome.", "they part at character 27: 'Paris.' instead of 'Rome.'"),
        ("", "the expected text is empty"),
        (None, "None is not a text. llm_case.target is None in a row without a target."),
        (4, "llm_output is text (str), the other is int; compare llm_output.strip() with '4', or int(llm_output)"),
        (0.5, "or float(llm_output)"),
        (True, "the other is bool; compare with a text, such as 'True'"),
        (b"Paris", "the other is bytes; write it as a str, without the b"),
        ({"a": 1}, "the other is dict; compare json.loads(llm_output)"),
        ([TEXT.strip()], "the other is list; write llm_output.strip() in list"),
        (("Paris", "Rome"), "the other is tuple; for one of several texts write `in`"),
        (re.compile("Paris"), "write re.search(pattern, llm_output)"),
        (CASE, "llm_case is the whole row; compare with llm_case.target"),
        (Generation(TEXT, (1, 3), stop="length"), "the texts are equal; token_ids differ. To compare the texts: .text"),
    ],
)
def test_unequal(other: Any, said: str) -> None:
    """What sets them apart, and what to write where that was likely meant; from either side."""
    assert said in hint("==", OUTPUT, other)
    assert said in hint("==", other, OUTPUT)


def test_other_unicode_characters() -> None:
    """Texts that look alike are told apart."""
    assert "written with other Unicode characters" in hint("==", Generation("Cafe\u0301"), "Caf\u00e9")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Rome", "not in the output: 'Rome'"),
        ("is Rome, the old", "not in the output: 'Rome,', 'the', 'old'"),
        ("paris", "upper and lower case differ; look for 'paris' in llm_output.lower()"),
        ("Paris ", "it is in the output without the white space around it: 'Paris'"),
        ("France\nis", 'only its white space differs; look in " ".join(llm_output.split())'),
        ("Paris France", "its words are in the output, but not in a row"),
    ],
)
def test_not_in(text: str, said: str) -> None:
    """A text that is looked for in vain."""
    assert said in hint("in", text, OUTPUT)
    assert TEXT in hint("in", text, OUTPUT)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["Rome", TEXT.strip()], "look for llm_output.strip()"),
        ({TEXT.strip().lower()}, "upper and lower case differ"),
        (("Paris", "Rome"), "'Paris' is in the output, with more around it; any(text in llm_output for text in ...)"),
        ({"Rome": 1}, "the output is not one of them"),
    ],
)
def test_none_of_several(texts: Any, said: str) -> None:
    """An output that should be one of several texts."""
    assert said in hint("in", OUTPUT, texts)


def test_what_should_not_be_there() -> None:
    """Where it stands, with what is around it."""
    assert "it is at character 27 of the output" in hint("not in", "Paris", OUTPUT)
    assert "…line" not in hint("not in", "line 0", Generation(LONG))
    assert hint("not in", "line 30", Generation(LONG)).splitlines()[-1].startswith("  output    …")


def test_empty_output() -> None:
    """A model that said nothing."""
    empty = Generation("")
    assert hint("==", empty, "Paris").startswith("the output is empty")
    assert hint("in", "Paris", empty) == "the output is empty"


def test_long_texts() -> None:
    """They are shown where they part, not from their beginnings, and pytest shows all of it."""
    said = hint("==", Generation(LONG), LONG.replace("line 31", "line 13"))
    assert "line 32 of the output's 40 and the expected text's 40" in said
    assert "line 31 of a text" in said
    assert "line 13 of a text" in said
    one_line = "word " * 400
    said = hint("==", Generation(one_line + "end"), one_line + "END.")
    assert "'end' instead of 'END.'" in said
    for lines in (mismatch_lines("==", Generation(LONG), LONG + "."), mismatch_lines("==", Generation(one_line), "x")):
        assert lines is not None
        assert len(lines) <= 6
        assert all(len(line) <= 130 for line in lines)


@pytest.mark.parametrize("hostile", ["\x1b[31m red", "##[group]x", "\u202e rtl", "\ud800 half", "a\x00b", "::error::x"])
def test_hostile_text(hostile: str) -> None:
    """Nothing of it acts on a terminal or in a CI log."""
    output = Generation(f"said {hostile}")
    for lines in (
        mismatch_lines("==", output, f"expected {hostile}"),
        mismatch_lines("==", output, [hostile]),
        mismatch_lines("in", f"{hostile}!", output),
        mismatch_lines("in", output, [hostile]),
        mismatch_lines("not in", hostile, output),
    ):
        assert lines is not None
        for line in lines:
            assert line.isprintable()
            assert "##[" not in line
            assert not line.lstrip().startswith("::")


def test_what_is_left_to_pytest() -> None:
    """Comparisons without an output, other operators, and objects that have an `==` of their own."""
    for op, left, right in (
        ("==", "a", "b"),
        ("==", OUTPUT, pytest.approx(1)),
        ("==", OUTPUT, object()),
        ("!=", OUTPUT, TEXT),
        ("<", OUTPUT, "a"),
        ("in", 1, [2]),
    ):
        assert mismatch_lines(op, left, right) is None
