"""Finds the model of a spec: where its weights are, in which revision. Never called at collection."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pytest_llmcompare.errors import ModelError

from . import hub, mlflow_models
from .echo import parse_echo
from .folder import check_folder
from .load_checks import check_architectures
from .model_files import CONFIG, commit_fingerprint, read_weights_ahead, weights_fingerprint
from .safety import check_weights, read_json_object
from .served import check_variables, parse_address
from .spec import ModelSpec, SourceKind, shown_spec
from .uris import HOOK


@dataclass(frozen=True)
class ResolvedModel:
    """A model that was found.

    Attributes:
        spec: The spec that it was found by.
        location: Folder of the weights (a hub snapshot or a folder), or an MLflow URI pinned to the version that its
            alias names now, such as `models:/qa/3`; the address of a served model; empty for
            an `echo:` model.
        revision: Commit of a hub model; version, model id or run id of an MLflow model; empty for a folder.
        fingerprint: 12 hex digits that change with the weights (see `model_files.py`) or with `echo:`'s parameters.
    """

    spec: ModelSpec
    location: str
    revision: str
    fingerprint: str


def resolve(spec: ModelSpec, *, root: Path) -> ResolvedModel:
    """Find a model, download what is missing, and check that loading it runs no code without the user's consent.

    The files of an MLflow URI are not checked here: `model_logging.load` calls `safety.check_mlflow_model` once it has
    fetched them. MLflow is asked at the tracking URI that is set.

    Args:
        spec: The model.
        root: pytest's root folder; relative folders start there.

    Raises:
        ModelError: The model cannot be found, is incomplete or is refused.
        TrackingError: MLflow's store does not answer.
    """
    if spec.kind is SourceKind.MLFLOW:
        pinned = mlflow_models.pin(spec)
        return ResolvedModel(spec, pinned.uri, pinned.revision, mlflow_models.fingerprint(pinned))
    if spec.kind is SourceKind.ECHO:
        return ResolvedModel(spec, "", "", parse_echo(spec.source, f"model {spec.name!r}").fingerprint)
    if spec.kind is SourceKind.SERVER:
        check_variables(spec.name, spec.server, os.environ)
        return ResolvedModel(spec, parse_address(spec.source, f"model {spec.name!r}").url, "", "")
    if spec.kind is SourceKind.OTHER:
        raise ModelError(
            f"model {spec.name!r}: {shown_spec(spec)} is of a kind that only a plugin loads, and only in a pytest run."
            f"\n{HOOK}"
        )
    if spec.kind is SourceKind.FOLDER:
        folder = checked_folder(spec, root)
        return ResolvedModel(spec, str(folder), "", weights_fingerprint(folder))
    snapshot = hub.locate(spec, root)
    check_whole(snapshot.folder, spec)
    return ResolvedModel(spec, str(snapshot.folder), snapshot.commit, commit_fingerprint(snapshot.commit))


def prepare(spec: ModelSpec, *, root: Path) -> None:
    """Check that the folder of a spec has a model that can be loaded, and start to read its weights in a thread.

    For any other kind of model this does nothing.

    Raises:
        ModelError: As `resolve`.
    """
    if spec.kind is SourceKind.FOLDER:
        read_weights_ahead(checked_folder(spec, root))


def checked_folder(spec: ModelSpec, root: Path) -> Path:
    """The folder of a spec, which has a whole model.

    Raises:
        ModelError: It does not exist, lacks something, is refused, or its model was trained for another task.
    """
    folder = check_folder(spec, root)
    check_whole(folder, spec)
    return folder


def check_whole(folder: Path, spec: ModelSpec) -> None:
    """Check a model's files without loading them: that nothing is refused, and that it is a model that writes text.

    Raises:
        ModelError: It is refused, or was trained for another task.
    """
    check_weights(folder, spec)
    check_architectures(spec.name, folder, read_json_object(folder / CONFIG))
