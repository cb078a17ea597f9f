"""The marker's `thresholds`: what is read, and what is refused."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.models import MetricThreshold

from pytest_llmcompare.errors import UsageError
from pytest_llmcompare.suite.thresholds import Threshold, read_thresholds

WANT = 'expected ">=0.8", "<=0.8" or an mlflow.models.MetricThreshold.'
WHERE = "llm_prompts: thresholds['m']"
OF_ANOTHER = "compares with the evaluation of another model, and a threshold looks at one model."


@pytest.mark.parametrize(
    ("condition", "bound", "greater", "wanted"),
    [
        (">=0.8", 0.8, True, ">=0.8"),
        ("<=40", 40.0, False, "<=40"),
        (" >= \t-1e-3 \n", -0.001, True, ">=-0.001"),
        (">=0.1234567891", 0.1234567891, True, ">=0.1234567891"),
        (MetricThreshold(threshold=0.8, greater_is_better=True), 0.8, True, ">=0.8"),
        (MetricThreshold(threshold=0, greater_is_better=False), 0.0, False, "<=0"),
    ],
)
def test_conditions(condition: Any, bound: float, greater: bool, wanted: str) -> None:
    """As text or as MLflow's own object."""
    (found,) = read_thresholds({"m": condition})
    assert found == Threshold("m", bound, greater)
    assert found.wanted == wanted


def test_none_and_several() -> None:
    """No thresholds are none; several keep their order."""
    assert read_thresholds(None) == ()
    assert [found.metric for found in read_thresholds({"b": ">=1", "a": "<=2"})] == ["b", "a"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, 'llm_prompts: thresholds={}, expected e.g. {"exact_match": ">=0.8"}.'),
        (">=0.8", "llm_prompts: thresholds='>=0.8', expected e.g. {\"exact_match\": \">=0.8\"}."),
        ({"m": ">0.8"}, f"{WHERE}='>0.8': unknown operator '>'. Did you mean '>='?"),
        ({"m": "<0.8"}, f"{WHERE}='<0.8': unknown operator '<'. Did you mean '<='?"),
        ({"m": "~0.8"}, f"{WHERE}='~0.8': unknown operator '~'. Known: <=, >=."),
        ({"m": "0.8"}, f"{WHERE}='0.8' has no operator, {WANT}"),
        ({"m": ""}, f"{WHERE}='' has no operator, {WANT}"),
        ({"m": ">=80%"}, f"{WHERE}='>=80%': '80%' is not a number, {WANT}"),
        ({"m": ">="}, f"{WHERE}='>=': '' is not a number, {WANT}"),
        ({"m": ">=nan"}, f"{WHERE}: nan cannot be a bound, expected a finite number."),
        ({"m": "<=1e999"}, f"{WHERE}: inf cannot be a bound, expected a finite number."),
        (
            {"m": MetricThreshold(threshold=math.nan, greater_is_better=True)},
            f"{WHERE}: nan cannot be a bound, expected a finite number.",
        ),
        (
            {"m": MetricThreshold(threshold=10**400, greater_is_better=True)},
            f"{WHERE}: inf cannot be a bound, expected a finite number.",
        ),
        (
            {"m": MetricThreshold(min_absolute_change=0.1, greater_is_better=True)},
            f"{WHERE}: min_absolute_change {OF_ANOTHER} Give MetricThreshold(threshold=...) alone.",
        ),
        (
            {"m": MetricThreshold(threshold=1, min_relative_change=0.1, greater_is_better=True)},
            f"{WHERE}: min_relative_change {OF_ANOTHER} Give MetricThreshold(threshold=...) alone.",
        ),
        ({"m": 0.8}, f"{WHERE}=0.8, {WANT}"),
        ({"m": True}, f"{WHERE}=True, {WANT}"),
        ({"m": None}, f"{WHERE}=None, {WANT}"),
        ({1: ">=0.8"}, "llm_prompts: thresholds[1]='>=0.8', expected the name of a metric as the key."),
        ({" ": ">=0.8"}, "llm_prompts: thresholds[' ']='>=0.8', expected the name of a metric as the key."),
        ({"m": "=0.8", "ok": ">=1", "n": ">=x"}, "\n".join([
            f"{WHERE}='=0.8': unknown operator '='. Did you mean '>='?",
            f"llm_prompts: thresholds['n']='>=x': 'x' is not a number, {WANT}",
        ])),
    ],
)  # fmt: skip
def test_what_is_wrong_with_thresholds(given: Any, message: str) -> None:
    """The metric, the condition and what was expected; all faulty ones at once."""
    with pytest.raises(UsageError) as caught:
        read_thresholds(given)
    assert str(caught.value) == message


@given(st.floats(allow_nan=False, allow_infinity=False), st.booleans())
def test_conditions_are_shown_as_they_can_be_written(bound: float, greater: bool) -> None:
    """`wanted` reads back as the same threshold."""
    threshold = Threshold("m", bound, greater)
    assert read_thresholds({"m": threshold.wanted}) == (threshold,)


@given(st.text() | st.integers() | st.binary() | st.builds(SimpleNamespace, threshold=st.text() | st.integers()))
def test_any_other_condition_is_an_error_of_ours(condition: Any) -> None:
    """Or a threshold with a finite bound."""
    try:
        (found,) = read_thresholds({"m": condition})
    except UsageError:
        return
    assert math.isfinite(found.bound)
