"""What these tests share: the small models, one MLflow store per process, nothing left in memory."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pytest
import torch

from pytest_llmcompare.evaluation.heavy_imports import import_evaluators
from pytest_llmcompare.models import in_memory
from tests.conftest import MODELS
from tests.speed import hurry, import_all, keep_example_models
from tests.stores import in_force

hurry()
import_all()
keep_example_models(MODELS)


@dataclass(frozen=True)
class Store:
    """An MLflow store: its tracking URI, and an experiment whose files are in a folder of their own."""

    uri: str
    experiment: str


@pytest.fixture(scope="session")
def made_store(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Store:
    """A sqlite store, made once."""
    base = tmp_path_factory.mktemp("store")
    shutil.copy(empty_store, base / "mlflow.db")
    uri = f"sqlite:///{base / 'mlflow.db'}"
    with in_force(uri):
        experiment = mlflow.create_experiment("models", artifact_location=(base / "artifacts").as_uri())
    return Store(uri, experiment)


@pytest.fixture
def store(made_store: Store) -> Iterator[Store]:
    """The store, in force."""
    with in_force(made_store.uri):
        yield made_store


@pytest.fixture
def run(store: Store) -> Iterator[str]:
    """An active run of the store."""
    with mlflow.start_run(experiment_id=store.experiment) as active:
        yield active.info.run_id


@pytest.fixture(scope="session")
def gpt2(example_models: Path) -> str:
    """Folder of a small GPT-2 that answers questions."""
    return str(example_models / "tiny-gpt2")


@pytest.fixture(scope="session")
def bloom(example_models: Path) -> str:
    """Folder of a small BLOOM that answers questions."""
    return str(example_models / "tiny-bloom")


@pytest.fixture(scope="session", autouse=True)
def one_thread_and_nothing_in_memory() -> Iterator[None]:
    """Small models in several processes wait for each other's threads; and the last model is freed.

    A collection of garbage looks through no library: that takes half a second.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    import_evaluators()
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
    torch.set_num_threads(threads)
    in_memory.release()
