"""What the tests of the plugin share: a suite of a user's to run, and what is made once to be copied into it."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_llmcompare.models import in_memory
from tests.conftest import MODELS
from tests.speed import hurry, import_all, keep_example_models

from .suites import TEST, TRIVIA, Prepared, Suite, record

hurry()
import_all()
keep_example_models(MODELS)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, example_models: Path, empty_store: Path) -> Iterator[Prepared]:
    """A store and baselines to copy, made by a real run.

    It also loads all that a run imports: `pytester` forgets modules that are imported beneath it, and torch cannot be
    imported a second time.
    """
    base = tmp_path_factory.mktemp("prepared")
    shutil.copy(empty_store, base / "empty.db")
    gc.collect()
    gc.freeze()  # each run ends with a collection, which would look through all of torch
    models = {"m": example_models / "tiny-gpt2", "b": example_models / "tiny-bloom"}
    baselines = record(base / "trivia", base / "empty.db", models, TRIVIA, TEST)
    (baselines / "trivia/b.baseline").unlink()
    (baselines / "trivia/b.tokens.jsonl").unlink()
    gc.collect()
    gc.freeze()
    yield Prepared(base / "empty.db", baselines)
    gc.unfreeze()
    in_memory.release()


@pytest.fixture
def suite(
    pytester: pytest.Pytester,
    prepared: Prepared,
    example_models: Path,
    warm_interpreter: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> Suite:
    """An empty suite with an MLflow store of its own."""
    shutil.copy(prepared.store, pytester.path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{pytester.path / 'mlflow.db'}")
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("CI", "BUILD_NUMBER"):  # where these are set pytest cuts no message
        monkeypatch.delenv(name, raising=False)
    return Suite(pytester, example_models, prepared, warm_interpreter)
