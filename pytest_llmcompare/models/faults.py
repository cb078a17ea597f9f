"""What can be wrong with a hub model or a model folder, as errors that say what to do."""

from __future__ import annotations

import difflib
import os
import traceback
from collections.abc import Sequence
from pathlib import Path

from pytest_llmcompare.errors import ModelError

from .hub_cache import cache_folder, cached_models, cached_revisions, find_snapshot, repository
from .spec import ModelSpec, folder_path, shown
from .uri import in_text_without_secrets
from .weights import ADAPTER, file_names, lfs_pointers, missing_files

LISTED = 12  # names in a message, at most


def absent(spec: ModelSpec, root: Path, why: str, remedy: str) -> ModelError:
    """The error for a hub model that is not at hand: why, where we looked, and what to do."""
    revision = f" --revision {spec.revision}" if spec.revision else ""
    return ModelError(
        f"model {spec.name!r}: the hub model {shown(spec)} is not on this machine, and {why}.{nearest(spec, root)}\n"
        f"Looked in {searched(spec)}.\n"
        f"Download it where there is a network (hf download {spec.source}{revision}), or {remedy}, "
        f"or name a folder that holds it: {spec.name}=./FOLDER"
    )


def searched(spec: ModelSpec) -> str:
    """Where a hub model was looked for, and what is there."""
    folder = repository(cache_folder(), spec.source)
    if not folder.is_dir():
        return f"{folder}: there is no such folder"
    snapshot = find_snapshot(cache_folder(), spec.source, spec.revision)
    if snapshot is None:
        known = listed(cached_revisions(folder)) or "nothing"
        return f"{folder}: it has no revision {spec.revision or 'main'!r}; there is {known}"
    lacks = ", ".join(snapshot.missing) or "weights that are not pickled"
    return f"{snapshot.folder}: the download is not complete, it lacks {lacks}"


def nearest(spec: ModelSpec, root: Path) -> str:
    """What else may have been meant by a hub id: a configured model, a folder, a model in the cache."""
    if spec.near:
        return f" Did you mean {spec.near!r}, which pyproject.toml configures?"
    if (root / spec.source).is_dir():
        return f" Did you mean the folder ./{spec.source}? Then write the ./ too."
    others = [name for name in cached_models(cache_folder()) if name != spec.source]
    near = difflib.get_close_matches(spec.source, others, n=1, cutoff=0.8)
    return f" Did you mean {near[0]!r}, which is in the cache?" if near else ""


def check_folder(spec: ModelSpec, root: Path) -> Path:
    """The folder of a spec, once it is sure that a whole model is in it.

    Raises:
        ModelError: It is not.
    """
    folder = Path(os.path.normpath(folder_path(spec.source, root)))
    if not folder.is_dir():
        raise no_folder(spec, folder, root)
    if (folder / "MLmodel").is_file():
        raise is_logged(spec, folder)
    missing = missing_files(folder)
    if missing and (folder / ADAPTER).is_file():
        raise is_adapter(spec, str(folder))
    if missing:
        raise ModelError(
            f"model {spec.name!r}: {folder} lacks {', '.join(missing)}. There is {listed(file_names(folder))}.\n"
            "Write the whole model there: model.save_pretrained(FOLDER) and tokenizer.save_pretrained(FOLDER)."
        )
    if pointers := lfs_pointers(folder):
        raise ModelError(
            f"model {spec.name!r}: {pointers[0]} in {folder} is a pointer of git-lfs, not the file itself.\n"
            f"Fetch it: git -C {folder} lfs pull"
        )
    return folder


def no_folder(spec: ModelSpec, folder: Path, root: Path) -> ModelError:
    """The error for a folder that is not there, or is no folder."""
    if folder.exists():
        return ModelError(f"model {spec.name!r}: {folder} is a file. Name the folder of the model instead.")
    beside = [path.name for path in folder.parent.iterdir() if path.is_dir()] if folder.parent.is_dir() else []
    near = difflib.get_close_matches(folder.name, beside, n=1)
    hint = f" Did you mean {near[0]!r} beside it?" if near else ""
    return ModelError(
        f"model {spec.name!r}: there is no folder {folder}.{hint}\n"
        f"Folders are relative to pytest's root, {root}. A hub id has one '/' at most."
    )


def is_logged(spec: ModelSpec, folder: Path) -> ModelError:
    """The error for the folder of an MLflow model, which MLflow has to load."""
    inner = next((path for path in sorted(folder.glob("*/config.json"))), None)
    also = f"\nThe transformers model in it can be named too: {spec.name}={inner.parent}" if inner else ""
    return ModelError(
        f"model {spec.name!r}: {folder} is the folder of an MLflow model (it has an MLmodel file).\n"
        f"Name it by its URI in the tracking store: models:/NAME/VERSION or runs:/RUN_ID/PATH{also}"
    )


def is_adapter(spec: ModelSpec, where: str) -> ModelError:
    """The error for a PEFT adapter, which is no model without its base."""
    return ModelError(
        f"model {spec.name!r}: {where} holds a PEFT adapter ({ADAPTER}), not a whole model.\n"
        "Merge it into its base model (merge_and_unload() of PEFT), save_pretrained() the result and name that folder."
    )


def no_weights(spec: ModelSpec, where: str, names: Sequence[str]) -> ModelError:
    """The error for a repository without weights that transformers loads."""
    return ModelError(
        f"model {spec.name!r}: {where} has no model.safetensors that transformers could load. "
        f"There is {listed(names)}.\nName a repository that has, or convert it and name the folder."
    )


def listed(names: Sequence[str]) -> str:
    """Names in a sentence, the first of them where they are many."""
    rest = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return (", ".join(names[:LISTED]) or "nothing") + rest


def reason(error: Exception) -> str:
    """Class and first line of an error of a library, without secrets."""
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {in_text_without_secrets(first)[:500]}"


def unforeseen(error: Exception) -> str:
    """What to say of an error that is a bug of ours or of a library: its name first, then its traceback."""
    what = "".join(traceback.format_exception_only(error)).strip()
    trace = "".join(traceback.format_exception(error))
    return in_text_without_secrets(f"{' '.join(what.split())[:500]} (unforeseen; please report it)\n{trace}")
