"""Test cases of a JUnit file that stand for no test: gates, the drift budget, and other reasons to fail."""

from __future__ import annotations

from hypothesis import given

from pytest_llmcompare.comparison.drift_budget import BudgetCheck
from pytest_llmcompare.comparison.statistics import rate
from pytest_llmcompare.comparison.summary import summarize
from pytest_llmcompare.judgement import ThresholdResult
from pytest_llmcompare.records import GroupKey, GroupResult
from pytest_llmcompare.reports.junit import checks
from pytest_llmcompare.reports.terminal_findings import sentence
from pytest_llmcompare.reports.threshold_lines import threshold_line
from pytest_llmcompare.settings import Settings

from .samples import HOSTILE, is_harmless

KEY, ROOT = GroupKey("tests", "trivia", "m"), GroupKey(".", "trivia", "m")
HOLDS, FAILS = ThresholdResult("a/v1", ">=0.8", 0.9, True, 10, 10), ThresholdResult("b", "<=4", 5.0, False, 3, 10)
UNWRITTEN = "r.md was not written: no room.\nName a path that can be written."


def test_each_gate_is_a_case() -> None:
    """Passed or failed, with its values as properties; the name has the folder, so that it is unique."""
    summary = summarize([], [GroupResult(KEY, gates=(HOLDS, FAILS))], Settings(), faults=[threshold_line(KEY, FAILS)])
    holds, fails = checks(summary)
    assert (holds.nodeid, holds.fault, holds.file) == ("llmcompare::threshold[tests/trivia/m: a/v1 >=0.8]", "", "tests")
    assert (fails.nodeid, fails.fault) == ("llmcompare::threshold[tests/trivia/m: b <=4]", threshold_line(KEY, FAILS))
    assert dict(fails.properties) == {
        "llmcompare.model": "m",
        "llmcompare.table": "trivia",
        "llmcompare.metric": "b",
        "llmcompare.value": "5",
        "llmcompare.wanted": "<=4",
        "llmcompare.cases": "3",
        "llmcompare.total": "10",
    }
    (in_root,) = checks(summarize([], [GroupResult(ROOT, gates=(HOLDS,))], Settings()))
    assert in_root.nodeid == "llmcompare::threshold[trivia/m: a/v1 >=0.8]"


def test_a_budget_is_a_case_per_model() -> None:
    """Within or over; one that was not checked has no model to name."""
    budgets = [BudgetCheck(name, 10.0, "command line", rate(n, total)) for name, n, total in [("a", 0, 4), ("b", 2, 4)]]
    budgets.append(BudgetCheck("", 10.0, "command line", rate(0, 0)))
    faults = [sentence(check) for check in budgets[1:]]
    found = {
        check.nodeid: check.fault for check in checks(summarize([], [], Settings(), budgets=budgets, faults=faults))
    }
    assert found == {
        "llmcompare::drift_budget[all models]": faults[1],
        "llmcompare::drift_budget[a]": "",
        "llmcompare::drift_budget[b]": faults[0],
    }


def test_other_reasons_are_cases_named_by_their_first_line() -> None:
    """Once each, with the whole text."""
    (check,) = checks(summarize([], [], Settings(), faults=[UNWRITTEN, UNWRITTEN]))
    assert (check.nodeid, check.fault) == ("llmcompare::run[r.md was not written: no room.]", UNWRITTEN)


@given(HOSTILE, HOSTILE)
def test_names_do_not_act(name: str, fault: str) -> None:
    """They stand in logs, too."""
    gates = (ThresholdResult(name, ">=1", None, False, 1, 1, fault),)
    for check in checks(summarize([], [GroupResult(KEY, gates=gates)], Settings(), faults=[f"x{fault}"])):
        assert is_harmless(check.nodeid)
