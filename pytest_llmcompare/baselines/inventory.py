"""All baseline files of a project, with or without a test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pytest_llmcompare.errors import BaselineError
from pytest_llmcompare.records import GroupKey

from .document import shown_case, sort_key
from .group_file import Contents
from .paths import DISK, FOLDER, TEXT_SUFFIX, TOKENS_SUFFIX, GroupFiles, read_pair

NOT_LOOKED_INTO = frozenset({"node_modules", "__pycache__", "site-packages"})


class Stored(NamedTuple):
    """One baseline file.

    Attributes:
        path: The file.
        source: Its name for messages.
        group: The group that it names as its own.
        contents: Its content.
    """

    path: Path
    source: str
    group: GroupKey
    contents: Contents


class Inventory(NamedTuple):
    """All baseline files below a folder, and why some could not be read."""

    files: list[Stored]
    faults: list[str]


def take(root: Path) -> Inventory:
    """Read all baseline files below a folder."""
    inventory = Inventory([], [])
    for path in _paths(root):
        try:
            inventory.files.append(_read(path, root))
        except BaselineError as error:
            inventory.faults.append(str(error))
    return inventory


def file_faults(root: Path, stored: Stored) -> list[str]:
    """Faults of a file that can be read: cases that a merge left in two versions, a wrong file name."""
    conflicts = stored.contents.document.conflicts
    messages = [
        f"{stored.source}, {conflicts[row].where}: a merge left two versions of case '{shown_case(row)}'.\n"
        "Settle them: pytest --llm-update"
        for row in sorted(conflicts, key=sort_key)
    ]
    files = GroupFiles(root, stored.group)
    if files.path != stored.path:
        messages.append(_misplaced(stored, files.source, taken=files.path.exists()))
    return messages


def _paths(root: Path) -> Iterator[Path]:
    """The baseline files below a folder, sorted, hidden folders left out."""
    for folder, names, files in os.walk(root):
        names[:] = sorted(name for name in names if not name.startswith(".") and name not in NOT_LOOKED_INTO)
        if Path(folder).parent.name == FOLDER:
            yield from (Path(folder, name) for name in sorted(files) if name.endswith(TEXT_SUFFIX))


def _read(path: Path, root: Path) -> Stored:
    source = DISK.shown(path, root)
    tokens = path.with_name(path.name.removesuffix(TEXT_SUFFIX) + TOKENS_SUFFIX)
    stored = read_pair(path, tokens, source, DISK.shown(tokens, root))
    if stored is None:
        raise BaselineError(f"{source}: cannot be read: it is not there any more.")
    folder = DISK.shown(path.parent.parent.parent, root)
    return Stored(path, source, GroupKey(folder, stored.document.table, stored.document.model), stored)


def _misplaced(stored: Stored, expected: str, *, taken: bool) -> str:
    what = f"the baselines of table {stored.group.table!r} and model {stored.group.model!r}"
    if taken:
        return f"{stored.source}: {what} exist twice; those in use are in {expected}. Delete one of the two."
    return f"{stored.source}: {what} belong in {expected}. Move the file there, and its tokens file with it."
