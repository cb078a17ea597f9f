"""The folder `.llmcompare` in pytest's root for files that are not committed; it has its own `.gitignore`."""

from __future__ import annotations

import contextlib
from pathlib import Path

FOLDER = ".llmcompare"

_IGNORED = "*\n"


def make_folder(root: Path) -> Path:
    """Create the folder if needed, and return it.

    Raises:
        OSError: It cannot be created.
    """
    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        ignore.write_text(_IGNORED, encoding="ascii")
    return folder


def remove_if_empty(root: Path) -> None:
    """Remove the folder if only its `.gitignore` is left in it."""
    folder = root / FOLDER
    with contextlib.suppress(OSError):
        if [path.name for path in folder.iterdir()] == [".gitignore"]:
            (folder / ".gitignore").unlink()
            folder.rmdir()
