"""Has MLflow evaluate the outputs of a table: its dataset, and the only call of `mlflow.models.evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.models import EvaluationMetric, EvaluationResult

from . import tracking
from .dataset import frame_of

if TYPE_CHECKING:
    from pytest_llmcompare.records import Case
    from pytest_llmcompare.suite.group import Group


def dataset_of(group: Group, cases: Sequence[Case]) -> Any:
    """The table as MLflow's dataset: a row per case, the same for every model and run."""
    return mlflow.data.from_pandas(  # type: ignore[attr-defined]  # made when mlflow.data is imported
        frame_of(cases),
        tracking.dataset_source(group.declaration.file),
        name=group.key.table,
        targets="target" if group.declaration.targets else None,
    )


def evaluate_outputs(
    texts: Sequence[str],
    dataset: Any,
    *,
    model_type: str | None,
    metrics: Sequence[EvaluationMetric],
    model_id: str | None,
) -> EvaluationResult:
    """Evaluate outputs in the active run: `mlflow.models.evaluate` over a model that gives them.

    MLflow logs the dataset before it asks the model. Two processes that log a dataset for the first time at once both
    add it, and the store refuses the second (a unique constraint). So what fails before the model is asked is tried
    once more: by then the dataset is there. No metric is computed twice.

    Args:
        texts: An output per row of the dataset.
        dataset: From `dataset_of`.
        model_type: The model type of MLflow whose metrics are computed, too.
        metrics: Metrics to compute.
        model_id: The logged model that gave the outputs.

    Raises:
        Exception: What a metric raises, which may be the user's own code.
        MlflowException: The store refuses.
    """
    asked = False

    def give_texts(_: Any) -> Sequence[str]:
        nonlocal asked
        asked = True
        return texts

    def evaluate() -> EvaluationResult:
        evaluation: EvaluationResult = mlflow.models.evaluate(
            model=give_texts, data=dataset, model_type=model_type, extra_metrics=[*metrics], model_id=model_id
        )
        return evaluation

    try:
        return evaluate()
    except MlflowException:
        if asked:
            raise
        return evaluate()
