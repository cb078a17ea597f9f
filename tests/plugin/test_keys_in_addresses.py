"""A key in an address reaches nothing that a run shows, logs or writes, and still reaches whoever needs it."""

from __future__ import annotations

import json
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_llmcompare.cli.main import main

from .suites import Suite

SECRET = "Xq7SECRETz9"
SOURCE = f"mine:http://user:{SECRET}@host/v1?key={SECRET}#access_token={SECRET}"
CONFTEST = f"""
class Model:
    def __init__(self, source):
        assert source == {SOURCE!r}

    def predict(self, texts):
        return ["same" for _ in texts]

def pytest_llmcompare_load_model(spec):
    return Model(spec.source)
"""
CODE = f"""
import mlflow
from mlflow.models import ModelConfig, set_model
import pandas as pd

class Model(mlflow.pyfunc.PythonModel):
    def __init__(self, source):
        self.told = "the key" if {SECRET!r} in source else "no key"

    def predict(self, context, model_input: pd.DataFrame, params=None):
        return [self.told for _ in range(len(model_input))]

set_model(Model(ModelConfig().get("source")))
"""


def leaks(folder: Path) -> Iterator[str]:
    """What holds the key: files that a run wrote, but not those that the user did."""
    for path in folder.rglob("*"):
        own = path.name in ("conftest.py", "pyproject.toml") or "__pycache__" in path.parts or path.suffix == ".pyc"
        if path.is_file() and not own and SECRET.encode() in path.read_bytes():
            yield str(path.relative_to(folder))


def pyproject(suite: Suite) -> None:
    suite.write("pyproject.toml", f"[tool.llmcompare.models.m]\nsource = {json.dumps(SOURCE)}\n")


@pytest.mark.parametrize("named", [False, True])
def test_key_of_a_model(named: bool, suite: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither in the output, MLflow's store, the MLmodel file, baselines, pending outputs nor reports; named or not."""
    suite.trivia()
    suite.write("conftest.py", CONFTEST)
    pyproject(suite)
    model = SOURCE if named else "m"
    results = [
        suite.run("--llm-report=a.html", "--llm-report=a.md", "--llm-report=a.json", *options, models=[model])
        for options in ((), ("--llm-update",), ("-v",))
    ]
    results[1].assert_outcomes(passed=3)
    results[2].assert_outcomes(passed=3)
    for result in results:
        assert SECRET not in result.stdout.str() + result.stderr.str()
    (run, *_) = suite.mlflow_runs()
    assert run.data.params["source"] == "mine:http://host/v1"
    assert list(leaks(suite.path)) == []
    capsys.readouterr()
    main(["models", model, "--root", str(suite.path)])
    shown = capsys.readouterr()
    assert "mine:http://host/v1" in shown.out
    assert SECRET not in shown.out + shown.err


def test_key_reaches_code_that_a_plugin_names(suite: Suite) -> None:
    """A file with models from code gets the address as the user wrote it, and MLflow keeps it without the key."""
    suite.trivia()
    suite.write("model.py", CODE.replace(SECRET, "SECRETz9"))
    suite.write("conftest.py", "def pytest_llmcompare_load_model(spec):\n    return 'model.py'\n")
    pyproject(suite)
    suite.run("--llm-update", models=["m"]).assert_outcomes(passed=3)
    assert "|the key" in (suite.path / "__baselines__/trivia/m.baseline").read_text()
    assert list(leaks(suite.path)) == []


def test_failing_plugins_do_not_tell(suite: Suite) -> None:
    """What a plugin raises and what is wrong with a spec are shown without the key."""
    suite.trivia()
    suite.write(
        "conftest.py", "def pytest_llmcompare_load_model(spec):\n    raise ValueError(f'GET {spec.source}: 401')\n"
    )
    pyproject(suite)
    for model in ("m", SOURCE, f"{SOURCE},x={SOURCE}", f"http://user:{SECRET}@host/?key={SECRET}"):
        result = suite.run(models=[model])
        assert result.ret != 0
        assert SECRET not in result.stdout.str() + result.stderr.str()
    result = suite.run(f"--llm-baseline={SOURCE}", models=[suite.spec()])
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert SECRET not in result.stdout.str() + result.stderr.str()


@pytest.mark.parametrize("address", ["http://127.0.0.1:{port}/?token={secret}", "http://me:{secret}@127.0.0.1:{port}"])
def test_key_of_a_tracking_store(address: str, suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is down is told without its key, by us, by MLflow and by what they call."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    suite.trivia()
    uri = address.format(port=port, secret=SECRET)
    result = suite.run(f"--llm-tracking-uri={uri}", "-v", models=[suite.spec()])
    result.assert_outcomes(errors=3)
    assert SECRET not in result.stdout.str() + result.stderr.str()
    assert f"http://127.0.0.1:{port}" in result.stdout.str()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    result = suite.run("--llm-baseline=runs:/0123456789abcdef0123456789abcdef", models=["models:/qa@champion"])
    assert result.ret != 0
    assert SECRET not in result.stdout.str() + result.stderr.str()


def test_address_of_gits_remote(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow notes it with each run, in CI with a token in it."""
    from mlflow.tracking.context.git_context import GitRunContext

    tags = {"mlflow.source.git.repoURL": f"https://x-access-token:{SECRET}@github.com/a/b"}
    monkeypatch.setattr(GitRunContext, "in_context", lambda self: True)
    monkeypatch.setattr(GitRunContext, "tags", lambda self: tags)
    suite.trivia()
    suite.run(models=[suite.spec()])
    (run,) = suite.mlflow_runs()
    assert run.data.tags["mlflow.source.git.repoURL"] == "https://github.com/a/b"
    with sqlite3.connect(suite.path / "mlflow.db") as database:
        assert SECRET not in "\n".join(database.iterdump())
