"""What is said of a threshold that a table does not reach."""

from __future__ import annotations

import pytest
from hypothesis import given

from pytest_llmcompare.records import Gate, GroupKey, GroupResult
from pytest_llmcompare.reports.gates import failed_gates

from .samples import HOSTILE, is_harmless

KEY = GroupKey("tests", "trivia", "m")
START = "gate failed: table 'trivia', model 'm': "


@pytest.mark.parametrize(
    ("gate", "line"),
    [
        (Gate("a/v1", ">=0.8", 0.5, False, 10, 10), f"{START}a/v1 is 0.5 over 10 cases, wanted >=0.8"),
        (Gate("a/v1", ">=0.8", 1 / 3, False, 3, 10), f"{START}a/v1 is 0.333333 over 3 of 10 cases, wanted >=0.8"),
        (Gate("a", "<=0", 1e-9, False, 1, 1), f"{START}a is 1e-09 over 1 case, wanted <=0"),
        (
            Gate("b", "<=4", None, False, 1200, 3000, "The evaluation failed."),
            f"{START}b was not computed over 1,200 of 3,000 cases, wanted <=4. The evaluation failed.",
        ),
    ],
)
def test_line_of_a_gate(gate: Gate, line: str) -> None:
    """Metric, value, over what, and what was wanted; a gate that passed has none."""
    passed = Gate("c", ">=0", 1.0, True, 1, 1)
    assert failed_gates(GroupResult(KEY, gates=(passed, gate, passed))) == [line]


@given(HOSTILE, HOSTILE)
def test_names_do_not_act(metric: str, why: str) -> None:
    """Not on a terminal and not in a CI service."""
    (line,) = failed_gates(GroupResult(KEY, gates=(Gate(metric, ">=1", None, False, 1, 1, why),)))
    assert is_harmless(line)
