"""Which tests passed unseen, and when a run compared nothing: decided from records alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_llmcompare.comparison.attempts import (
    Attempt,
    compared,
    nothing_compared,
    own_comparisons,
    saw_nothing,
    skipped_late,
    unseen,
    unseen_faults,
)
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.judgement import Judgement, Verdict
from pytest_llmcompare.records import CaseKey, CaseResult, GroupKey
from pytest_llmcompare.settings import COMMAND_LINE, FILE, Settings, Update

NAMED = Settings(models=("m",), origins={"models": COMMAND_LINE})
OF_FILE = Settings(models=("m",), origins={"models": FILE})
DONE = Attempt("t.py::t", "passed", wants_baseline=True, reached=True)


def place(nodeid: str) -> str:
    return f"{nodeid.partition('::')[0]}:4"


@pytest.mark.parametrize(
    ("attempt", "counts", "nothing"),
    [
        (DONE, False, True),
        (replace(DONE, verdict=Verdict.IDENTICAL), True, False),
        (replace(DONE, verdict=Verdict.DRIFTED), True, False),
        (replace(DONE, verdict=Verdict.ERROR), False, False),
        (replace(DONE, looked=True), True, False),
        (replace(DONE, wants_baseline=False), True, False),
        (replace(DONE, wants_baseline=False, outcome="xfailed"), True, False),
        (replace(DONE, wants_baseline=False, outcome="skipped"), False, False),
        (replace(DONE, wants_baseline=False, outcome="xfailed", reached=False), False, False),
        (replace(DONE, outcome="skipped"), False, False),
        (replace(DONE, outcome="skipped", verdict=Verdict.IDENTICAL), True, False),
        (replace(DONE, outcome="failed"), False, False),
        (replace(DONE, outcome="xpassed"), False, False),
    ],
)
def test_what_counts_as_a_comparison(attempt: Attempt, counts: bool, nothing: bool) -> None:
    """A verdict, a look at the baseline, or a check of a test that asks for no baseline."""
    assert compared(attempt) is counts
    assert saw_nothing(attempt) is nothing


def result(verdict: Verdict | None, *, passed: bool = True, row: str = "a", test: str = "t.py::t") -> CaseResult:
    key = CaseKey(GroupKey(".", "table", "m"), row)
    return CaseResult(key, test, Generation("x"), Judgement(verdict) if verdict else None, passed=passed)


@pytest.mark.parametrize("verdict", Verdict)
@pytest.mark.parametrize("outcome", ["passed", "failed", "xfailed", "xpassed"])
@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(shift="fail"),
        Settings(drift_budget=5.0),
        Settings(update=Update.CHANGED),
        Settings(update=Update.MISSING),
    ],
)
def test_what_passed_unseen(verdict: Verdict, outcome: str, settings: Settings) -> None:
    """A test that passed with a verdict that the run does not let stand; expected failures are excused."""
    attempt = replace(DONE, outcome=outcome, verdict=verdict)
    found = unseen([result(verdict, passed=outcome in ("passed", "xpassed"))], {attempt.nodeid: attempt}, settings)
    assert bool(found) is (outcome == "passed" and not settings.lets_stand(verdict))


@pytest.mark.parametrize(
    ("results", "start"),
    [
        ([result(Verdict.DRIFTED)], "1 output drifted, but its test passed: is an assert missing in t.py:4?"),
        (
            [result(Verdict.DRIFTED, row=row, test=f"t.py::t[{row}]") for row in "abcde"],
            "5 outputs drifted, but their tests passed: is an assert missing in t.py:4?",
        ),
        (
            [result(Verdict.MISSING, row="a"), result(Verdict.MISSING, row="b", test="u.py::u")],
            "2 outputs have no baseline, but their tests passed: is an assert missing in t.py:4, u.py:4?",
        ),
        ([result(Verdict.STALE)], "1 output has a stale baseline, but its test passed: "),
    ],
)
def test_what_is_said_of_it(results: list[CaseResult], start: str) -> None:
    """How many, what happened, where, which tests, and what to write."""
    attempts = {one.nodeid: replace(DONE, nodeid=one.nodeid) for one in results}
    (fault,) = unseen_faults(results, attempts, Settings(), place)
    assert fault.startswith(start)
    assert "Write `assert llm_output == llm_baseline`" in fault


SKIPPED = replace(DONE, outcome="skipped", reason="too cold")
NEVER = replace(SKIPPED, reached=False, reason="no GPU")


@pytest.mark.parametrize(
    ("attempts", "settings", "tables", "why"),
    [
        ([], NAMED, False, "Mark a test with"),
        ([], NAMED, True, "were not selected"),
        ([], OF_FILE, True, ""),
        ([], Settings(), False, ""),
        ([NEVER], NAMED, True, "skipped before the model was asked: 1 test in t.py:4 (no GPU)"),
        ([NEVER], OF_FILE, True, ""),
        ([SKIPPED, SKIPPED], NAMED, True, "skipped after the model had answered: 2 tests in t.py:4 (too cold)"),
        ([SKIPPED], OF_FILE, True, "skipped after the model had answered: 1 test in t.py:4 (too cold)"),
        ([SKIPPED], Settings(), True, "no test compared anything."),
        ([SKIPPED, replace(DONE, verdict=Verdict.IDENTICAL)], NAMED, True, ""),
        ([SKIPPED, replace(DONE, outcome="failed")], NAMED, True, ""),
        ([replace(DONE, outcome="xfailed")], NAMED, True, "expected to fail, and ended before comparing: 1 test"),
        ([replace(DONE, outcome="xfailed", verdict=Verdict.ERROR)], NAMED, True, "expected to fail, and ended"),
        ([replace(DONE, outcome="xfailed", verdict=Verdict.DRIFTED)], NAMED, True, ""),
        ([replace(DONE, outcome="xpassed")], NAMED, True, "passed without comparing: 1 test in t.py:4"),
    ],
)
def test_when_a_run_compared_nothing(attempts: list[Attempt], settings: Settings, tables: bool, why: str) -> None:
    """Named models have to be compared, and an answer that was asked for, too; the reason is the true one."""
    told = nothing_compared(attempts, settings, place, tables=tables, selected=bool(attempts))
    assert bool(told) is bool(why)
    assert why in told


def test_a_run_that_ended_early() -> None:
    """Selected tests that did not come to their end are not said to be deselected or skipped."""
    told = nothing_compared([], NAMED, place, tables=True, selected=True)
    assert told.endswith("The run ended before a test of a prompt table did.")


def test_notes() -> None:
    """Tests that compared in their own way, and tests that skipped themselves, are counted apart."""
    own = replace(DONE, looked=True)
    assert own_comparisons([DONE, replace(own, verdict=Verdict.IDENTICAL)]) == ""
    assert own_comparisons([own, own]).startswith("2 tests compared by reading llm_baseline: no verdict")
    assert skipped_late([DONE, NEVER, own], place) == ""
    assert "1 test in t.py:4 (too cold)" in skipped_late([SKIPPED], place)
