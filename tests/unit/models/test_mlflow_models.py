"""MLflow URIs: pinned to what they mean now in a real store, or an error with the names that exist."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_llmcompare.errors import ModelError, TrackingError
from pytest_llmcompare.models.mlflow_store import LIMITS, bounded_requests
from pytest_llmcompare.models.resolve import ResolvedModel, resolve
from pytest_llmcompare.models.spec import ModelSpec, parse_specs

if TYPE_CHECKING:
    from .conftest import Store

ELSEWHERE = "Look with `mlflow ui`, or name another store with --llm-tracking-uri or MLFLOW_TRACKING_URI."
ROOT = Path()


def spec_of(text: str) -> ModelSpec:
    return parse_specs([text], {}, ROOT)[0]


def resolved(text: str) -> ResolvedModel:
    return resolve(spec_of(text), root=ROOT)


def refusal(text: str) -> str:
    with pytest.raises(ModelError) as error:
        resolved(text)
    return str(error.value)


@pytest.mark.parametrize("text", ["models:/qa@champion", "models:/qa/1"])
def test_registered_model(text: str, store: Store) -> None:
    """An alias is pinned to the version that it means now; the fingerprint is the model's id."""
    found = resolved(text)
    assert found == ResolvedModel(spec_of(text), "models:/qa/1", "1", store.first[2:14])


def test_alias_that_moved(store: Store) -> None:
    """The alias is looked up each time."""
    from mlflow import MlflowClient

    client = MlflowClient()
    client.set_registered_model_alias("qa", "moving", "1")
    assert resolved("models:/qa@moving").location == "models:/qa/1"
    client.set_registered_model_alias("qa", "moving", "2")
    assert resolved("models:/qa@moving").location == "models:/qa/2"
    client.delete_registered_model_alias("qa", "moving")


def test_latest_version(store: Store) -> None:
    """`latest` is pinned too."""
    assert resolved("models:/qa/latest").location == "models:/qa/2"


def test_logged_model(store: Store) -> None:
    """A model id is its own revision."""
    found = resolved(f"models:/{store.last}")
    assert (found.location, found.revision, found.fingerprint) == (
        f"models:/{store.last}",
        store.last,
        store.last[2:14],
    )


def test_run_is_pinned_to_the_last_model_of_that_name(store: Store) -> None:
    """A run that logged a name twice means the last, as in MLflow."""
    found = resolved(f"runs:/{store.run}/model")
    assert (found.location, found.revision) == (f"models:/{store.last}", store.last)


@pytest.mark.parametrize("form", ["runs:/{run}/old", "models:/qa/2", "models:/qa@challenger"])
def test_model_of_mlflow_2(form: str, store: Store) -> None:
    """A model without an id of its own gets the digest over its files as fingerprint, by whichever name."""
    found = resolved(form.format(run=store.old_run))
    assert found.location in (f"runs:/{store.old_run}/old", "models:/qa/2")
    assert found.revision in (store.old_run, "2")
    assert found.fingerprint == resolved("models:/qa/2").fingerprint
    assert len(found.fingerprint) == 12


@pytest.mark.parametrize("text", ["models:/qa@champion", "models:/{last}", "runs:/{run}/model", "runs:/{old_run}/old"])
def test_pinned_uri_loads(text: str, store: Store) -> None:
    """What a URI is pinned to is what MLflow loads."""
    import mlflow

    location = resolved(text.format(last=store.last, run=store.run, old_run=store.old_run)).location
    assert mlflow.models.get_model_info(location).flavors["python_function"]["model_code_path"].endswith("echo.py")


def test_no_such_registered_model(store: Store) -> None:
    """The nearest name is offered, and the store named."""
    assert refusal("models:/qaa/1") == (
        f"model 'qaa-1': MLflow at {store.uri} has no registered model 'qaa'. Did you mean 'qa'?\n{ELSEWHERE}"
    )
    assert "no registered model 'other'. Known: empty, qa.\n" in refusal("models:/other@x")


