"""How long a model took for each case, where that can be known.

A served model is timed request by request. A model in this process answers in batches, which the engine times, and a
text pyfunc in parts: the time of a batch is shared over its cases in proportion to the tokens that were generated, that
of a part equally.

There is no time for answers that were not generated in this run (from the cache, or the journal of an interrupted run),
nor for those for which a baseline was tried as a draft: confirming tokens is faster than generating them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pytest_llmcompare.comparison.percentiles import percentiles
from pytest_llmcompare.decoding.request import Outcome
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.judgement import ThresholdResult
from pytest_llmcompare.records import Case, RowKey

PREFIX = "latency/"
"""Prefix of the percentiles among the metrics."""


def is_generated(outcome: Outcome) -> bool:
    """True if an output was generated from its first token, without a draft that was tried."""
    if not isinstance(outcome, Generation) or outcome.verified:
        return False
    return bool(not outcome.unverified or outcome.untried)


def of_rows(cases: Iterable[Case], seconds: Mapping[int, float]) -> dict[RowKey, float]:
    """Times by row."""
    return {case.key.row: seconds[index] for index, case in enumerate(cases) if index in seconds}


def log(seconds: Mapping[RowKey, float], model_id: str | None, dataset: Any) -> dict[str, float]:
    """Log the percentiles as metrics of the active run, its model and its dataset; return them by name."""
    import mlflow
    from mlflow.entities import Metric

    metrics = {f"{PREFIX}{name}": value for name, value in percentiles(seconds.values()).items()}
    run = mlflow.active_run()
    if metrics and run is not None:
        whose = {"model_id": model_id, "dataset_name": dataset.name, "dataset_digest": dataset.digest}
        now = int(1000 * time.time())
        logged = [Metric(name, value, now, 0, run_id=run.info.run_id, **whose) for name, value in metrics.items()]
        # `mlflow.log_metrics(..., dataset=)` would log the dataset again, which the evaluation has logged.
        mlflow.MlflowClient().log_batch(run.info.run_id, metrics=logged)
    return metrics


def explained(
    gates: Iterable[ThresholdResult], outcomes: Iterable[Outcome], cached: int
) -> tuple[ThresholdResult, ...]:
    """Results of thresholds, with the reason added to those on a latency that is unknown."""
    answered = [outcome for outcome in outcomes if isinstance(outcome, Generation)]
    if not answered:
        return tuple(gates)
    drafts = sum(not is_generated(outcome) for outcome in answered)
    if cached == len(answered):
        why = "All answers are from the cache, so no time was measured. To ask the model: --llm-cache=off"
    elif drafts:
        why = (
            "Baselines were tried as drafts, which is faster than generating, so no time was measured. "
            "To have the model generate: --llm-cache=off --llm-decode=plain"
        )
    else:
        why = "All answers are from an interrupted run or from the cache, so no time was measured."
    return tuple(
        replace(gate, why=why) if gate.value is None and gate.metric.startswith(PREFIX) else gate for gate in gates
    )
