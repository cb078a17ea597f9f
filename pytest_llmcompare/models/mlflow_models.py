"""Models in MLflow: resolves `models:/` and `runs:/` URIs in the current tracking store."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_llmcompare.errors import ModelError, TrackingError, did_you_mean
from pytest_llmcompare.text import error_line

from .mlflow_store import ELSEWHERE, bounded_requests, found_or_none, store
from .model_files import id_fingerprint, weights_fingerprint
from .spec import ModelSpec
from .uris import LOGGED, REGISTERED, RUN

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Pinned:
    """A model in MLflow, in the version that its URI resolves to.

    Attributes:
        uri: `models:/NAME/VERSION`, `models:/m-ID`, or `runs:/ID/PATH` for a model of MLflow 2.
        revision: Version, model id or run id.
        model_id: MLflow's id of the logged model; empty for a model of MLflow 2.
    """

    uri: str
    revision: str
    model_id: str = ""


def pin(spec: ModelSpec) -> Pinned:
    """Resolve a URI in the current tracking store.

    Raises:
        ModelError: There is no such model, version, alias or run.
        TrackingError: The store does not answer.
    """
    from mlflow import MlflowClient

    try:
        with bounded_requests():
            client = MlflowClient()
            if logged := LOGGED.fullmatch(spec.source):
                return _pin_logged(client, spec, logged["id"])
            if registered := REGISTERED.fullmatch(spec.source):
                return _pin_registered(client, spec, registered["name"], registered["alias"], registered["version"])
            run = RUN.fullmatch(spec.source)
            assert run is not None
            return _pin_run(client, spec, run["run"], run["path"])
    except ModelError:
        raise
    except Exception as error:  # a store may be a server or any database, each with errors of its own
        raise TrackingError(
            f"model {spec.name!r}: {spec.source} cannot be looked up in MLflow at {store()}: {error_line(error)}\n"
            "Check that the store is running, or name another with --llm-tracking-uri or MLFLOW_TRACKING_URI."
        ) from error


def fingerprint(pinned: Pinned) -> str:
    """12 hex digits: of the model id if there is one, else a digest of the model's files, which are downloaded.

    Raises:
        TrackingError: The files cannot be downloaded.
    """
    if pinned.model_id:
        return id_fingerprint(pinned.model_id)
    from mlflow.artifacts import download_artifacts

    with tempfile.TemporaryDirectory() as folder:
        try:
            return weights_fingerprint(Path(download_artifacts(artifact_uri=pinned.uri, dst_path=folder)))
        except Exception as error:  # as above, and the errors of every kind of artifact store
            raise TrackingError(f"the files of {pinned.uri} cannot be fetched: {error_line(error)}") from error


def _pin_logged(client: MlflowClient, spec: ModelSpec, model_id: str) -> Pinned:
    """Resolve `models:/m-ID`."""
    if found_or_none(lambda: client.get_logged_model(model_id)) is None:
        raise ModelError(f"model {spec.name!r}: MLflow at {store()} has no logged model {model_id!r}.\n{ELSEWHERE}")
    return Pinned(f"models:/{model_id}", model_id, model_id)


def _pin_registered(client: MlflowClient, spec: ModelSpec, name: str, alias: str | None, version: str | None) -> Pinned:
    """Resolve `models:/NAME@ALIAS`, `models:/NAME/VERSION` and `models:/NAME/latest`."""
    model = found_or_none(lambda: client.get_registered_model(name))
    if model is None:
        known = [registered.name for registered in client.search_registered_models()]
        raise ModelError(
            f"model {spec.name!r}: MLflow at {store()} has no registered model {name!r}.{did_you_mean(name, known)}\n"
            f"{ELSEWHERE}"
        )
    latest = max((int(version.version) for version in model.latest_versions), default=0)
    if not latest:
        raise ModelError(f"model {spec.name!r}: the registered model {name!r} in MLflow at {store()} has no versions.")
    if alias:
        model_version = found_or_none(lambda: client.get_model_version_by_alias(name, alias))
        lack = f"alias {alias!r}.{did_you_mean(alias, model.aliases)}"
    else:
        wanted = str(latest) if version == "latest" else str(version)
        model_version = found_or_none(lambda: client.get_model_version(name, wanted))
        lack = f"version {wanted}."
    if model_version is None:
        raise ModelError(
            f"model {spec.name!r}: the registered model {name!r} in MLflow at {store()} has no {lack}\n"
            f"Its latest version is models:/{name}/{latest}. {ELSEWHERE}"
        )
    logged = LOGGED.fullmatch(str(model_version.source))
    model_id = str(model_version.model_id or (logged["id"] if logged else ""))
    return Pinned(f"models:/{name}/{model_version.version}", str(model_version.version), model_id)


def _pin_run(client: MlflowClient, spec: ModelSpec, run_id: str, path: str) -> Pinned:
    """Resolve `runs:/ID/PATH`; if a run logged several models under one name, to the last, as MLflow does."""
    run = found_or_none(lambda: client.get_run(run_id))
    if run is None:
        raise ModelError(f"model {spec.name!r}: MLflow at {store()} has no run {run_id!r}.\n{ELSEWHERE}")
    ids = [output.model_id for output in (run.outputs.model_outputs if run.outputs else ())]
    models = [model for model in (found_or_none(partial(client.get_logged_model, id_)) for id_ in ids) if model]
    named = [model for model in models if model.name == path]
    if named:
        newest = max(named, key=lambda model: model.creation_timestamp)
        return Pinned(f"models:/{newest.model_id}", newest.model_id, newest.model_id)
    if any(file.path == f"{path}/MLmodel" for file in client.list_artifacts(run_id, path)):
        return Pinned(f"runs:/{run_id}/{path}", run_id)
    known = {model.name for model in models} | {file.path for file in client.list_artifacts(run_id) if file.is_dir}
    hint = did_you_mean(path, known) or " It logged none."
    raise ModelError(
        f"model {spec.name!r}: run {run_id} in MLflow at {store()} has no model {path!r}.{hint}\n{ELSEWHERE}"
    )
