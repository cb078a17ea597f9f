"""What the tests of the plugin share: a suite of a user's to run, and what is made once to be copied into it."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest

from pytest_llmcompare.models import resident

from .suites import TEST, TRIVIA, Prepared, Suite


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, example_models: Path) -> Iterator[Prepared]:
    """A store and baselines to copy, made by a real run.

    It also loads all that a run imports: `pytester` forgets modules that are imported beneath it, and torch cannot be
    imported a second time.
    """
    base = tmp_path_factory.mktemp("prepared")
    (base / "trivia.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in TRIVIA))
    (base / "test_trivia.py").write_text(TEST)
    models = ",".join(f"{name}={example_models / folder}" for name, folder in (("m", "tiny-gpt2"), ("b", "tiny-bloom")))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(base)
        for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID"):
            patch.delenv(name, raising=False)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{base / 'mlflow.db'}")
        mlflow.MlflowClient().search_experiments()
        shutil.copy(base / "mlflow.db", base / "empty.db")
        options = ("-p", "no:cacheprovider", "--import-mode=importlib", f"--basetemp={base / 'tmp'}")
        assert pytest.main([*options, f"--llm-models={models}", "--llm-update", str(base)]) == 0
        del sys.modules["test_trivia"]  # the suites of the tests have modules of this name
    (base / "__baselines__/trivia/b.baseline").unlink()
    (base / "__baselines__/trivia/b.tokens.jsonl").unlink()
    yield Prepared(base / "empty.db", base / "__baselines__")
    resident.release()


@pytest.fixture
def suite(
    pytester: pytest.Pytester, prepared: Prepared, example_models: Path, monkeypatch: pytest.MonkeyPatch
) -> Suite:
    """An empty suite with an MLflow store of its own."""
    shutil.copy(prepared.store, pytester.path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{pytester.path / 'mlflow.db'}")
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    return Suite(pytester, example_models, prepared)
