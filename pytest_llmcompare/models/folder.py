"""Model folders: checks that a folder has a whole model, with errors that say what to do."""

from __future__ import annotations

import difflib
import json
import os
import re
from pathlib import Path

from pytest_llmcompare.errors import ModelError
from pytest_llmcompare.text import error_line

from .faults import listed_names, no_gguf_error, no_subfolder_error
from .formats import foreign_format
from .hub import PREFIX, cached_models, cached_revisions, find_commit
from .model_files import (
    ADAPTER,
    CONFIG,
    GENERATION,
    SAFETENSORS,
    TOKENIZER_FILE,
    WHOLE,
    Wanted,
    file_names,
    is_adapter,
    is_lfs_pointer,
    lfs_pointers,
    missing_files,
)
from .pyproject_tables import CONFIG_FILE, header
from .spec import ModelSpec
from .uris import folder_path, is_gguf

LISTED = 5  # folders in a message, at most
STEP = re.compile(r"(?:checkpoint|step|epoch|iter)\w*?[-_]?(\d+)", re.IGNORECASE)
SAVING_ADAPTER = "Write adapter and configuration there: model.save_pretrained(FOLDER) of PEFT."
SAVING = "Write the whole model there: model.save_pretrained(FOLDER) and tokenizer.save_pretrained(FOLDER)."


def check_folder(spec: ModelSpec, root: Path, wanted: Wanted = WHOLE) -> Path:
    """Check that the folder of a spec has a whole model, and return the folder.

    Args:
        spec: The model.
        root: pytest's root folder, which folders are relative to.
        wanted: What it should have, and in which subfolder.

    Raises:
        ModelError: It does not exist, or lacks something.
    """
    whole = Path(os.path.normpath(folder_path(spec.source, root)))
    if not whole.is_dir():
        raise _no_folder_error(spec, whole, root)
    folder = Path(os.path.normpath(whole / wanted.subfolder))
    if not folder.is_dir():
        raise no_subfolder_error(spec, whole, [path.name for path in whole.iterdir() if path.is_dir()])
    if wanted.gguf:
        if missing_files(folder, wanted):
            raise no_gguf_error(spec, str(folder), [path.relative_to(folder).as_posix() for path in folder.rglob("*")])
        return folder
    if (folder / "MLmodel").is_file():
        raise _logged_error(spec, folder)
    if pointers := lfs_pointers(folder):
        raise _pointer_error(spec, folder, pointers[0])
    missing = missing_files(folder, wanted)
    if missing:
        raise _incomplete(spec, folder, missing)
    return folder


def _incomplete(spec: ModelSpec, folder: Path, missing: tuple[str, ...]) -> ModelError:
    """The error for a folder that lacks files, with a hint at where the model is or what the folder holds instead."""
    if elsewhere := _model_elsewhere(spec, folder, missing):
        return elsewhere
    names = file_names(folder)
    what = f"model {spec.name!r}: {folder} lacks {', '.join(missing)}. There is {listed_names(names)}."
    if any("-of-" in name for name in missing):
        return ModelError(f"{what}\nShards of the weights are missing. Copy or download the folder again.\n{SAVING}")
    foreign = foreign_format(names) if SAFETENSORS in missing else None
    if foreign:
        return ModelError(f"{what}\n{foreign[0]} is not read: it is {foreign[1].name}.\n{foreign[1].advice}")
    if missing == (TOKENIZER_FILE,):
        table = f'tokenizer = "FOLDER_OR_HUB_ID" in {header(spec.name)} of {CONFIG_FILE}'
        return ModelError(f"{what}\nSave the tokenizer there (tokenizer.save_pretrained(FOLDER)), or name one: {table}")
    return ModelError(f"{what}\n{SAVING_ADAPTER if is_adapter(folder) else SAVING}")


def _model_elsewhere(spec: ModelSpec, folder: Path, missing: tuple[str, ...]) -> ModelError | None:
    """The error for a folder whose subfolders have models, or that belongs to a hub cache; None for others."""
    if (folder / "snapshots").is_dir() or folder.name.startswith(PREFIX):
        return _cache_error(spec, folder)
    if CONFIG in missing and (inner := _model_folders(folder)):
        return _inside_error(spec, folder, inner)
    if _is_part_of_cache(folder):
        return _cache_error(spec, folder.parent)
    if repos := cached_models(folder):
        return ModelError(
            f"model {spec.name!r}: {folder} is a cache of the Hugging Face hub, not a model folder.\n"
            f"Name a model in it by its id, with HF_HUB_CACHE set to that folder: {spec.name}={repos[0]}"
        )
    return None


def _model_folders(folder: Path) -> list[Path]:
    """Subfolders that look like models, such as a trainer's checkpoints, the latest step first."""
    models = [path for path in folder.iterdir() if (path / CONFIG).is_file() or (path / ADAPTER).is_file()]

    def order(path: Path) -> tuple[int, str]:
        step = STEP.match(path.name)
        return (-int(step[1]) if step else 0, path.name)

    return sorted(models, key=order)


