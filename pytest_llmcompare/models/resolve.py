"""Finds the model of a spec: where its weights are, in which revision. Never called at collection."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pytest_llmcompare.errors import ModelError

from . import hub, mlflow_models
from .echo import parse_echo
from .folder import check_folder
from .gguf import check_gguf, gguf_fingerprint, gguf_path
from .load_checks import check_architectures
from .model_files import CONFIG, commit_fingerprint, weights_fingerprint
from .quantization import check_quantization
from .safety import check_weights, read_json_object
from .served import check_variables, parse_address
from .spec import ModelSpec, SourceKind, shown_spec
from .uris import HOOK


@dataclass(frozen=True)
class ResolvedModel:
    """A model that was found.

    Attributes:
        spec: The spec that it was found by.
        location: Folder of the weights (a hub snapshot or a folder), or the GGUF file that holds them; an MLflow URI
            pinned to the version that its alias names now, such as `models:/qa/3`; the address of a served model;
            empty for an `echo:` model.
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
    if spec.kind is SourceKind.FOLDER and (file := gguf_path(spec, root)):
        check_gguf(spec, file)
        return ResolvedModel(spec, str(file), "", gguf_fingerprint(file))
    if spec.kind is SourceKind.FOLDER:
        folder = check_folder(spec, root)
        check_whole(folder, spec)
        return ResolvedModel(spec, str(folder), "", weights_fingerprint(folder))
    snapshot = hub.locate(spec, root)
    check_whole(snapshot.folder, spec)
    return ResolvedModel(spec, str(snapshot.folder), snapshot.commit, commit_fingerprint(snapshot.commit))


def check_whole(folder: Path, spec: ModelSpec) -> None:
    """Check a model's files without loading them: nothing is refused, it writes text, and its packages are installed.

    Raises:
        ModelError: It is refused, was trained for another task, or is quantised and its package is not installed.
    """
    check_weights(folder, spec)
    config = read_json_object(folder / CONFIG)
    check_architectures(spec.name, folder, config)
    check_quantization(spec.name, folder, config)
