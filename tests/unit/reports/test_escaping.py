"""Foreign text is made visible, keeps its width, and does nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcompare.text import cut, cut_start, disarm, encodable, escape, pad, quoted, width

from .samples import HOSTILE, is_harmless


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, 100 %", "plain text, 100 %"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("a\nb\r\n\tc", r"a\nb\r\n\tc"),
        (r"\x1b", r"\\x1b"),
        ("\x9b31m", r"\x9b31m"),
        ("ab\u202ecd\u2066", r"ab\u202ecd\u2066"),
        ("lone \ud83d", r"lone \ud83d"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("no\xa0break", r"no\xa0break"),
        ("tag \U000e0041", r"tag \U000e0041"),
        ("中文 🎉 é", "中文 🎉 é"),
        ("👩\u200d👧", "👩\u200d👧"),
        ("नम\u200dस", "नम\u200dस"),
        ("a\u200db", r"a\u200db"),
        ("\u200d👧", r"\u200d👧"),
        ("e" + "\u0301" * 6, "e" + "\u0301" * 4 + r"\u0301\u0301"),
        ("::error::boom", r"\x3a:error::boom"),
        ("  ::add-mask::x", r"  \x3a:add-mask::x"),
        ("std::vector", "std::vector"),
        ("see ##[group]x", r"see #\x23[group]x"),
        ("##vso[task.setvariable]x", r"#\x23vso[task.setvariable]x"),
        ("## Heading [link]", "## Heading [link]"),
    ],
)
def test_model_text_is_escaped(text: str, shown: str) -> None:
    """Whatever acts is shown as an escape, all else as it is."""
    assert escape(text) == shown


def test_commands_keep_their_backslashes() -> None:
    """A command to copy is made harmless without changing the backslashes in it."""
    assert disarm("pytest 'a\\u00e9'\x1b") == r"pytest 'a\u00e9'" + r"\x1b"


@given(HOSTILE)
def test_escaped_text_is_harmless(text: str) -> None:
    """Nothing is left that a terminal or a CI service would act on, and a second time changes nothing."""
    shown = escape(text)
    assert is_harmless(shown)
    assert disarm(shown) == shown


@given(
    st.text(st.characters(max_codepoint=0x2FFF), max_size=8), st.text(st.characters(max_codepoint=0x2FFF), max_size=8)
)
def test_different_texts_look_different(one: str, other: str) -> None:
    """Escapes lose nothing: what differs does not look the same."""
    assert (escape(one) == escape(other)) == (one == other)


@pytest.mark.parametrize(
    ("text", "columns"),
    [("abc", 3), ("中文", 4), ("🎉", 2), ("e\u0301", 1), ("❤\ufe0f", 2), ("👩\u200d👧", 2), ("ｗ", 2), ("", 0)],
)
def test_width_counts_columns(text: str, columns: int) -> None:
    """CJK and emoji take two columns, marks none."""
    assert width(text) == columns


@given(HOSTILE, st.integers(1, 60))
def test_cut_text_fits(text: str, columns: int) -> None:
    """A cut text, a cut_started name and a padded text keep to their columns."""
    shown = escape(text)
    for fitted in (cut(shown, columns), cut_start(shown, columns)):
        assert width(fitted) <= columns
        assert width(pad(fitted, columns)) == columns
        assert fitted == shown or "…" in fitted


@pytest.mark.parametrize(
    ("text", "columns", "shown"),
    [
        ("tiny-gpt2", 9, "tiny-gpt2"),
        ("the sky is blue", 10, "…is blue"),
        ("the sky is blue", 3, "…ue"),
        ("abc", 1, "…"),
        ("中文中文", 5, "…中文"),
    ],
)
def test_the_beginning_is_cut_before_a_word(text: str, columns: int, shown: str) -> None:
    """What stands directly before a difference stays."""
    assert cut_start(text, columns) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [(" Paris", "' Paris'"), ("it's", '"it\'s"'), ("'\"", "''\"'"), ("\n", r"'\n'"), ("abcdefghijkl", "'abcdefg…'")],
)
def test_quotes(text: str, shown: str) -> None:
    """Tokens stand in quotes, so that blanks at their ends are seen."""
    assert quoted(text, 10) == shown


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("utf-8", "≠ é"), ("latin-1", r"\u2260 é"), ("ascii", r"\u2260 \xe9"), ("no-such", r"\u2260 \xe9")],
)
def test_outputs_that_cannot_encode(encoding: str, shown: str) -> None:
    """What the output cannot hold is escaped instead of raising."""
    assert encodable("≠ é", encoding) == shown
