"""The drift budget: what counts, and when it fails a run."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcompare.comparison.drift_budget import BudgetCheck, check_budget
from pytest_llmcompare.comparison.statistics import rate
from pytest_llmcompare.comparison.summary import Cell
from pytest_llmcompare.judgement import Verdict
from pytest_llmcompare.records import CaseKey, CaseResult, GroupKey
from pytest_llmcompare.settings import COMMAND_LINE, FILE, Settings

LETTERS: Mapping[str, Verdict | None] = {
    "=": Verdict.IDENTICAL,
    "d": Verdict.DRIFTED,
    "?": Verdict.MISSING,
    "s": Verdict.STALE,
    "!": Verdict.ERROR,
    " ": None,
}


def cells(letters: str, model: str = "m", accepted: str = "") -> dict[CaseKey, Cell]:
    """A case per letter; those with an `accepted` letter become the baseline."""
    made = {}
    for at, letter in enumerate(letters):
        key = CaseKey(GroupKey(".", "trivia", model), f"row_{at:04}")
        made[key] = Cell(key, LETTERS[letter], letter in accepted, CaseResult(key, "test"))
    return made


def budget(percent: float | None, origin: str = COMMAND_LINE) -> Settings:
    return Settings(drift_budget=percent, origins={"drift_budget": origin})


@pytest.mark.parametrize(
    ("letters", "percent", "counted", "fails"),
    [
        ("====", 0, (0, 4), False),
        ("===d", 0, (1, 4), True),
        ("===d", 25, (1, 4), False),
        ("===d", 24.9, (1, 4), True),
        ("dddd", 100, (4, 4), False),
        ("dddd", 99, (4, 4), True),
        ("=d?s! ", 50, (1, 2), False),
        ("=d?s! ", 49, (1, 2), True),
        ("=" * 93 + "d" * 7, 7, (7, 100), False),
        ("=" * 943 + "d" * 57, 5.7, (57, 1000), False),
        ("=" * 943 + "d" * 57, 5.6999, (57, 1000), True),
    ],
)
def test_rate_against_budget(letters: str, percent: float, counted: tuple[int, int], fails: bool) -> None:
    """Of the cases that could drift, those that did; exactly the budget is within it."""
    (check,) = check_budget(cells(letters), budget(percent), whole=True)
    assert check.rate == rate(*counted)
    assert len(check.drifted) == counted[0]
    assert check.fails is fails


def test_each_model_has_the_budget_for_itself() -> None:
    """Many cases of one model do not hide the drifts of another."""
    both = {**cells("=" * 98 + "dd", "large"), **cells("=d", "small")}
    checks = check_budget(both, budget(5), whole=True)
    assert [(check.model, check.fails) for check in checks] == [("large", False), ("small", True)]


def test_what_is_accepted_has_not_drifted() -> None:
    """An update that takes a drifted output as the baseline settles it."""
    (check,) = check_budget(cells("==dd", accepted="d"), budget(0), whole=True)
    assert (check.rate.count, check.fails) == (0, False)
    (check,) = check_budget(cells("?" * 50 + "=d", accepted="?"), budget(10), whole=True)
    assert (check.rate.count, check.rate.total, check.fails) == (1, 2, True)


NOTHING = [
    ("", COMMAND_LINE, True, True),
    ("?s! ", COMMAND_LINE, True, True),
    ("?s! ", "LLMCOMPARE_DRIFT_BUDGET", True, True),
    ("?s! ", FILE, True, False),
    ("  ", FILE, True, False),
]


@pytest.mark.parametrize(("letters", "origin", "told", "fails"), NOTHING)
def test_a_budget_that_was_not_checked(letters: str, origin: str, told: bool, fails: bool) -> None:
    """Where nothing could drift that is said; if the budget was given for this run, it has failed."""
    checks = check_budget(cells(letters), budget(5, origin), whole=True)
    assert [(check.model, check.rate.total) for check in checks] == [("", 0)] * told
    assert any(check.fails for check in checks) is fails


def test_where_nothing_is_said() -> None:
    """No budget; a suite without comparisons under a shared file; a run that was cut short; a first recording."""
    assert check_budget(cells("dd"), budget(None), whole=True) == ()
    assert check_budget({}, budget(5, FILE), whole=True) == ()
    assert check_budget({}, budget(5), whole=False) == ()
    assert check_budget(cells("???", accepted="?"), budget(5), whole=True) == ()


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.integers(0, 1000))
def test_a_larger_budget_never_fails_more(share: tuple[int, int], tenths: int) -> None:
    """And the bounds are sharp: as many tenths of a percent as drifted are within the budget."""
    count, total = share
    check = BudgetCheck("m", tenths / 10, COMMAND_LINE, rate(count, total))
    assert check.fails is (1000 * count > tenths * total)
    assert BudgetCheck("m", min(tenths / 10 + 1, 100), COMMAND_LINE, rate(count, total)).fails <= check.fails
