"""Experiments and runs in MLflow's tracking store: one run per table and model, and what is logged in it."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import mlflow
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.dataset_source import DatasetSource
from mlflow.entities import Metric, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking.context.registry import resolve_tags

from pytest_llmcompare.baselines import run_outputs
from pytest_llmcompare.compat import no_active_experiment
from pytest_llmcompare.errors import TrackingError
from pytest_llmcompare.judgement import ModelVerdict
from pytest_llmcompare.models.mlflow_store import database_of, found_or_none, store, store_errors
from pytest_llmcompare.records import Baseline, GroupKey
from pytest_llmcompare.text import error_line

from . import model_logging

LONGEST_VALUE = 6000  # characters of a parameter, MLflow's own limit
GIT_COMMIT = "mlflow.source.git.commit"
PARENT = "mlflow.parentRunId"


def experiment_id(name: str, started: Path) -> str:
    """The id of an experiment, which is created if needed; MLflow's active experiment stays as it is.

    Args:
        name: Its name.
        started: The folder that pytest was started in.

    Raises:
        TrackingError: The store does not answer, or the experiment was deleted.
    """
    client = mlflow.MlflowClient()
    place = place_of_files(name, mlflow.get_tracking_uri(), started)
    with store_errors(f"experiment {name!r}"):
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            with suppress(MlflowException):  # another process may have been faster
                return str(client.create_experiment(name, place))
            experiment = client.get_experiment_by_name(name) or client.get_experiment(
                client.create_experiment(name, place)
            )
    if experiment.lifecycle_stage == "deleted":
        raise TrackingError(
            f"MLflow at {store()}: the experiment {name!r} was deleted, so nothing can be logged there.\n"
            f"Restore it: mlflow experiments restore --experiment-id {experiment.experiment_id}, "
            'or name another with llm_prompts(..., experiment="...").'
        )
    return str(experiment.experiment_id)


def place_of_files(name: str, uri: str, started: Path) -> str | None:
    """Where a new experiment keeps its files; None for MLflow's own default.

    That is `mlruns` in the working folder, also for a database that the user put elsewhere, perhaps because the
    working folder cannot be written to. So there it is `mlruns` beside the database.
    """
    database = database_of(uri)
    if database is None or (started / database).parent.resolve() == started.resolve():
        return None
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    place = (started / database).parent.resolve() / "mlruns" / f"{model_logging.mlflow_name(name)[:60]}-{digest}"
    return place.as_uri() if os.name == "nt" else str(place)


@contextmanager
def new_run(experiment: str, name: str, tags: Mapping[str, str]) -> Iterator[Run]:
    """A new run, ended after the block; as failed, if that raises.

    It is nested in the user's active run if there is one, which is left as it is.
    """
    own = {**tags, **({PARENT: parent} if (parent := users_run()) else {})}
    # `mlflow.start_run` without an id would take over the run that MLFLOW_RUN_ID names.
    made = mlflow.MlflowClient().create_run(
        experiment, tags=model_logging.tags_without_secrets(resolve_tags(own)), run_name=name
    )
    with no_active_experiment():
        opened = mlflow.start_run(run_id=made.info.run_id, nested=mlflow.active_run() is not None)
    with opened as run:
        yield run


def dataset_source(file: str) -> DatasetSource:
    """Where a table comes from, in MLflow's own words: its file, or else the code that ran."""
    if file:
        source: DatasetSource = mlflow.data.sources.LocalArtifactDatasetSource(file)  # type: ignore[attr-defined]
        return source
    return CodeDatasetSource(tags=model_logging.tags_without_secrets(resolve_tags()))


def users_run() -> str:
    """Id of the run that the user is in, by `mlflow.start_run` or a launcher; empty if it has none in this store."""
    active = mlflow.active_run()
    run_id = active.info.run_id if active else os.environ.get("MLFLOW_RUN_ID", "")
    known = found_or_none(lambda: mlflow.MlflowClient().get_run(run_id)) if run_id else None
    return run_id if known else ""


def mark_failed(run_id: str) -> None:
    """Mark an ended run as failed."""
    mlflow.MlflowClient().set_terminated(run_id, "FAILED")


def log_outputs(run_id: str, group: GroupKey, outputs: Sequence[Baseline]) -> str:
    """Log outputs with their tokens in an ended run, so that later runs can compare with them: `runs:/ID`.

    Returns:
        A note if that failed, which does not fail the evaluation; else empty.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            run_outputs.write(Path(folder), group, outputs)
            mlflow.MlflowClient().log_artifacts(run_id, folder, run_outputs.FOLDER)
    except (MlflowException, OSError) as error:
        return (
            f"the outputs of run {run_id} could not be logged, so --llm-baseline=runs:/{run_id} is not possible: "
            f"{error_line(error)}"
        )
    return ""


def log_model_verdict(run_id: str, verdict: ModelVerdict | None) -> None:
    """Log whether the model changed in an ended run: a tag, and the figures as metrics."""
    if verdict is None:
        return
    figures = {"model/moved_rms": verdict.moved, "model/noise": verdict.noise}
    now = int(1000 * time.time())
    metrics = [Metric(name, value, now, 0) for name, value in figures.items() if value is not None]
    tags = [RunTag("llmcompare.model_verdict", verdict.finding.value)]
    mlflow.MlflowClient().log_batch(run_id, metrics=metrics, tags=tags)


def log_facts(facts: Mapping[str, Any]) -> None:
    """Log parameters of the active run: empty values are left out, values too long for MLflow are cut."""
    mlflow.log_params({name: str(value)[:LONGEST_VALUE] for name, value in facts.items() if value not in ("", None)})