def test_no_such_version(store: Store) -> None:
    """The latest version is offered."""
    assert refusal("models:/qa/9") == (
        f"model 'qa-9': the registered model 'qa' in MLflow at {store.uri} has no version 9.\n"
        f"Its latest version is models:/qa/2. {ELSEWHERE}"
    )


def test_no_such_alias(store: Store) -> None:
    """The nearest alias is offered."""
    assert refusal("models:/qa@champoin") == (
        f"model 'qa-champoin': the registered model 'qa' in MLflow at {store.uri} has no alias 'champoin'. "
        "Did you mean 'champion'?\n"
        f"Its latest version is models:/qa/2. {ELSEWHERE}"
    )


@pytest.mark.parametrize("which", ["/1", "/latest", "@champion"])
def test_registered_model_without_versions(which: str, store: Store) -> None:
    """A name that was registered for later is said to be empty."""
    message = refusal(f"models:/empty{which}")
    assert message.endswith(f": the registered model 'empty' in MLflow at {store.uri} has no versions.")


def test_no_such_logged_model(store: Store) -> None:
    """An unknown id is quoted."""
    assert refusal("models:/m-0123456789abcdef") == (
        f"model 'm-01234567': MLflow at {store.uri} has no logged model 'm-0123456789abcdef'.\n{ELSEWHERE}"
    )


def test_no_such_run(store: Store) -> None:
    """An unknown run is quoted."""
    assert refusal("runs:/0123456789abcdef/model") == (
        f"model 'model-01234567': MLflow at {store.uri} has no run '0123456789abcdef'.\n{ELSEWHERE}"
    )


def test_run_without_that_model(store: Store) -> None:
    """The models that the run has are offered, those of MLflow 2 too."""
    assert refusal(f"runs:/{store.run}/modle") == (
        f"model 'modle-{store.run[:8]}': run {store.run} in MLflow at {store.uri} has no model 'modle'. "
        f"Did you mean 'model'?\n{ELSEWHERE}"
    )
    assert "has no model 'x'. Known: old.\n" in refusal(f"runs:/{store.old_run}/x")


def test_server_that_is_down(store: Store, closed_port: str) -> None:
    """A store that does not answer is a tracking error without the password."""
    import mlflow

    mlflow.set_tracking_uri(closed_port.replace("://", "://user:secret@"))
    with pytest.raises(TrackingError) as error:
        resolved("models:/qa@champion")
    message = str(error.value)
    assert message.startswith(
        f"model 'qa-champion': models:/qa@champion cannot be looked up in MLflow at {closed_port}: MlflowException: "
        f"API request to {closed_port}/api/"
    )
    assert message.endswith(
        "\nCheck that the store is running, or name another with --llm-tracking-uri or MLFLOW_TRACKING_URI."
    )
    assert "secret" not in message


def test_server_that_never_answers(store: Store, silent_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent server is waited for as long as the limits say, which the user may set."""
    import mlflow

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    mlflow.set_tracking_uri(silent_server)
    with pytest.raises(TrackingError, match="Read timed out"):
        resolved("models:/qa@champion")


def test_limits_leave_the_environment_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits hold inside the block only, and the user's own stay."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    before = dict(os.environ)
    with bounded_requests():
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == LIMITS["MLFLOW_HTTP_REQUEST_MAX_RETRIES"]
    assert dict(os.environ) == before


def test_registry_of_its_own_is_named(store: Store, tmp_path: Path) -> None:
    """Where models are registered in another store than runs, both are named."""
    import mlflow

    registry = f"sqlite:///{tmp_path / 'registry.db'}"
    mlflow.set_registry_uri(registry)
    try:
        assert f"MLflow at {store.uri} (registry {registry}) has no registered model 'qa'.\n" in refusal("models:/qa/1")
    finally:
        mlflow.set_registry_uri("")
