"""Errors about models and the hints in them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

from pytest_llmcompare.errors import ModelError, did_you_mean, nearest_hint

from .formats import foreign_format
from .pyproject_tables import CONFIG_FILE, header
from .spec import ModelSpec
from .uris import is_gguf

LISTED = 12  # names in a message, at most


def nearest_model_hint(spec: ModelSpec, root: Path, cached: Iterable[str]) -> str:
    """A hint at what the user may have meant by a hub id: a configured model, a folder, a cached model."""
    if spec.near:
        return f" Did you mean {spec.near!r}, which pyproject.toml configures?"
    if (root / spec.source).is_dir():
        return f" Did you mean the folder ./{spec.source}? Then write the ./ too."
    if is_gguf(spec.source) and (root / spec.source).is_file():
        return f" Did you mean the file ./{spec.source}? Then write the ./ too."
    if (root / spec.source).is_file():
        foreign = foreign_format([spec.source])
        what = f" It is {foreign[1].name}, which is not read. {foreign[1].advice}" if foreign else ""
        return f" There is a file of that name; models are folders.{what}"
    others = [name for name in cached if name != spec.source]
    near = difflib.get_close_matches(spec.source, others, n=1, cutoff=0.8)
    return f" Did you mean {near[0]!r}, which is in the cache?" if near else ""


def no_gguf_error(spec: ModelSpec, where: str, names: Iterable[str]) -> ModelError:
    """The error for a GGUF file that a model's table names and that is not there."""
    wanted, others = spec.loading.gguf_file, sorted(name for name in names if is_gguf(name))
    return ModelError(
        f"model {spec.name!r}: {where} has no file {wanted!r} (gguf_file).{nearest_hint(wanted, others)}\n"
        f"Its GGUF files: {listed_names(others)}."
    )


def no_weights_error(spec: ModelSpec, where: str, names: Sequence[str]) -> ModelError:
    """The error for a repository without weights that transformers can load."""
    foreign = foreign_format(names)
    what = (
        f"model {spec.name!r}: {where} has no model.safetensors that transformers can load. "
        f"It has {listed_names(names)}."
    )
    if foreign is None:
        return ModelError(f"{what}\nName a repository that has, or convert it and name the folder.")
    return ModelError(f"{what}\n{foreign[0]} is not read: it is {foreign[1].name}.\n{foreign[1].advice}")


def no_subfolder_error(spec: ModelSpec, where: Path | str, folders: Sequence[str]) -> ModelError:
    """The error for a `subfolder` that is not there."""
    wanted = spec.loading.subfolder
    near = did_you_mean(wanted, folders) if folders else " It has no folders."
    return ModelError(
        f"model {spec.name!r}: there is no folder {wanted!r} in {where}, which subfolder names.{near}\n"
        f"Correct subfolder in {header(spec.name)} of {CONFIG_FILE}."
    )


def listed_names(names: Sequence[str]) -> str:
    """Names for a sentence, at most 12 of them."""
    rest = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return (", ".join(names[:LISTED]) or "nothing") + rest
