"""Fingerprints: 12 hex digits that change with the weights.

- A model of the hub: its commit. The hub never changes what a commit holds.
- A folder: SHA-256 over the files that decide what the model says (`weights_fingerprint`).
- A model in MLflow: its model id, which MLflow gives once per logged model; for a model of MLflow 2, which has none,
  the digest over all files of its folder.

So one and the same model has different fingerprints as hub id and as folder: a fingerprint tells whether a source
changed, not whether two sources are alike.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from .weights import SETTINGS, file_names, matches, weight_files

LENGTH = 12
CHUNK = 1 << 20  # bytes
REGISTRY_NOTE = "registered_model_meta"  # MLflow adds it to what it downloads by a registered name, and only then


def weights_fingerprint(folder: Path) -> str:
    """Digest over weights, configuration, tokenizer and generation settings of a model folder; 12 hex digits.

    It depends on names and content of these files, not on the folder's name or place, nor on other files in it. Where
    the folder has no weights that transformers would load, as a folder logged by MLflow, every file in it counts.
    """
    weights = weight_files(folder)
    if not weights:
        return files_digest(folder, sorted(p for p in folder.rglob("*") if p.is_file() and p.name != REGISTRY_NOTE))
    names = {name for name in file_names(folder) if matches(name, SETTINGS)} | set(weights)
    return files_digest(folder, [folder / name for name in sorted(names)])


def commit_fingerprint(commit: str) -> str:
    """Fingerprint of a hub model: its commit, shortened."""
    return commit[:LENGTH]


def id_fingerprint(model_id: str) -> str:
    """Fingerprint of a model logged in MLflow: its id without `m-`, shortened."""
    return model_id.removeprefix("m-")[:LENGTH]


def files_digest(folder: Path, files: list[Path]) -> str:
    """Digest over names (relative to `folder`, with `/`) and content of files, in the order given."""
    whole = hashlib.sha256()
    for path in files:
        facts = path.stat()
        content = content_digest(path, facts.st_size, facts.st_mtime_ns)
        whole.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode("utf-8", "surrogateescape"))
    return whole.hexdigest()[:LENGTH]


@cache  # a model that several tables use is read once
def content_digest(path: Path, size: int, changed: int) -> str:  # noqa: ARG001 - they are the cache's key
    """SHA-256 of a file's content, read in pieces."""
    content = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            content.update(piece)
    return content.hexdigest()