def _inside_error(spec: ModelSpec, folder: Path, inner: list[Path]) -> ModelError:
    """The error for a folder whose subfolders have models."""
    checkpoints = all(path.name.startswith("checkpoint") for path in inner)
    what = "checkpoints of a training run, in" if checkpoints else "no model itself, but models in"
    named = ", ".join(f"{path.name}/" for path in inner[:LISTED])
    more = f" and {len(inner) - LISTED} more" if len(inner) > LISTED else ""
    latest = " (the latest)" if checkpoints and len(inner) > 1 else ""
    return ModelError(
        f"model {spec.name!r}: {folder} holds {what} {named}{more}.\nName one of them: {spec.name}={inner[0]}{latest}"
    )


def _is_part_of_cache(folder: Path) -> bool:
    """True for `snapshots`, `blobs` and `refs` of a repository in a hub cache."""
    return folder.name in ("snapshots", "blobs", "refs") and folder.parent.name.startswith(PREFIX)


def _cache_error(spec: ModelSpec, folder: Path) -> ModelError:
    """The error for the folder of a repository in a hub cache."""
    repo = folder.name.removeprefix(PREFIX).replace("--", "/")
    commit = next(filter(None, (find_commit(folder, name) for name in ("main", *cached_revisions(folder)))), "")
    snapshots = sorted(path for path in (folder / "snapshots").glob("*") if path.is_dir())
    snapshot = next((path for path in snapshots if path.name == commit), snapshots[-1] if snapshots else None)
    what = f"model {spec.name!r}: {folder} is a repository in the cache of the Hugging Face hub, not a model folder."
    if snapshot is None:
        return ModelError(f"{what} There is no snapshot in it: it was not downloaded.\nDownload it: hf download {repo}")
    name = f"Name it by its id, {spec.name}={repo}, or " if folder.name.startswith(PREFIX) else "Name "
    return ModelError(f"{what}\n{name}the folder of its files: {spec.name}={snapshot}")


def _pointer_error(spec: ModelSpec, folder: Path, name: str) -> ModelError:
    """The error for a git-lfs pointer in the place of a file."""
    return ModelError(
        f"model {spec.name!r}: {name} in {folder} is a git-lfs pointer, not the file itself.\n"
        f"Fetch it: git -C {folder} lfs pull"
    )


def _no_folder_error(spec: ModelSpec, folder: Path, root: Path) -> ModelError:
    """The error for a folder that does not exist or is a file, and for a GGUF file that does not exist."""
    if folder.exists():
        return _file_error(spec, folder)
    others = [*folder.parent.iterdir()] if folder.parent.is_dir() else []
    beside = [path.name for path in others if path.is_dir() or is_gguf(path.name)]
    near = difflib.get_close_matches(folder.name, beside, n=1)
    hint = f" Did you mean {near[0]!r} beside it?" if near else ""
    return ModelError(
        f"model {spec.name!r}: there is no {'file' if is_gguf(folder.name) else 'folder'} {folder}.{hint}\n"
        f"Folders are relative to pytest's root, {root}. A hub id has one '/' at most."
    )


def _file_error(spec: ModelSpec, path: Path) -> ModelError:
    """The error for a file that was named instead of its folder."""
    if is_lfs_pointer(path):
        return _pointer_error(spec, path.parent, path.name)
    whole = f"model {spec.name!r}: {path} is a file. Name the folder of the model instead"
    if not missing_files(path.parent):
        return ModelError(f"{whole}: {spec.name}={path.parent}")
    foreign = foreign_format([path.name])
    if foreign is None or path.suffix == ".safetensors":
        return ModelError(f"{whole}.")
    return ModelError(f"model {spec.name!r}: {path} is not read: it is {foreign[1].name}.\n{foreign[1].advice}")


def _logged_error(spec: ModelSpec, folder: Path) -> ModelError:
    """The error for the folder of an MLflow model, which has to be named by its URI."""
    inner = next((path for path in sorted(folder.glob("*/config.json"))), None)
    also = f"\nThe transformers model in it can be named too: {spec.name}={inner.parent}" if inner else ""
    return ModelError(
        f"model {spec.name!r}: {folder} is the folder of an MLflow model (it has an MLmodel file).\n"
        f"Name it by its URI in the tracking store: models:/NAME/VERSION or runs:/RUN_ID/PATH{also}"
    )


def check_generation_config(name: str, folder: Path) -> None:
    """Check that a checkpoint's settings can be read: transformers leaves out a file that it cannot read.

    Raises:
        ModelError: It is not a JSON object.
    """
    path, fault = folder / GENERATION, "expected an object"
    if not path.is_file():
        return
    try:
        if isinstance(json.loads(path.read_text(encoding="utf-8")), dict):
            return
    except (OSError, ValueError, RecursionError) as error:
        fault = error_line(error)
    raise ModelError(
        f"model {name!r}: {path} cannot be read as JSON: {fault}. Without it, other tokens may end an output.\n"
        "Save it again: model.generation_config.save_pretrained(FOLDER). Or delete it."
    )
