"""Several processes that use, or create, one MLflow store at the same time."""

from __future__ import annotations

import sqlite3
import subprocess
from contextlib import closing

import pytest
import sqlalchemy
from mlflow import MlflowClient
from mlflow.store.tracking.dbmodels.models import SqlDataset

from .evaluations import Suite, datasets, made_template, suite

__all__ = ["made_template", "suite"]


@pytest.fixture
def without_store(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> Suite:
    """A suite whose store is yet to be made, and processes that share the cores."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    suite.uri = f"sqlite:///{suite.path / 'yet to be made.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", suite.uri)
    return suite


def runs_of(suite: Suite) -> list[tuple[str, str]]:
    client = MlflowClient(tracking_uri=suite.uri)
    experiments = [found.experiment_id for found in client.search_experiments() if found.name != "Default"]
    return sorted((run.info.run_name, run.info.status) for run in client.search_runs(experiments))


def test_workers_make_the_store(without_store: Suite) -> None:
    """Two workers that begin with different tables make one store and evaluate each table once."""
    without_store.compare()
    without_store.compare(name="arithmetic")
    result = without_store.run_apart(
        *("-n2", "--dist=loadfile", "--llm-update", f"--llm-models={without_store.spec('a')}")
    )
    result.assert_outcomes(passed=6)
    assert runs_of(without_store) == [("log_model_a", "FINISHED")] * 2


def test_processes_make_the_store(without_store: Suite) -> None:
    """Two pytest processes that start at once make one store; both pass, and each has its own run."""
    without_store.compare()
    commands = [
        [without_store.warm(), "-m", "pytest", "-q", "--llm-update", f"--llm-models={without_store.spec(name)}"]
        for name in ("a", "b")
    ]
    started = [
        subprocess.Popen(command, cwd=without_store.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for command in commands
    ]
    shown = [process.communicate(timeout=180)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0], "\n".join(shown)
    assert runs_of(without_store) == [("log_model_a", "FINISHED"), ("log_model_b", "FINISHED")], "\n".join(shown)


def test_another_process_logs_the_dataset_first(suite: Suite) -> None:
    """Between the moment in which MLflow looks for the dataset and that in which it adds it: it is looked for again."""
    suite.compare()
    added: list[str] = []

    def add_first(_mapper: object, _connection: object, dataset: SqlDataset) -> None:
        if not added:
            added.append(str(dataset.digest))
            values = (dataset.experiment_id, dataset.name, dataset.digest)
            with closing(sqlite3.connect(suite.uri.removeprefix("sqlite:///"))) as other, other:
                other.execute("INSERT INTO datasets VALUES ('of another', ?, ?, ?, 'code', '{}', '{}', '{}')", values)

    sqlalchemy.event.listen(SqlDataset, "before_insert", add_first)
    try:
        result = suite.run(suite.spec("a"))
    finally:
        sqlalchemy.event.remove(SqlDataset, "before_insert", add_first)
    result.assert_outcomes(passed=3)
    result.stdout.no_fnmatch_line("*could not compute*")
    assert runs_of(suite) == [("log_model_a", "FINISHED")]
    assert [one.digest for one in datasets(suite.only_run("trivia"))] == added
