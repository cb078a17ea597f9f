"""Checks metrics of a table against their thresholds, with `mlflow.validate_evaluation_results`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import mlflow
from mlflow.models import MetricThreshold
from mlflow.models.evaluation import EvaluationResult
from mlflow.models.evaluation.validation import ModelValidationFailedException

from pytest_llmcompare.errors import did_you_mean
from pytest_llmcompare.judgement import ThresholdResult, Verdict
from pytest_llmcompare.settings import Update
from pytest_llmcompare.suite.thresholds import Threshold

from .row_metrics import EXACT_MATCH, MLFLOWS_EXACT_MATCH

VERDICTS = "verdict/"
AGAINST_BASELINES = (VERDICTS, "margin/", "likelihood_drift/")
"""Prefixes of the metrics that compare outputs with baselines."""

RATES = ("drift_rate", "near_tie_rate", "shift_rate")
"""Metrics of the verdicts; a threshold may name them without `verdict/`."""


class Scope(NamedTuple):
    """What the metrics were computed over.

    Attributes:
        cases: Selected cases.
        total: All cases of the table.
    """

    cases: int
    total: int


def check(
    thresholds: Sequence[Threshold], computed: Mapping[str, Any] | None, scope: Scope, update: Update
) -> tuple[ThresholdResult, ...]:
    """Check each threshold.

    An update option accepts drift, so thresholds on drift are not checked then.

    Args:
        thresholds: The conditions.
        computed: Metrics by name; None if the evaluation failed.
        scope: What they were computed over.
        update: The update option of the run.
    """
    gates = [checked(threshold, computed, scope) for threshold in thresholds]
    return tuple(gate for gate in gates if computed is None or not is_settled(gate, update))


def checked(threshold: Threshold, computed: Mapping[str, Any] | None, scope: Scope) -> ThresholdResult:
    """Check one threshold; a metric without a value does not pass."""
    metric, wanted = threshold.metric, threshold.wanted
    value = metric_value(metric, computed or {})
    if value is None:
        return ThresholdResult(metric, wanted, None, passed=False, why=why_not(metric, computed), **scope._asdict())
    passed = passes(threshold, value)
    why = "" if passed else why_low(metric, value, computed or {})
    return ThresholdResult(metric, wanted, value, passed=passed, why=why, **scope._asdict())


def is_settled(gate: ThresholdResult, update: Update) -> bool:
    """True if the threshold limits drift from baselines that this run replaces."""
    if update is Update.NOTHING or not compares(gate.metric):
        return False
    return gate.value is None or update.accepts(Verdict.DRIFTED)


def compares(metric: str) -> bool:
    """True if a metric compares outputs with baselines."""
    return metric in RATES or metric.startswith(AGAINST_BASELINES)


def metric_value(metric: str, computed: Mapping[str, Any]) -> float | None:
    """The value of a metric; None if it has none, or one that is NaN or not a number."""
    names = (metric, f"{VERDICTS}{metric}") if metric in RATES else (metric,)
    given = next((computed[name] for name in names if name in computed), None)
    try:
        value = math.nan if given is None else float(given)
    except (TypeError, ValueError):
        return None
    return None if math.isnan(value) else value


def passes(threshold: Threshold, value: float) -> bool:
    """True if a value meets its threshold, by MLflow's own check."""
    wanted = MetricThreshold(threshold=threshold.bound, greater_is_better=threshold.greater_is_better)
    result = EvaluationResult({threshold.metric: value}, {}, run_id="")
    try:
        mlflow.validate_evaluation_results({threshold.metric: wanted}, result)
    except ModelValidationFailedException:
        return False
    return True


def why_low(metric: str, value: float, computed: Mapping[str, Any]) -> str:
    """A hint on a value that does not reach its threshold; empty if there is none."""
    ours = computed.get(EXACT_MATCH)
    if metric != MLFLOWS_EXACT_MATCH or ours is None or ours <= value:
        return ""
    return f"It compares white space, too; without that around output and target, {EXACT_MATCH!r} is {ours:.6g}."


def why_not(metric: str, computed: Mapping[str, Any] | None) -> str:
    """Why a metric has no value, as a sentence or two."""
    if computed is None:
        return "The evaluation failed."
    if metric in computed:
        return f"Its value is {computed[metric]}."
    if metric == EXACT_MATCH:
        return "No selected case has a target."
    if compares(metric) and not any(name.startswith(VERDICTS) for name in computed):
        return "No selected case could be compared with a baseline."
    return (
        f"{did_you_mean(metric, computed).strip()} Name other metrics in metrics=[...] to have them computed.".strip()
    )
