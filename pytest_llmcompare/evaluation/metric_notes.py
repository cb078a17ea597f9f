"""Notes on metrics that MLflow did not compute: always shown if the user asked for them, else with `-v`."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_llmcompare.judgement import ThresholdResult
from pytest_llmcompare.suite.group import Group

from .metrics import metric
from .scorers import ScorerMetric

if TYPE_CHECKING:
    from mlflow.models import EvaluationMetric
    from mlflow.models.evaluation import EvaluationResult

TARGETS = "targets"
"""A metric's function that has a parameter of this name needs targets."""


class LeftOut(NamedTuple):
    """Notes on metrics that are left out, by how prominently they are shown.

    Attributes:
        notes: Shown at every run.
        remarks: Shown with `-v`.
    """

    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def left_out_notes(left_out: str, group: Group, gates: Sequence[ThresholdResult]) -> LeftOut:
    """Say which metrics of a model type are left out, louder if the user asked for them.

    They were asked for if the marker names the model type or a threshold needs one of them. Most tables have the
    default model type.

    Args:
        left_out: The note; empty if no metric is left out.
        group: The group.
        gates: Results of its thresholds.
    """
    if not left_out:
        return LeftOut()
    asked_for = group.declaration.names_model_type or any(gate.value is None for gate in gates)
    return LeftOut(notes=(left_out,)) if asked_for else LeftOut(remarks=(left_out,))


def not_computed(group: Group, asked: Sequence[Any], result: EvaluationResult) -> list[str]:
    """A note per metric that was asked for and has no value; scorers have notes of their own.

    If one of MLflow's own metrics cannot be computed, for example because there are no targets, MLflow only logs a
    warning.

    Args:
        group: The group.
        asked: The metrics that were asked for, as names or MLflow's objects.
        result: What MLflow computed.
    """
    classic = [wanted for wanted in map(metric, asked) if not isinstance(wanted, ScorerMetric)]
    missing = [wanted for wanted in classic if not has_value(wanted, result.metrics)]
    columns = [str(column) for table in result.tables.values() for column in table.columns] if missing else []
    return [note(group, wanted) for wanted in missing if not has_value(wanted, columns)]


def has_value(wanted: EvaluationMetric, computed: Collection[str]) -> bool:
    """True if a metric is among the names of computed ones, of the whole table or row by row."""
    name = f"{wanted.name}/{wanted.version}" if wanted.version else wanted.name
    return any(metric == name or metric.startswith(f"{name}/") for metric in computed)


def note(group: Group, wanted: EvaluationMetric) -> str:
    """Why a metric has no value, and what to do."""
    start = f"table {group.key.table!r}: metric {wanted.name!r} was not computed"
    advice = f"or take {wanted.name!r} out of metrics=[...]."
    rows = group.declaration.rows
    with_target = sum(row.target is not None for row in rows)
    if TARGETS in inspect.signature(wanted.eval_fn).parameters and with_target < len(rows):
        seen = f"{with_target:,} of {len(rows):,} rows have" if with_target else "no row has"
        remedy = "Give the others one, too" if with_target else "Add a column target"
        return f"{start}: it needs a target in every row, and {seen} one. {remedy}, {advice}"
    return f"{start}. MLflow logged the cause as a warning. Fix it, {advice}"
