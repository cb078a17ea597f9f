"""Lines on thresholds, those that hold and those that a table does not reach."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcompare.judgement import ThresholdResult
from pytest_llmcompare.records import GroupKey, GroupResult
from pytest_llmcompare.reports.style import Page
from pytest_llmcompare.reports.threshold_lines import MOST_HOLDING, failed_thresholds, threshold_blocks, value_of
from pytest_llmcompare.text import width

from .samples import HOSTILE, is_harmless

KEY = GroupKey("tests", "trivia", "m")
START = "threshold failed: table 'trivia', model 'm': "


@pytest.mark.parametrize(
    ("gate", "line"),
    [
        (ThresholdResult("a/v1", ">=0.8", 0.5, False, 10, 10), f"{START}a/v1 is 0.5 over 10 cases, wanted >=0.8"),
        (
            ThresholdResult("a/v1", ">=0.8", 1 / 3, False, 3, 10),
            f"{START}a/v1 is 0.333333 over 3 of 10 cases, wanted >=0.8",
        ),
        (ThresholdResult("a", "<=0", 1e-9, False, 1, 1), f"{START}a is 1e-09 over 1 case, wanted <=0"),
        (
            ThresholdResult("b", "<=4", None, False, 1200, 3000, "The evaluation failed."),
            f"{START}b was not computed over 1,200 of 3,000 cases, wanted <=4. The evaluation failed.",
        ),
    ],
)
def test_line_of_a_gate(gate: ThresholdResult, line: str) -> None:
    """Metric, value, over what, and what was wanted; a gate that passed has none."""
    passed = ThresholdResult("c", ">=0", 1.0, True, 1, 1)
    assert failed_thresholds(GroupResult(KEY, gates=(passed, gate, passed))) == [line]


@given(HOSTILE, HOSTILE)
def test_names_do_not_act(metric: str, why: str) -> None:
    """Not on a terminal and not in a CI service."""
    (line,) = failed_thresholds(GroupResult(KEY, gates=(ThresholdResult(metric, ">=1", None, False, 1, 1, why),)))
    assert is_harmless(line)


@pytest.mark.parametrize(
    ("value", "wanted", "passed", "shown"),
    [
        (0.5, ">=0.5", True, "0.5"),
        (1 / 3, ">=0.25", True, "0.333333"),
        (0.49999999, ">=0.5", False, "0.49999999"),
        (40.0000001, "<=40", False, "40.0000001"),
        (0.49999999, "<=0.5", True, "0.5"),
        (float("inf"), "<=4", False, "inf"),
        (None, "<=4", False, "not computed"),
    ],
)
def test_value_of_a_gate(value: float | None, wanted: str, passed: bool, shown: str) -> None:
    """Six digits, or all of them if the threshold failed by less than that."""
    assert value_of(ThresholdResult("m", wanted, value, passed, 1, 1)) == shown


def lines_of(
    *groups: tuple[GroupKey, tuple[ThresholdResult, ...]], columns: int = 80, every: bool = False
) -> list[str]:
    """The blocks of some gates, one below the other."""
    return [line.text for block in threshold_blocks(groups, Page(columns), every=every) for line in block]


HOLDS, FAILS = (
    ThresholdResult("exact_match/v1", ">=0.5", 0.75, True, 3, 10),
    ThresholdResult("n", "<=4", 12.5, False, 3, 10),
)


def test_block_of_a_table_and_model() -> None:
    """Result, metric, value and what was wanted, in columns; a failed one is red."""
    (block,) = threshold_blocks([(KEY, (HOLDS, FAILS))], Page(80), every=False)
    assert [line.text for line in block] == [
        "thresholds of trivia/m, over 3 of 10 cases:",
        "  ok      exact_match/v1  0.75  >=0.5",
        "  FAILED  n               12.5  <=4",
    ]
    assert [line.markup for line in block[1:]] == [{}, {"red": True}]


def test_many_that_hold_are_cut_and_no_failed_one_is() -> None:
    """The rest is counted, and `-v` shows all."""
    held = [(GroupKey("tests", "t", f"m{at}"), (HOLDS,)) for at in range(MOST_HOLDING + 2)]
    failed = (GroupKey("tests", "t", "z"), (FAILS,))
    lines = lines_of(*held, failed)
    assert lines[-3:] == [
        "thresholds of t/z, over 3 of 10 cases:",
        "  FAILED  n  12.5  <=4",
        "2 more thresholds held (-v shows all)",
    ]
    assert len(lines_of(*held, failed, every=True)) == 2 * len(held) + 2


@given(HOSTILE, st.integers(20, 120))
def test_block_keeps_to_the_width(name: str, columns: int) -> None:
    """Whatever the names are."""
    for line in lines_of(
        (GroupKey("tests", name, name), (ThresholdResult(name, ">=1", 0.5, False, 1, 1),)), columns=columns
    ):
        assert width(line) <= columns
        assert is_harmless(line)
