"""Tables for a terminal: columns are shared out fairly and stay straight."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wcwidth import wcswidth

from pytest_llmcompare.comparison.summary import summarize
from pytest_llmcompare.reports.style import Page
from pytest_llmcompare.reports.terminal import summary_lines
from pytest_llmcompare.reports.terminal_table import TableLine, table_lines
from pytest_llmcompare.settings import Settings
from pytest_llmcompare.text import cut, cut_start, pad, width

from .samples import IDENTICAL, case

EMOJI = {
    "skin tone": "👍🏽👍🏽👍🏽",
    "family": "👨\u200d👩\u200d👧\u200d👦 at home",
    "astronaut": "👩🏽\u200d🚀 up",
    "flags": "🇩🇪🇫🇷🇯🇵",
    "variation selector": "❤\ufe0f and ☎\ufe0f",
    "keycap": "1\ufe0f\u20e3 2\ufe0f\u20e3",
    "CJK": "中文 text",
    "accent": "e\u0301te\u0301",
    "Hindi": "किताबें",
}


def widths(wanted: Sequence[int], columns: int) -> list[int]:
    """How wide the columns of a table become."""
    given: list[int] = []

    def fit(columns: Sequence[int]) -> list[str]:
        given.extend(columns)
        return [""] * len(columns)

    list(table_lines([TableLine(wanted, fit)], Page(columns), flexible=range(len(wanted))))
    return given


@pytest.mark.parametrize(
    ("columns", "wanted", "given"),
    [(34, [10, 10, 10], [10, 10, 10]), (34, [5, 40, 40], [5, 12, 13]), (8, [9, 9], [3, 3])],
)
def test_columns_are_shared_out(columns: int, wanted: list[int], given: list[int]) -> None:
    """A column that needs little leaves the rest to the others."""
    assert sorted(widths(wanted, columns)) == given


@pytest.mark.parametrize("columns", [80, 120, 160])
def test_columns_are_straight(columns: int) -> None:
    """The second and the third model begin in the same terminal column of every line, whatever the first one said."""
    results = [
        case(name, model, text if model == "a" else f"<{model}", baseline=None, judgement=IDENTICAL)
        for name, text in (*EMOJI.items(), *((f"long {name}", text * 40) for name, text in EMOJI.items()))
        for model in ("a", "b", "c")
    ]
    lines = [
        line.text
        for line in summary_lines(summarize(results, [], Settings()), width=columns, verbose=1, command="pytest")
        if "<b" in line.text
    ]
    assert len(lines) == len(results) / 3
    assert max(map(wcswidth, lines)) <= columns
    assert {
        (wcswidth(line[: line.index("= <b")]), wcswidth(line[: line.index("= <c")])) for line in lines
    }.__len__() == 1


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("👍🏽", 2),
        ("👨\u200d👩\u200d👧", 2),
        ("🇩🇪", 2),
        ("❤\ufe0f", 2),
        ("1\ufe0f\u20e3", 2),
        ("中", 2),
        ("e\u0301", 1),
    ],
)
def test_a_sequence_is_as_wide_as_what_it_draws(text: str, columns: int) -> None:
    """A skin tone, a joiner or a variation selector adds no column of its own."""
    assert width(text) == columns
    assert width(pad(text * 3, 20)) == 20


@given(st.text(st.sampled_from([*"ab👍🏽👨\u200d👧🇩🇪❤\ufe0f1\u20e3中e\u0301कि"]), max_size=40), st.integers(1, 30))
def test_cut_sequences_fit(text: str, columns: int) -> None:
    """Wherever a text is cut, it fits."""
    assert width(cut(text, columns)) <= columns
    assert width(cut_start(text, columns)) <= columns
