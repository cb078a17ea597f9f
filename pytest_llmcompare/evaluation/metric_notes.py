"""What to say of metrics that MLflow did not compute: at every run if somebody asked for them, else with `-v`."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_llmcompare.records import Gate
from pytest_llmcompare.suite.group import Group

from .metrics import metric

if TYPE_CHECKING:
    from mlflow.models import EvaluationMetric
    from mlflow.models.evaluation import EvaluationResult

TARGETS = "targets"
"""Name of the parameter by which a metric's function asks for targets."""


class Said(NamedTuple):
    """What to say.

    Attributes:
        notes: At every run.
        remarks: With `-v`.
    """

    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def said_of(left_out: str, group: Group, gates: Sequence[Gate]) -> Said:
    """Where to say what is left out of a model type.

    Most tables have the default model type, which nobody asked for. Metrics of one that the marker names, and those
    that a threshold needs, were asked for.

    Args:
        left_out: What is left out; empty if nothing is.
        group: The group.
        gates: What its thresholds said.
    """
    if not left_out:
        return Said()
    asked_for = group.declaration.names_model_type or any(gate.value is None for gate in gates)
    return Said(notes=(left_out,)) if asked_for else Said(remarks=(left_out,))


def not_computed(group: Group, asked: Sequence[Any], result: EvaluationResult) -> list[str]:
    """A note per metric that was asked for and has no value.

    MLflow only logs a warning if one of its own metrics cannot be computed, for example for want of targets.

    Args:
        group: The group.
        asked: The metrics that were asked for, as names or MLflow's objects.
        result: What MLflow computed.
    """
    missing = [wanted for wanted in map(metric, asked) if not has_value(wanted, result.metrics)]
    columns = [str(column) for table in result.tables.values() for column in table.columns] if missing else []
    return [note(group, wanted) for wanted in missing if not has_value(wanted, columns)]


def has_value(wanted: EvaluationMetric, computed: Collection[str]) -> bool:
    """Whether a metric is among the names of those that were computed for all rows together, or row by row."""
    name = f"{wanted.name}/{wanted.version}" if wanted.version else wanted.name
    return any(found == name or found.startswith(f"{name}/") for found in computed)


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
    return f"{start}. MLflow logs a warning that says why. Mend it, {advice}"
