"""Finds the model of a spec: where its weights are, in which revision. Never called at collection."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pytest_llmcompare.errors import ModelError

from . import hub, mlflow_models
from .adapter_files import base_error, base_spec, check_no_base, check_not_both, read_adapter
from .echo import parse_echo
from .folder import check_folder, check_generation_config
from .gguf import check_gguf, gguf_fingerprint, gguf_path
from .load_checks import check_architectures
from .model_files import (
    CONFIG,
    Wanted,
    combined_fingerprint,
    commit_fingerprint,
    has_tokenizer,
    is_adapter,
    read_weights_ahead,
    tokenizer_fingerprint,
    weights_fingerprint,
)
from .quantization import check_quantization
from .safety import check_weights, read_json_object
from .served import check_variables, parse_address
from .spec import ModelSpec, SourceKind, shown_spec, spec_of
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
        tokenizer: Folder of the tokenizer; empty if the model has its own.
        pins: Options of the model's table that name another model, with the commit that was found.
        base: Folder of an adapter's base model; empty for a whole model.
        base_fingerprint: Fingerprint of that base.
    """

    spec: ModelSpec
    location: str
    revision: str
    fingerprint: str
    tokenizer: str = ""
    pins: Mapping[str, str] = field(default_factory=dict, hash=False)
    base: str = ""
    base_fingerprint: str = ""


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
    return _with_tokenizer(_with_base(_resolve_files(spec, root), root), root)


def _resolve_files(spec: ModelSpec, root: Path, wanted: Wanted | None = None) -> ResolvedModel:
    """Find a hub model, a folder, a GGUF file or an adapter, without what belongs to it elsewhere."""
    wanted = wanted or wanted_of(spec)
    if spec.kind is SourceKind.FOLDER and (file := gguf_path(spec, root) or gguf_in(spec, root, wanted)):
        check_gguf(spec, file)
        return ResolvedModel(spec, str(file), "", gguf_fingerprint(file))
    if spec.kind is SourceKind.FOLDER:
        folder = checked_folder(spec, root, wanted)
        return ResolvedModel(spec, str(folder), "", weights_fingerprint(folder))
    snapshot = hub.locate(spec, root, wanted)
    place = snapshot.folder / wanted.gguf
    if wanted.gguf:
        check_gguf(spec, place)
    else:
        check_whole(place, spec)
    parts = [commit_fingerprint(snapshot.commit), *filter(None, [wanted.subfolder, wanted.gguf])]
    return ResolvedModel(spec, str(place), snapshot.commit, combined_fingerprint(*parts))


def wanted_of(spec: ModelSpec) -> Wanted:
    """What is needed of the files of a model."""
    return Wanted(spec.loading.subfolder, tokenizer=not spec.loading.tokenizer, gguf=spec.loading.gguf_file)


def gguf_in(spec: ModelSpec, root: Path, wanted: Wanted) -> Path | None:
    """The GGUF file in a folder that the model's table names; None if it names none.

    Raises:
        ModelError: It is not there.
    """
    return check_folder(spec, root, wanted) / wanted.gguf if wanted.gguf else None


def _with_base(resolved: ResolvedModel, root: Path) -> ResolvedModel:
    """An adapter with its base model; a whole model as it is.

    The tokenizer is the adapter's own if it has one, else the base's.

    Raises:
        ModelError: The base cannot be found or is not the adapter's, or the adapter is not supported.
    """
    spec, folder = resolved.spec, Path(resolved.location)
    if not is_adapter(folder):
        check_no_base(spec, folder)
        return resolved
    adapter = read_adapter(folder, spec)
    wanted = base_spec(spec, adapter, folder, root)
    has_own = has_tokenizer(folder)
    try:
        base = _resolve_files(wanted, root, Wanted(tokenizer=not (has_own or spec.loading.tokenizer)))
    except ModelError as error:
        raise base_error(spec, adapter, folder, str(error)) from error
    if is_adapter(Path(base.location)):
        raise base_error(spec, adapter, folder, f"{base.location} is an adapter itself.")
    return replace(
        resolved,
        fingerprint=combined_fingerprint(resolved.fingerprint, base.fingerprint),
        tokenizer=resolved.location if has_own else base.location,
        pins={"base": f"{wanted.source}@{base.revision}" if base.revision else base.location},
        base=base.location,
        base_fingerprint=base.fingerprint,
    )


def _with_tokenizer(resolved: ResolvedModel, root: Path) -> ResolvedModel:
    """A model with the tokenizer that its table names, if it names one.

    Raises:
        ModelError: The tokenizer cannot be found.
    """
    if not (source := resolved.spec.loading.tokenizer):
        return resolved
    name = resolved.spec.name
    spec = spec_of(source, f"model {name!r}: tokenizer", root, name=name)
    wanted = Wanted(weights=False)
    if spec.kind is SourceKind.FOLDER:
        folder, pin = check_folder(spec, root, wanted), spec.source
        fingerprint = tokenizer_fingerprint(folder)
    else:
        snapshot = hub.locate(spec, root, wanted)
        folder, pin = snapshot.folder, f"{spec.source}@{snapshot.commit}"
        fingerprint = commit_fingerprint(snapshot.commit)
    return replace(
        resolved,
        fingerprint=combined_fingerprint(resolved.fingerprint, fingerprint),
        tokenizer=str(folder),
        pins={**resolved.pins, "tokenizer": pin},
    )


def check_early(spec: ModelSpec, *, root: Path) -> bool:
    """Check that the folder of a spec has a model that can be loaded, and start to read its weights in a thread.

    Returns:
        False for any other kind of model, and where more than one place belongs to it; then nothing is done.

    Raises:
        ModelError: As `resolve`.
    """
    wanted = wanted_of(spec)
    if spec.kind is not SourceKind.FOLDER or wanted.gguf or spec.loading.tokenizer or gguf_path(spec, root):
        return False
    folder = checked_folder(spec, root, wanted)
    if is_adapter(folder):
        return False
    read_weights_ahead(folder)
    return True


def checked_folder(spec: ModelSpec, root: Path, wanted: Wanted) -> Path:
    """The folder of a spec, which has a whole model.

    Raises:
        ModelError: It does not exist, lacks something, is refused, or its model was trained for another task.
    """
    folder = check_folder(spec, root, wanted)
    check_whole(folder, spec)
    return folder


def check_whole(folder: Path, spec: ModelSpec) -> None:
    """Check a model's files without loading them: nothing is refused, it writes text, and its packages are installed.

    Raises:
        ModelError: It is refused, was trained for another task, has settings that cannot be read, or is quantised and
            its package is not installed.
    """
    check_weights(folder, spec)
    check_not_both(folder, spec)
    config = read_json_object(folder / CONFIG)
    check_architectures(spec.name, folder, config)
    check_generation_config(spec.name, folder)
    check_quantization(spec.name, folder, config)
