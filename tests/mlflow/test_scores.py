"""Scores for comparisons of models: what of MLflow's results table is one, and whether more of it is better."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest
from mlflow.metrics import MetricValue, make_metric

from pytest_llmcompare.evaluation.dataset import metrics_by_row, scores_in
from pytest_llmcompare.evaluation.metrics import lower_is_better
from pytest_llmcompare.records import Case, CaseKey, GroupKey, Row, RowKey

GROUP = GroupKey(".", "trivia", "m")
CASES = tuple(
    Case(CaseKey(GROUP, name, "drawn"), Row(name, "?", columns={"year": 1}), "", {}, 0) for name in ("a", "b")
)


def scores(**columns: list[Any]) -> dict[str, dict[RowKey, float]]:
    """The scores in a results table with these columns besides ours."""
    table = pd.DataFrame({"prompt_id": ["b", "a"], "variant": ["drawn"] * 2, "outputs": ["x"] * 2, "seed": [1, 2]})
    return scores_in(table.assign(**columns), CASES)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2.5], {"b": 1.0, "a": 2.5}),
        ([True, False], {"b": 1.0, "a": 0.0}),
        ([None, 3], {"a": 3.0}),
        ([math.inf, -1], {"a": -1.0}),
        (["1", 2], {"a": 2.0}),
    ],
)
def test_scores_are_finite_numbers(values: list[Any], expected: dict[str, float]) -> None:
    """By row, whatever order the table has them in; what is no number is not there."""
    assert scores(quality=values) == {"quality": {RowKey(name, "drawn"): value for name, value in expected.items()}}


@pytest.mark.parametrize("values", [["drifted", "identical"], [None, None], [math.nan, math.nan], [[1], {}]])
def test_columns_without_a_number_are_none(values: list[Any]) -> None:
    """A verdict, or nothing at all, is no score."""
    assert scores(quality=values) == {}


def test_columns_of_the_table_are_no_scores() -> None:
    """They are the same for every model, which would pass for a tie."""
    assert scores(year=[1900, 1901], target=[1, 2], baseline=[1, 2]) == {}


def test_what_metrics_give_each_row() -> None:
    """Numbers and texts, under the name of the metric; the table's columns and what reports show anyway are not."""
    columns = ("prompt_id", "variant", "outputs", "year", "verdict/score", "tone/v1/score", "tone/v1/justification")
    data = [
        ["b", "drawn", "x", 1, "drifted", 0.5, "It is kind.", "x" * 2000, True],
        ["a", "drawn", "x", 1, "drifted", math.nan, "", None, [1]],
    ]
    table = {"columns": [*columns, "long", "judged/score"], "data": data}
    assert metrics_by_row(table, CASES) == {
        RowKey("b", "drawn"): {"tone/v1": 0.5, "tone/v1/justification": "It is kind.", "long": "x" * 1000, "judged": 1}
    }


def own(name: str, *, greater: bool) -> Any:
    """A metric of a user's own."""
    return make_metric(eval_fn=lambda predictions: MetricValue(), greater_is_better=greater, name=name)


@pytest.mark.parametrize(
    ("name", "asked", "expected"),
    [
        ("quality", (), False),
        ("quality", (own("quality", greater=True),), False),
        ("quality", (own("quality", greater=False),), True),
        ("quality", (own("cost", greater=False),), False),
        ("toxicity", (), True),
        ("flesch_kincaid_grade_level", (), True),
        ("exact_match", ("exact_match",), False),
        ("token_count", (), True),
        ("token_count", ("token_count",), True),
    ],
)
def test_direction(name: str, asked: tuple[Any, ...], expected: bool) -> None:
    """As the table's own metrics have it, else as MLflow has it, else more is better."""
    assert lower_is_better(name, asked) is expected


def test_a_table_without_variants() -> None:
    """It has no such column; older tables have one with empty texts."""
    old = pd.DataFrame({"prompt_id": ["a"], "variant": [""], "quality": [1.0]})
    assert scores_in(old, CASES) == scores_in(old.drop(columns="variant"), CASES) == {"quality": {RowKey("a"): 1.0}}
