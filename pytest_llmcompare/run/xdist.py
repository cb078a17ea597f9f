"""What pytest-xdist needs: a group is computed by one process and read by the others; reports travel as UTF-8."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_llmcompare.records import GroupKey, GroupResult
from pytest_llmcompare.serialization import group_result_from_json, group_result_to_json


def compute_here(_folder: Path, _key: GroupKey, evaluate: Callable[[], GroupResult]) -> GroupResult:
    """Compute a group's result; without xdist there is no other process that needs it."""
    return evaluate()


def compute_once(folder: Path, key: GroupKey, evaluate: Callable[[], GroupResult]) -> GroupResult:
    """Compute a group's result under a file lock, or read the result of another process of this run.

    xdist's `--dist loadgroup` would make that needless, but its marks come too late for parametrized tests.

    Args:
        folder: Folder that the processes of the run share.
        key: The group.
        evaluate: Computes the result.
    """
    from filelock import FileLock

    name = hashlib.sha256(f"{key.folder}\0{key.table}\0{key.model}".encode("utf-8", "surrogatepass")).hexdigest()
    done = folder / f"{name}.json"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{name}.lock"):
        if done.exists():
            return group_result_from_json(done.read_text("ascii"))
        result = evaluate()
        write_whole(done, group_result_to_json(result))
    return result


def sendable(value: Any) -> Any:
    """A report's data as execnet can send it: a lone surrogate, which is not UTF-8, becomes its escape."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {sendable(key): sendable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(sendable, value))
    return value


def write_whole(path: Path, text: str) -> None:
    """Write a file atomically: readers see all of it or none."""
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text)
    Path(draft).replace(path)
