"""A group's model, logged in a run of its own and loaded from there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import mlflow
from mlflow.pyfunc import PyFuncModel

from pytest_llmcompare.models import in_memory
from pytest_llmcompare.models.resolve import ResolvedModel
from pytest_llmcompare.models.spec import shown_spec
from pytest_llmcompare.text import without_secrets

from . import group_model, tracking
from .heavy_imports import heavy_imports
from .model_logging import python_model_of
from .pyfunc import HeldTransformer

if TYPE_CHECKING:
    from pytest_llmcompare.suite.extensions import Progress
    from pytest_llmcompare.suite.group import Group

    from .resources import Resources


@dataclass(frozen=True)
class LoggedModel:
    """A run with a logged model; and that model, loaded from there.

    Attributes:
        run_id: The run.
        uri: The logged model.
        model: The model, as `mlflow.pyfunc.load_model` gives it.
        ours: Our own pyfunc inside it; None if it was logged elsewhere or gives only texts.
        identity: All of it that decides what it answers.
        tracking_uri: Address of the store, without secrets.
        experiment_id: Experiment of the run.
        name: Name of the model.
    """

    run_id: str
    uri: str
    model: PyFuncModel
    ours: HeldTransformer | None
    identity: group_model.Identity
    tracking_uri: str = ""
    experiment_id: str = ""
    name: str = ""


@contextmanager
def logged_model(group: Group, resolved: ResolvedModel, resources: Resources) -> Iterator[LoggedModel]:
    """Make a run, log the model in it, and load the model from there; the run is active inside the block.

    Raises:
        LlmCompareError: It cannot be logged or loaded.
    """
    experiment = tracking.experiment_id(group.declaration.experiment, resources.store.folder)
    with tracking.new_run(experiment, f"log_model_{group.spec.name}", tags(group, resolved, resources.commit)) as run:
        tracking.log_facts(group_model.facts_of(group, resolved))
        uri = group_model.log_group_model(group, resolved, resources.settings.batch_size)
        model = resources.loaded.get(uri, group.spec, defers=True)
        ours = python_model_of(model)
        identity = group_model.identity_of(resolved, ours)
        address = without_secrets(mlflow.get_tracking_uri())
        yield LoggedModel(run.info.run_id, uri, model, ours, identity, address, experiment, group.spec.name)


def tags(group: Group, resolved: ResolvedModel, commit: str) -> dict[str, str]:
    """Tags by which a run can be found."""
    named = {
        "mlflow.test.name": group.owner,
        "llmcompare.table": group.key.table,
        "llmcompare.model": group.spec.name,
        "llmcompare.folder": group.key.folder,
        "llmcompare.source": shown_spec(group.spec),
        "llmcompare.fingerprint": resolved.fingerprint,
        tracking.GIT_COMMIT: commit,
    }
    return {name: value for name, value in named.items() if value}


def load_now(logged: LoggedModel, ours: HeldTransformer, progress: Progress) -> None:
    """Load the weights of a local model. Raises as `hold` does."""
    imported = {"torch", "transformers"} <= sys.modules.keys()
    if not imported:
        progress.say("importing torch and transformers")
    with heavy_imports():
        from pytest_llmcompare.models import load  # noqa: F401 - imports torch
    if not imported:
        progress.say(f"loading {logged.name}")
    in_memory.hold(ours.located())
