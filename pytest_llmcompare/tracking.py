"""The MLflow tracking store: which one, quietly, and one run per table and model in it."""

from __future__ import annotations

import logging
import os
import subprocess
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import fluent
from mlflow.tracking.context.registry import resolve_tags

from .errors import LlmCompareError, TrackingError
from .models.faults import reason
from .models.registered import bounded_requests, found_or_none, store

LONGEST_VALUE = 6000  # characters of a parameter, MLflow's own limit
GIT_COMMIT = "mlflow.source.git.commit"
PARENT = "mlflow.parentRunId"
VARIABLES = ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID")
"""Environment variables that MLflow itself sets and removes: the one with the tracking URI, the other with runs."""


@contextmanager
def tracked(uri: str) -> Iterator[None]:
    """Use a tracking store inside the block, and MLflow's own rules where `uri` is empty.

    The user's own choice of store and of active model is as before afterwards.
    """
    before, variables = mlflow.get_tracking_uri(), {name: os.environ.get(name) for name in VARIABLES}
    model = mlflow.get_active_model_id()
    with ExitStack() as stack:
        stack.enter_context(quiet())
        stack.enter_context(bounded_requests())
        if uri:
            mlflow.set_tracking_uri(uri)
        try:
            yield
        finally:
            if mlflow.get_active_model_id() != model:  # mlflow.models.evaluate leaves the one it evaluated
                mlflow.clear_active_model() if model is None else mlflow.set_active_model(model_id=model)
            if uri:
                mlflow.set_tracking_uri(before)
            for name, value in variables.items():
                restore_variable(name, value)


def restore_variable(name: str, value: str | None) -> None:
    """Put an environment variable back."""
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


@contextmanager
def quiet() -> Iterator[None]:
    """Keep MLflow's notes on what it does, one per step and model, and its progress bars off the terminal."""
    logger = logging.getLogger("mlflow")
    level, bars = logger.level, os.environ.get("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR")
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    logger.setLevel(logging.ERROR)
    alembic = logging.getLogger("alembic")
    alembic_level = alembic.level
    alembic.setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)
            alembic.setLevel(alembic_level)
            restore_variable("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", bars)


def experiment_id(name: str) -> str:
    """The id of an experiment, made where there is none; MLflow's active experiment stays as it is.

    Raises:
        TrackingError: The store does not answer, or the experiment was deleted.
    """
    client = mlflow.MlflowClient()
    with store_errors(f"experiment {name!r}"):
        found = client.get_experiment_by_name(name)
        if found is None:
            return str(client.create_experiment(name))
    if found.lifecycle_stage == "deleted":
        raise TrackingError(
            f"MLflow at {store()}: the experiment {name!r} was deleted, so nothing can be logged there.\n"
            f"Restore it: mlflow experiments restore --experiment-id {found.experiment_id}, "
            'or name another with llm_prompts(..., experiment="...").'
        )
    return str(found.experiment_id)


@contextmanager
def new_run(experiment: str, name: str, tags: Mapping[str, str]) -> Iterator[Run]:
    """A fresh run, beneath the user's own where there is one (which is left as it is)."""
    own = {**tags, **({PARENT: parent} if (parent := users_run()) else {})}
    # `mlflow.start_run` without an id would take over the run that MLFLOW_RUN_ID names.
    made = mlflow.MlflowClient().create_run(experiment, tags=resolve_tags(own), run_name=name)
    with reopened(made.info.run_id) as run:
        yield run


def users_run() -> str:
    """Id of the run that the user is in, by `mlflow.start_run` or a launcher; empty where this store has none."""
    active = mlflow.active_run()
    run_id = active.info.run_id if active else os.environ.get("MLFLOW_RUN_ID", "")
    known = found_or_none(lambda: mlflow.MlflowClient().get_run(run_id)) if run_id else None
    return run_id if known else ""


@contextmanager
def reopened(run_id: str) -> Iterator[Run]:
    """A run that was ended, opened again; where the block raises, it has failed."""
    with no_active_experiment():
        opened = mlflow.start_run(run_id=run_id, nested=mlflow.active_run() is not None)
    with opened as run:
        yield run


@contextmanager
def no_active_experiment() -> Iterator[None]:
    """Forget the user's `mlflow.set_experiment`, because of which MLflow refuses runs of other experiments."""
    before = fluent._active_experiment_id  # no public function takes it back
    fluent._active_experiment_id = None
    try:
        yield
    finally:
        fluent._active_experiment_id = before


def mark_failed(run_id: str) -> None:
    """Let an ended run show that it failed."""
    mlflow.MlflowClient().set_terminated(run_id, "FAILED")


def log_facts(facts: Mapping[str, Any]) -> None:
    """Log parameters of the active run; what is empty says nothing, what is too long for MLflow is cut."""
    mlflow.log_params({name: str(value)[:LONGEST_VALUE] for name, value in facts.items() if value not in ("", None)})


@contextmanager
def store_errors(what: str) -> Iterator[None]:
    """Turn what a tracking store says into an error with a way out.

    Raises:
        TrackingError: The store refused, or did not answer.
    """
    try:
        yield
    except LlmCompareError:
        raise
    except (MlflowException, OSError) as error:
        raise TrackingError(
            f"MLflow at {store()} cannot be used ({what}): {reason(error)}\n"
            "See whether that store is running, or name another with --llm-tracking-uri or MLFLOW_TRACKING_URI."
        ) from error


def git_commit(folder: Path) -> str:
    """The commit that is checked out in a folder; empty where there is none."""
    try:
        found = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""
