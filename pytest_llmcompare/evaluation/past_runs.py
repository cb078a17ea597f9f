"""Reads the runs of a prompt table from an MLflow tracking store."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import mlflow
from mlflow.entities import Run

from pytest_llmcompare.comparison.history import PastRun
from pytest_llmcompare.errors import TrackingError, did_you_mean
from pytest_llmcompare.models.mlflow_store import database_of, store, store_errors
from pytest_llmcompare.text import without_secrets

from .tracking import GIT_COMMIT
from .tracking_store import Store, working_in

TABLE, MODEL, FOLDER, VERDICT = (f"llmcompare.{name}" for name in ("table", "model", "folder", "model_verdict"))
AT_ONCE = 1000  # runs per request


def past_runs(table: str, *, uri: str, started: Path, since: float = 0.0, model: str = "") -> list[PastRun]:
    """The runs of a table.

    Args:
        table: Its name, or folder and name: `tests/trivia`.
        uri: The tracking store; empty for what MLflow's own rules give.
        started: The folder that a relative store is in.
        since: Leaves out runs that started before, in seconds since 1970.
        model: Name of a model; empty for all.

    Raises:
        TrackingError: There is no store, it does not answer, or it has no run of this table, or of this model.
    """
    with working_in(started):
        _check_is_there(uri or mlflow.get_tracking_uri())
    with Store(uri, started).used(), store_errors(f"runs of table {table!r}"):
        ours = list(_our_runs())
        folder, _, name = table.rpartition("/")
        of_table = [run for run in ours if run.data.tags[TABLE] == table]
        of_table = of_table or [run for run in ours if (_folder(run), run.data.tags[TABLE]) == (folder, name)]
        if not of_table:
            known = {run.data.tags[TABLE] for run in ours}
            hint = did_you_mean(table, known) if known else " It has none of pytest-llmcompare."
            raise TrackingError(f"MLflow at {store()} has no run of a table {table!r}.{hint}")
        runs = [_past_run(run) for run in of_table]
    if model and model not in {run.model for run in runs}:
        raise TrackingError(
            f"table {table!r} has no run of a model {model!r}.{did_you_mean(model, {run.model for run in runs})}"
        )
    return [run for run in runs if run.started >= since and model in ("", run.model)]


def _check_is_there(uri: str) -> None:
    """Look for the database of a store: MLflow would make one.

    Raises:
        TrackingError: There is none.
    """
    database = database_of(uri)
    if database is not None and not database.is_file():
        raise TrackingError(
            f"there is no MLflow store at {without_secrets(uri)} ({database.absolute()}).\n"
            "Run pytest first, or name another store with --tracking-uri or MLFLOW_TRACKING_URI."
        )


def _our_runs() -> Iterator[Run]:
    """All runs that pytest-llmcompare has logged."""
    client = mlflow.MlflowClient()
    experiments = [experiment.experiment_id for experiment in client.search_experiments(max_results=AT_ONCE)]
    token: str | None = None
    while experiments:
        page = client.search_runs(experiments, f"tags.`{TABLE}` LIKE '%'", max_results=AT_ONCE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _past_run(run: Run) -> PastRun:
    tags, metrics = run.data.tags, run.data.metrics
    return PastRun(
        run_id=run.info.run_id,
        folder=_folder(run),
        model=tags.get(MODEL, ""),
        started=run.info.start_time / 1000,
        commit=tags.get(GIT_COMMIT, ""),
        metrics={name: value for name, value in metrics.items() if math.isfinite(value)},
        finding=tags.get(VERDICT, ""),
        failed=run.info.status == "FAILED",
    )


def _folder(run: Run) -> str:
    return str(run.data.tags.get(FOLDER, "."))
