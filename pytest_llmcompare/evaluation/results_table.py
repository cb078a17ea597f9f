"""MLflow's results table: columns that its dataset does not have, and their order."""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

import mlflow
import pandas as pd
from mlflow.models import EvaluationMetric, EvaluationResult

from pytest_llmcompare.baselines.sources.results_table import NAME
from pytest_llmcompare.records import Case, RowKey

from .dataset import OURS, settings_of, storable_frame

LEGACY_PARAMETERS = 2
"""A metric with two parameters that are neither `predictions` nor `targets` gets MLflow's own DataFrames."""


def columns_beside(cases: Sequence[Case], baselines: Mapping[RowKey, str], *, per_row: bool) -> pd.DataFrame:
    """Columns of the results table that depend on the model or the run, so that they are not part of the dataset.

    Args:
        cases: The cases.
        baselines: Texts of the baselines, by row.
        per_row: Whether the model reads examples, decoding settings and seed row by row.

    Returns:
        Column `baseline`, and those of the settings.
    """
    beside = storable_frame({"baseline": [baselines.get(case.key.row) for case in cases]})
    return pd.concat([beside, settings_of(cases)], axis=1) if per_row else beside


def with_columns(metric: EvaluationMetric, beside: pd.DataFrame) -> EvaluationMetric:
    """Wrap a metric so that its function can name arguments after columns that are not in the dataset.

    Args:
        metric: The metric.
        beside: The columns, a row per case in the order of the dataset.
    """
    parameters = inspect.signature(metric.eval_fn).parameters
    names = list(parameters)
    wanted = [name for name in names if name in beside]
    legacy = len(names) == LEGACY_PARAMETERS and names[0] != "predictions" and names[1] != "targets"
    if not wanted or legacy:
        return metric
    compute, kind = metric.eval_fn, inspect.Parameter.POSITIONAL_OR_KEYWORD
    passed = {name: one.replace(kind=kind) for name, one in parameters.items() if name not in wanted}
    own = {name: inspect.Parameter(name, kind, default=None) for name in ("prompt_id", "variant")}
    signature = inspect.Signature([*passed.values(), *(own[name] for name in own if name not in passed)])

    def eval_fn(*arguments: Any) -> Any:
        given = dict(zip(signature.parameters, arguments, strict=True))
        rows = len(given["prompt_id"])  # MLflow first tries the first row alone
        return compute(*(beside[name].iloc[:rows] if name in wanted else given[name] for name in names))

    eval_fn.__signature__ = signature  # type: ignore[attr-defined]  # MLflow reads it
    widened = copy.copy(metric)
    widened.eval_fn = eval_fn
    return widened


def arrange(evaluation: EvaluationResult, beside: pd.DataFrame) -> dict[str, Any]:
    """Add columns to the results table of the active run, and put all of them in order.

    Args:
        evaluation: What MLflow's evaluation gave.
        beside: The columns, a row per case in the order of the table.

    Returns:
        The table, as JSON has it: `columns` and `data`.
    """
    # By its own address: by that of its run, MLflow would ask the store three times.
    table: dict[str, Any] = json.loads(mlflow.artifacts.load_text(evaluation.artifacts[PurePath(NAME).stem].uri))
    table = arranged(table, beside)
    mlflow.log_text(json.dumps(table, ensure_ascii=False), NAME)
    return table


def arranged(table: Mapping[str, Any], beside: pd.DataFrame) -> dict[str, Any]:
    """A results table, as JSON has it, with further columns, and its columns in the order of `OURS`."""
    columns = [*table["columns"], *beside.columns]
    added = beside.astype(object).where(beside.notna(), None).to_numpy().tolist()
    order = sorted(range(len(columns)), key=lambda at: OURS.index(columns[at]) if columns[at] in OURS else len(OURS))
    rows = [[*row, *more] for row, more in zip(table["data"], added, strict=True)]
    return {"columns": [columns[at] for at in order], "data": [[row[at] for at in order] for row in rows]}
