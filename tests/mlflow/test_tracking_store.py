"""Which tracking store is used, where its files lie, and what is said when it cannot be used."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from pytest_llmcompare.evaluation import tracking_store

from .evaluations import Suite, made_template, suite

__all__ = ["made_template", "suite"]


def flat(result: pytest.RunResult) -> str:
    return " ".join(result.stdout.str().split())


@pytest.fixture
def closed_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        accepted: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    accepted.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)
    for connection in accepted:
        connection.close()


def test_server_that_is_down(suite: Suite, closed_port: int) -> None:
    """Without a server behind the URI the tests fail soon, all with one wait, and are told where and what to do."""
    suite.compare()
    suite.pytester.makepyfile(test_else="def test_else(): pass")
    started = time.monotonic()
    result = suite.run(
        suite.spec("a"), args=["--llm-update", f"--llm-tracking-uri=http://user:hush@127.0.0.1:{closed_port}"]
    )
    assert time.monotonic() - started < 20
    result.assert_outcomes(passed=1, errors=3)
    text = flat(result)
    assert f"MLflow at http://127.0.0.1:{closed_port} cannot be used (experiment 'trivia'): " in text
    assert "Check that the store is running, or name another with --llm-tracking-uri or MLFLOW_TRACKING_URI." in text
    assert "hush" not in text.partition("test session starts")[2].replace("--llm-tracking-uri=http://user:hush", "")
    assert not (suite.path / "__baselines__").exists()


def test_server_that_does_not_answer(suite: Suite, silent_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that hangs costs a bounded wait per model; a limit that the user has set is kept."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    suite.compare()
    started = time.monotonic()
    result = suite.run(suite.spec("a"), args=[f"--llm-tracking-uri=http://127.0.0.1:{silent_port}"])
    assert time.monotonic() - started < 20
    result.assert_outcomes(errors=3)
    assert f"MLflow at http://127.0.0.1:{silent_port} cannot be used" in flat(result)


def test_server_is_down_for_a_model(suite: Suite, closed_port: int) -> None:
    """A model that lies in a store that is down fails with its name."""
    suite.compare()
    result = suite.run("m=models:/qa@champion", args=[f"--llm-tracking-uri=http://127.0.0.1:{closed_port}"])
    result.assert_outcomes(errors=3)
    assert (
        f"model 'm': models:/qa@champion cannot be looked up in MLflow at http://127.0.0.1:{closed_port}: "
    ) in flat(result)


def test_baselines_survive_a_store_that_is_down(suite: Suite, closed_port: int) -> None:
    """An update without a store changes no baseline."""
    suite.compare()
    suite.run(suite.spec("a")).assert_outcomes(passed=3)
    files = {path: path.read_bytes() for path in (suite.path / "__baselines__").rglob("*") if path.is_file()}
    assert len(files) >= 2
    uri = f"--llm-tracking-uri=http://127.0.0.1:{closed_port}"
    suite.run(suite.spec("a"), args=["--llm-update-all", "--llm-prune=yes", uri]).assert_outcomes(errors=3)
    assert {path: path.read_bytes() for path in (suite.path / "__baselines__").rglob("*") if path.is_file()} == files


def test_option_beats_environment(suite: Suite) -> None:
    """--llm-tracking-uri names the store of this run alone."""
    suite.compare()
    other = f"sqlite:///{suite.path / 'other.db'}"
    suite.run(suite.spec("a"), args=["--llm-update", f"--llm-tracking-uri={other}"]).assert_outcomes(passed=3)
    assert suite.experiments() == set()
    assert MlflowClient(tracking_uri=other).get_experiment_by_name("trivia") is not None


def test_store_that_is_no_store(suite: Suite) -> None:
    """A URI of a kind that MLflow does not know, and a file that is no database, fail with the URI."""
    suite.compare()
    (suite.path / "text.db").write_text("this is no database, whatever its name is\n" * 50)
    for uri in ("gopher://127.0.0.1/store", f"sqlite:///{suite.path / 'text.db'}"):
        result = suite.run(suite.spec("a"), args=[f"--llm-tracking-uri={uri}"])
        result.assert_outcomes(errors=3)
        assert f"MLflow at {uri} cannot be used" in flat(result)


def test_deleted_experiment(suite: Suite) -> None:
    """An experiment that was deleted is not brought back, and the message says how to."""
    suite.compare()
    suite.run(suite.spec("a"))
    found = suite.client.get_experiment_by_name("trivia")
    assert found is not None
    suite.client.delete_experiment(found.experiment_id)
    result = suite.run(suite.spec("a"), args=())
    result.assert_outcomes(errors=3)
    assert (
        f"MLflow at {suite.uri}: the experiment 'trivia' was deleted, so nothing can be logged there. "
        f"Restore it: mlflow experiments restore --experiment-id {found.experiment_id}, "
        'or name another with llm_prompts(..., experiment="...").'
    ) in flat(result)


def test_default_store_from_a_subfolder(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing set the store is MLflow's own, in the folder where pytest was started, and so are its files.

    That holds for a test that changes the folder, too.
    """
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (suite.path / "mlflow.db").unlink()
    suite.pytester.makeini("[pytest]")
    suite.pytester.makeconftest(
        "import pytest\n\n@pytest.fixture(autouse=True)\ndef elsewhere(tmp_path, monkeypatch):\n"
        "    monkeypatch.chdir(tmp_path)\n"
    )
    sub = suite.path / "sub"
    sub.mkdir()
    suite.compare()
    (suite.path / "test_trivia.py").rename(sub / "test_trivia.py")
    monkeypatch.chdir(sub)
    result = suite.run_apart(f"--llm-models={suite.spec('a')}", "--llm-update", f"--basetemp={suite.path / 'base'}")
    result.assert_outcomes(passed=3)
    assert not (suite.path / "mlflow.db").exists()
    assert [path.parent for path in suite.path.rglob("mlflow.db")] == [sub]
    assert [path.parent for path in suite.path.rglob("mlruns")] == [sub]
    client = MlflowClient(tracking_uri=f"sqlite:///{sub / 'mlflow.db'}")
    found = client.get_experiment_by_name("trivia")
    assert found is not None
    assert Path(found.artifact_location).is_relative_to(sub / "mlruns")
    (run,) = client.search_runs([found.experiment_id])
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["eval_results_table.json", "llmcompare"]


def test_the_session_leaves_no_run_open(suite: Suite) -> None:
    """After a session no run is active, and MLflow's default experiment stays empty."""
    suite.compare()
    suite.run(suite.spec("a"))
    assert mlflow.active_run() is None
    assert suite.client.search_runs(["0"]) == []


@pytest.mark.parametrize("name", ["torch.utils._pytree", "torchao.kernel.intmm"])
def test_log_messages_of_libraries_are_not_those_of_a_test(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """They come at the first import, so pytest would show them with the first test if it fails."""
    with tracking_store.quiet():
        logging.getLogger(name).warning("a kernel for other hardware")
    assert caplog.messages == []
    logging.getLogger(name).warning("in a test of the user")
    assert caplog.messages == ["in a test of the user"]
