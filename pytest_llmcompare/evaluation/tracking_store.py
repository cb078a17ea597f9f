"""MLflow's tracking store of a run: which one, made if it is new, and used without messages on the terminal."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import mlflow
from mlflow.models.evaluation import EvaluationResult

from pytest_llmcompare.baselines import folder_lock
from pytest_llmcompare.compat import use_tracking_uri
from pytest_llmcompare.models.mlflow_store import bounded_requests, database_of, store_errors

from . import model_logging
from .heavy_imports import heavy_imports

MAKING_SECONDS = 300.0  # making a database takes some seconds
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
