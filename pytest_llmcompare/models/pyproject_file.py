"""The `[tool.llmcompare]` section of pyproject.toml, and hints at one that pytest does not read."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

from pytest_llmcompare.errors import UsageError
from pytest_llmcompare.settings import FILE


def read_config(path: Path) -> dict[str, Any]:
    """The `[tool.llmcompare]` table of a `pyproject.toml`; empty if there is none.

    Raises:
        UsageError: It is not a regular file, or not TOML.
    """
    try:
        if not path.is_file() and path.exists() and not path.is_dir():
            raise UsageError(f"{path} cannot be read: it is a named pipe or a device, expected a regular file.")
        raw = path.read_bytes()
    except OSError:
        return {}
    if b"tool.llmcompare" not in raw:  # parsing is 1 ms that other people's suites need not pay
        return {}
    import tomllib

    try:
        parsed = tomllib.loads(raw.decode("utf-8"))
    except ValueError as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    table = parsed.get("tool", {}).get("llmcompare", {})
    if not isinstance(table, dict):
        raise UsageError(f"{path}: tool.llmcompare = {table!r}, expected a table [tool.llmcompare].")
    return table


def _unread_file(test: Path, root: Path) -> Path | None:
    """The nearest `pyproject.toml` above a test file that has our section and was not read.

    Args:
        test: The test file.
        root: pytest's root folder, which has the file.
    """
    for folder in test.parents:
        path = folder / FILE
        try:
            if folder != root and read_config(path):
                return path
        except UsageError:  # it is not TOML, but it is there
            return path
    return None


def unread_note(test: Path, root: Path, started: Path) -> str:
    """A hint for a test without models that has a `pyproject.toml` nearby with our section; empty if it has none.

    Args:
        test: The test file.
        root: pytest's root folder.
        started: The folder that pytest was started in; shown paths are relative to it.
    """
    path = _unread_file(test, root)
    if path is None:
        return ""
    folder, tests = (shlex.quote(os.path.relpath(place, started)) for place in (path.parent, test.parent))
    there = f" Or run pytest in that folder: cd {folder} && pytest" if path.parent.is_relative_to(root) else ""
    return (
        f"\n{os.path.relpath(path, started)} has a section [tool.llmcompare] that was not read: only the {FILE} in "
        f"pytest's root folder counts, which is {root}.\n"
        f"Make its folder the root folder: pytest --rootdir={folder} {tests}{there}"
    )
