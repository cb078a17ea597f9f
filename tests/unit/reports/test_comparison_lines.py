"""What the terminal says of pairs of models and of the drift budget."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcompare.comparison.drift_budget import BudgetCheck
from pytest_llmcompare.comparison.statistics import rate
from pytest_llmcompare.comparison.summary import Summary, summarize
from pytest_llmcompare.records import CaseResult
from pytest_llmcompare.reports.model_table import MOST_PAIRS, pair_lines
from pytest_llmcompare.reports.style import Page
from pytest_llmcompare.reports.terminal_findings import MOST_OVER, budget_lines
from pytest_llmcompare.settings import COMMAND_LINE, FILE, Settings
from pytest_llmcompare.text import width

from .samples import DRIFTED, HOSTILE, IDENTICAL, case, is_harmless

TARGETS = {"sky": " Blue.", "sum": "4", "tree": "green"}


def run(answers: dict[str, list[str | None]], *, targets: bool = True, table: str = "geo") -> list[CaseResult]:
    """What models said to the rows `sky`, `sum` and `tree`."""
    return [
        dataclasses.replace(
            case(row, model, text, judgement=IDENTICAL, table=table), target=target if targets else None
        )
        for model, texts in answers.items()
        for (row, target), text in zip(TARGETS.items(), texts, strict=True)
    ]


def pairs(summary: Summary, columns: int = 100, *, every: bool = False) -> list[str]:
    return [line.text for line in pair_lines(summary.tables, Page(columns), every=every)]


def summary_of(results: list[CaseResult], *models: str) -> Summary:
    return summarize(results, [], Settings(), models=models)


ANSWERS: dict[str, list[str | None]] = {
    "gpt2-large": ["Blue.", " 4", "brown"],
    "distilgpt2": ["Blue.", " 4", "red"],
    "bloom-560m": [" Blue", None, "green"],
}


def test_pairs_with_targets() -> None:
    """Pairs in the order of the models, with what each has right."""
    assert pairs(summary_of(run(ANSWERS), *ANSWERS)) == [
        "two models               same text  alike    95% interval   on target  McNemar p        better",
        "gpt2-large / distilgpt2     2 of 3  66.7%  20.8% to 93.9%  2 / 2 of 3      1.000         equal",
        "gpt2-large / bloom-560m     0 of 3     0%     0% to 56.1%  2 / 1 of 3      1.000  inconclusive",
        "distilgpt2 / bloom-560m     0 of 3     0%     0% to 56.1%  2 / 1 of 3      1.000  inconclusive",
    ]


def test_pairs_without_targets() -> None:
    """Agreement alone."""
    assert pairs(summary_of(run(ANSWERS, targets=False), *ANSWERS))[:2] == [
        "two models               same text  alike    95% interval",
        "gpt2-large / distilgpt2     2 of 3  66.7%  20.8% to 93.9%",
    ]


def test_pairs_count_all_tables() -> None:
    """A line is about the run, whatever tables its rows are in; a difference that chance does not explain is told."""
    results = [
        result
        for at in range(3)
        for result in run({"a": ["Blue.", "4", "green"], "b": ["x", "y", "z"]}, table=f"table_{at}")
    ]
    assert pairs(summary_of(results, "a", "b")) == [
        "two models  same text  alike  95% interval   on target  McNemar p  better",
        "a / b          0 of 9     0%   0% to 29.9%  9 / 0 of 9      0.004   first",
    ]
    assert pairs(summary_of(results, "b", "a"))[1].split()[-1] == "second"


@pytest.mark.parametrize(
    "answers",
    [
        {},
        {"a": ["Blue.", "4", "green"]},
        {"a": ["Blue.", "4", "green"], "broken": [None, None, None]},
    ],
)
def test_where_there_is_no_pair(answers: dict[str, list[str | None]]) -> None:
    """One model, or one that said nothing, is no pair; nor are models of other rows."""
    assert pairs(summary_of(run(answers))) == []


def test_models_of_other_tables_are_no_pair() -> None:
    """Only the same rows are compared."""
    assert pairs(summary_of(run({"a": ["x"] * 3}, table="one") + run({"b": ["x"] * 3}, table="two"))) == []


def test_many_models() -> None:
    """Ten pairs are shown, all of them with -v."""
    summary = summary_of(run({f"m{at}": ["x", "y", "z"] for at in range(6)}))
    lines = pairs(summary)
    assert len(lines) == MOST_PAIRS + 2
    assert lines[-1] == "and 5 more pairs (-v shows all)"
    assert len(pairs(summary, every=True)) == 15 + 1


@pytest.mark.parametrize(
    ("columns", "heading", "line"),
    [
        (
            85,
            "two models               same text  alike   on target  McNemar p        better",
            "gpt2-large / distilgpt2",
        ),
        (70, "two models               same text  alike   on target        better", "gpt2-large / distilgpt2"),
        (60, "two models               same text   on target        better", "gpt2-large / distilgpt2"),
        (50, "two models", "gpt2-large / distilgpt2"),
    ],
)
def test_narrow_terminals(columns: int, heading: str, line: str) -> None:
    """Columns give way to the names; at last the names stand on lines of their own. They are never cut."""
    lines = pairs(summary_of(run(ANSWERS), *ANSWERS), columns)
    assert lines[0] == heading
    assert max(map(width, lines)) <= columns
    assert f"{lines[1]}  ".startswith(f"{line}  ")


@given(st.lists(HOSTILE, min_size=2, max_size=3, unique=True), st.integers(30, 120))
def test_names_cannot_act(names: list[str], columns: int) -> None:
    """Whatever models are called, lines are harmless and no wider than the terminal."""
    summary = summary_of(run({name: ["x", "y", "z"] for name in names}))
    for line in pairs(summary, columns):
        assert is_harmless(line)
        assert width(line) <= columns


def check(
    drifted: int, total: int, budget: float, *, model: str = "distilgpt2", origin: str = COMMAND_LINE
) -> BudgetCheck:
    rows = tuple(case(f"row_{at:02}", model, " Lyon.", judgement=DRIFTED) for at in range(drifted))
    return BudgetCheck(model, budget, origin, rate(drifted, total), rows)


def said(check: BudgetCheck, columns: int = 110, *, every: bool = False) -> list[str]:
    return [line.text for line in budget_lines([check], Page(columns), every=every)]


def test_within_the_budget() -> None:
    """Rate, interval and budget; three of the drifts."""
    assert said(check(4, 100, 5)) == [
        "distilgpt2: 4 of 100 cases drifted, 4.0% (95% interval 1.6% to 9.8%), within the drift budget of 5%",
        *(f"  geo/row_0{at}: drift @tok 7/8 ' Paris' -> ' Lyon'" for at in range(3)),
        "  and 1 more (-v shows all)",
    ]
    assert said(check(0, 1000, 0.5)) == [
        "distilgpt2: 0 of 1,000 cases drifted, 0% (95% interval 0% to 0.4%), within the drift budget of 0.5%"
    ]


def test_over_the_budget() -> None:
    """The same line, and more of the drifts; with -v all of them."""
    lines = said(check(25, 100, 5))
    assert (
        lines[0]
        == "distilgpt2: 25 of 100 cases drifted, 25.0% (95% interval 17.5% to 34.3%), over the drift budget of 5%"
    )
    assert len(lines) == MOST_OVER + 2
    assert lines[-1] == "  and 5 more (-v shows all)"
    assert len(said(check(25, 100, 5), every=True)) == 25 + 1


@pytest.mark.parametrize(
    ("found", "colour"),
    [
        (check(0, 10, 5), {}),
        (check(1, 100, 5), {"yellow": True}),
        (check(10, 100, 5), {"red": True}),
        (check(0, 0, 5, model=""), {"red": True}),
        (check(0, 0, 5, model="", origin=FILE), {"yellow": True}),
    ],
)
def test_colours(found: BudgetCheck, colour: dict[str, bool]) -> None:
    """Red is what fails the run, yellow what it lets pass."""
    first = next(iter(budget_lines([found], Page(100), every=False)))
    assert first.markup == colour


def test_not_checked() -> None:
    """Where nothing could drift the line says so."""
    assert said(check(0, 0, 5, model="")) == [
        "no case was compared with a baseline, so the drift budget of 5% (command line) was not checked"
    ]


@given(HOSTILE, HOSTILE, st.integers(30, 120))
def test_budget_lines_cannot_act(model: str, row: str, columns: int) -> None:
    """Whatever models and rows are called, lines are harmless and no wider than the terminal."""
    found = dataclasses.replace(check(1, 2, 5, model=model), drifted=(case(row, model, "x", judgement=DRIFTED),))
    for line in said(found, columns):
        assert is_harmless(line)
        assert width(line) <= columns
