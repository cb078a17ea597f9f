"""The folder that a command works in: pytest's root folder, found without starting pytest."""

from __future__ import annotations

from pathlib import Path

import click

from pytest_llmcompare.baselines.state_folder import FOLDER
from pytest_llmcompare.errors import UsageError

CONFIG = "pyproject.toml"
PROJECT_MARKS = (FOLDER, "pytest.ini", ".pytest.ini", CONFIG, ".git")
"""Files and folders by which pytest's root folder is found."""

root_option = click.option(
    "--root", metavar="FOLDER", help=f"pytest's root folder (default: the nearest one upwards with {FOLDER})"
)


def pending_root(given: str | None) -> Path:
    """Return the project's root folder, which holds pending outputs and baselines.

    Args:
        given: The value of `--root`.

    Raises:
        UsageError: The given folder does not exist.
    """
    root = find_root(given, FOLDER)
    return root if given or (root / FOLDER).is_dir() else find_root(None, *PROJECT_MARKS)


def find_root(given: str | None, *marks: str) -> Path:
    """Return the given folder, else the nearest one upwards that holds one of `marks`, else the working folder.

    Raises:
        UsageError: The given folder does not exist.
    """
    if given is not None:
        folder = Path(given)
        if not folder.is_dir():
            raise UsageError(f"--root {given!r}: there is no such folder. Name pytest's root folder.")
        return folder.resolve()
    here = Path.cwd()
    return next((above for above in (here, *here.parents) if any((above / mark).exists() for mark in marks)), here)


def shown_path(path: Path) -> str:
    """Return a path for messages: relative to the working folder if it lies below."""
    here = Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else path.as_posix()
