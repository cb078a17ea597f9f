"""The example suite, copied to where nothing else is: green as it was committed, and all of it to be seen in MLflow."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
import pytest

from tests.platforms import needs_signals

from .stores import in_force

pytestmark = pytest.mark.slow

SUITE = Path(__file__).parents[1] / "example_suite"
MODELS = ["tiny-bloom", "tiny-gpt2", "tiny-gpt2-distil"]
EXPERIMENTS = {
    "compare_small_models": [("answers", name) for name in MODELS],
    "compare_generation_params": [("columns", "tiny-gpt2-distil"), ("variants", "tiny-gpt2-distil")],
    "trivia": [("trivia", name) for name in MODELS],
    "styles": [("styles", name) for name in MODELS],
    "conversations": [("chats", "tiny-chat")],
    "fine_tune": [(table, name) for table in ("kept", "taught") for name in ("tiny-gpt2", "tiny-gpt2-brief")],
}
TESTS = 15 + 20 + 10 + 1 + 24 + 3 + 24 + 15 + 3 + 20
"""Answers, variants, columns, model, trivia (three tests), styles, conversations, fine-tune."""
PATIENCE = 120  # seconds


def environment() -> dict[str, str]:
    """As a user has it: nothing of pytest-xdist, one thread per process for models this small."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "MLFLOW_TRACKING"))}
    return {**kept, "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}


def run(python: str, folder: Path, *options: str) -> str:
    """Run the suite as the README does; what it says."""
    command = [python, "-m", "pytest", folder.name, *options]
    ended = subprocess.run(
        command, cwd=folder.parent, env=environment(), capture_output=True, encoding="utf-8", check=False
    )
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def contents(folder: Path) -> dict[str, bytes]:
    """All files that are in git, by name."""
    names = (path for path in folder.rglob("*") if path.is_file())
    kept = (path for path in names if not {"__pycache__", ".pytest_cache", ".llmcompare"} & {*path.parts})
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in kept}


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The suite in a folder of its own."""
    ignored = shutil.ignore_patterns("__pycache__", ".*_cache", ".llmcompare", "mlruns", "mlflow.db")
    return shutil.copytree(SUITE, tmp_path_factory.mktemp("clone") / "example_suite", ignore=ignored)


@pytest.fixture(scope="module")
def ran(copied: Path, warm_interpreter: Callable[[], str]) -> Path:
    """The suite after a run in two processes: green, with all of its tests, and without another byte in its folder."""
    before = contents(copied)
    said = run(warm_interpreter(), copied, "-n2")
    assert f"{TESTS} passed" in said
    assert contents(copied) == before
    return copied


@pytest.fixture
def store(ran: Path) -> Iterator[Path]:
    """The store of that run, as MLflow finds it from the folder in which pytest ran."""
    with in_force(f"sqlite:///{ran.parent / 'mlflow.db'}"):
        yield ran.parent


def runs_of(experiment: str) -> list[Any]:
    """The runs of an experiment."""
    found: list[Any] = mlflow.search_runs(experiment_names=[experiment], output_format="list")
    return found


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_each_experiment_has_one_run_per_table_and_model(store: Path, experiment: str) -> None:
    """Two processes shared the tests, and each table and model was evaluated once all the same."""
    runs = runs_of(experiment)
    found = sorted((run.data.tags["llmcompare.table"], run.data.tags["llmcompare.model"]) for run in runs)
    assert found == EXPERIMENTS[experiment]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {run.info.run_name for run in runs} == {f"log_model_{model}" for _, model in EXPERIMENTS[experiment]}


def test_the_results_table_has_all_models_side_by_side(store: Path) -> None:
    """As in the article: one table, each model's answers to the same questions, and the verdicts beside them."""
    experiment, column = mlflow.get_experiment_by_name("compare_small_models"), "tags.llmcompare.model"
    assert experiment is not None
    client = mlflow.MlflowClient()
    table = client.load_table(experiment.experiment_id, "eval_results_table.json", extra_columns=[column])
    beside = table.pivot_table(index="prompt_id", columns=column, values="outputs", aggfunc="last")
    assert list(beside.columns) == MODELS
    assert beside.loc["sum"].to_dict() == {
        "tiny-bloom": " 2+2 is 4.",
        "tiny-gpt2": " 2+2 is 4.",
        "tiny-gpt2-distil": " 2+2 is 8.",
    }
    assert set(table["verdict/score"]) == {"identical"}
    assert (table["baseline"] == table["outputs"]).all()


def test_rows_with_their_own_settings_are_logged_as_the_pyfunc_that_reads_them(store: Path) -> None:
    """Both tables of the second experiment became a PyfuncTransformerWithParams."""
    runs = runs_of("compare_generation_params")
    assert {run.data.params["class"] for run in runs} == {"PyfuncTransformerWithParams"}
    assert {run.data.params["class"] for run in runs_of("compare_small_models")} == {"PyfuncTransformer"}


def test_one_process_is_green_as_well(ran: Path, warm_interpreter: Callable[[], str]) -> None:
    """Without pytest-xdist the same tests pass, and nothing changes in the folder."""
    before = contents(ran)
    said = run(warm_interpreter(), ran, "-p", "no:xdist")
    assert f"{TESTS} passed" in said
    assert contents(ran) == before


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """`mlflow ui`, up; ended with all of its processes afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    with (folder / "ui.log").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=folder, env=environment(), stdout=log, stderr=log, start_new_session=True
        )
        try:
            wait_for(f"http://127.0.0.1:{port}/health", server, folder / "ui.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(PATIENCE)


def wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the server answers."""
    for _ in range(PATIENCE * 4):
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.25)
    raise AssertionError(f"mlflow ui did not answer in {PATIENCE} s: {log.read_text()}")


def post(url: str, payload: dict[str, Any]) -> dict[str, Any]:
    """What the page's own requests get."""
    request = urllib.request.Request(url, json.dumps(payload).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


@needs_signals
def test_mlflow_ui_shows_the_runs(store: Path) -> None:
    """A plain `mlflow ui` in the folder in which pytest ran serves the page and its runs."""
    experiment = mlflow.get_experiment_by_name("compare_small_models")
    assert experiment is not None
    with served(store) as url:
        with urllib.request.urlopen(url, timeout=30) as response:
            assert "<title>MLflow</title>" in response.read().decode()
        search = {"experiment_ids": [experiment.experiment_id]}
        found = post(f"{url}/ajax-api/2.0/mlflow/runs/search", search)["runs"]
    assert {"log_model_tiny-gpt2", "log_model_tiny-gpt2-distil", "log_model_tiny-bloom"} == {
        run["info"]["run_name"] for run in found
    }
