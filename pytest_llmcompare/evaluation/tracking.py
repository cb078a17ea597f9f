"""The MLflow tracking store: which one, quietly, and one run per table and model in it."""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import mlflow
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.dataset_source import DatasetSource
from mlflow.entities import Metric, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.models.evaluation import EvaluationResult
from mlflow.tracking.context.registry import resolve_tags

from pytest_llmcompare.baselines import folder_lock, run_outputs
from pytest_llmcompare.compat import no_active_experiment, use_tracking_uri
from pytest_llmcompare.errors import TrackingError
from pytest_llmcompare.judgement import ModelVerdict
from pytest_llmcompare.models.mlflow_store import bounded_requests, database_of, found_or_none, store, store_errors
from pytest_llmcompare.records import Baseline, GroupKey
from pytest_llmcompare.text import error_line

from . import model_logging
from .heavy_imports import heavy_imports

LONGEST_VALUE = 6000  # characters of a parameter, MLflow's own limit
MAKING_SECONDS = 300.0  # making a database takes some seconds
GIT_COMMIT = "mlflow.source.git.commit"
PARENT = "mlflow.parentRunId"
VARIABLES = ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID")
"""Environment variables that MLflow itself sets and removes: the one with the tracking URI, the other with runs."""

QUIET = {"alembic": logging.WARNING, "mlflow.store.db.utils": logging.CRITICAL}
"""Levels of loggers while we use a store; MLflow's prints the whole statement of an error that it then raises."""

_made: set[str] = set()  # stores that this process has seen to have a database


class Store:
    """The tracking store of a run.

    Args:
        uri: Its URI; empty for what MLflow's own rules give.
        folder: The folder that pytest was started in: MLflow looks there for a store, and a test may be elsewhere.
    """

    def __init__(self, uri: str, folder: Path) -> None:
        self.uri = uri
        self.folder = folder

    @property
    def is_new(self) -> bool:
        """True if its database is still to be made, which takes some seconds."""
        with working_in(self.folder):
            database = database_of(self.uri or mlflow.get_tracking_uri())
            return database is not None and not database.exists()

    @contextmanager
    def used(self) -> Iterator[None]:
        """Use it inside the block. The user's own store, run and active model are as before afterwards.

        Raises:
            TrackingError: It does not exist and cannot be created.
        """
        variables = {name: os.environ.get(name) for name in VARIABLES}
        model = mlflow.get_active_model_id()
        with ExitStack() as stack:
            for name, value in variables.items():
                stack.callback(restore_variable, name, value)
            stack.enter_context(quiet())
            stack.enter_context(bounded_requests())
            with working_in(self.folder):
                uri = self.uri or mlflow.get_tracking_uri()
                stack.enter_context(use_tracking_uri(uri))
                make(uri)
            try:
                yield
            finally:
                if mlflow.get_active_model_id() != model:  # mlflow.models.evaluate leaves the one it evaluated
                    mlflow.clear_active_model() if model is None else mlflow.set_active_model(model_id=model)


class SavedEvaluation(EvaluationResult):
    """MLflow's evaluation result, read again: its tables come from the store that it was logged to."""

    def __init__(self, metrics: Any, artifacts: Any, run_id: str, store: Store) -> None:
        super().__init__(metrics, artifacts, run_id)  # type: ignore[no-untyped-call]
        self.store = store

    @property
    def tables(self) -> dict[str, Any]:
        """Tables by name; `eval_results_table` has a row per case."""
        with self.store.used():
            client = mlflow.MlflowClient()
            # MLflow's own property looks in the active experiment only, which need not be this one.
            experiment = client.get_run(self.run_id).info.experiment_id
            names = {name: PurePosixPath(urlsplit(artifact.uri).path).name for name, artifact in self.artifacts.items()}
            return {name: client.load_table(experiment, file, run_ids=[self.run_id]) for name, file in names.items()}


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Make a folder the working directory inside the block."""
    before = Path.cwd()
    if folder != before:
        os.chdir(folder)
    try:
        yield
    finally:
        if folder != before:
            os.chdir(before)


def make(uri: str) -> None:
    """Create the database of a store if there is none, one process at a time.

    MLflow has a lock for that, but does not take it everywhere.

    Raises:
        TrackingError: It cannot be made, or is not an MLflow database.
    """
    if not uri.startswith("sqlite") or uri in _made:
        return
    database = database_of(uri)
    with store_errors("its database", (Exception,)), ExitStack() as locks:
        if database:  # its folder is locked, so that processes with other folders for temporary files wait, too
            locks.enter_context(folder_lock.folder_lock(database.absolute().parent, MAKING_SECONDS))
            check_opens(database)
        with heavy_imports():  # of SQLAlchemy and of each migration
            mlflow.MlflowClient().search_experiments(max_results=1)
    _made.add(uri)


def check_opens(database: Path) -> None:
    """Open a SQLite database, which makes an empty one; MLflow tries for 100 seconds to open one that cannot be opened.

    Raises:
        sqlite3.DatabaseError: It cannot be opened, or is not a database.
    """
    if database.parent.is_dir():
        with closing(sqlite3.connect(database)) as connection:
            try:
                connection.execute("SELECT 1 FROM sqlite_master")
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    raise


def restore_variable(name: str, value: str | None) -> None:
    """Put an environment variable back."""
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


@contextmanager
def quiet() -> Iterator[None]:
    """Keep MLflow's log messages, and alembic's of a new store, off the terminal."""
    loggers = {logging.getLogger(name): level for name, level in QUIET.items()}
    levels = {logger: logger.level for logger in loggers}
    changed = [logger for logger, level in loggers.items() if logger.level != level]
    for logger in changed:
        logger.setLevel(loggers[logger])
    try:
        with model_logging.quiet():
            yield
    finally:
        for logger in changed:
            logger.setLevel(levels[logger])


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
