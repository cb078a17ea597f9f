"""Where a command works: pytest's root folder, found without starting pytest."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_llmcompare.baselines.state_folder import FOLDER
from pytest_llmcompare.errors import UsageError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    Commands = object

CONFIG = "pyproject.toml"
PROJECT = (FOLDER, "pytest.ini", ".pytest.ini", CONFIG, ".git")
"""What marks pytest's root folder, or something near it."""


def add_root(command: argparse.ArgumentParser) -> None:
    """Declare the option that names the folder."""
    command.add_argument(
        "--root", metavar="FOLDER", help=f"pytest's root folder (default: the nearest one upwards with {FOLDER})"
    )


def pending_root(given: str | None) -> Path:
    """The folder whose pending outputs are meant, or into which they are accepted."""
    found = find_root(given, FOLDER)
    return found if given or (found / FOLDER).is_dir() else find_root(None, *PROJECT)


def find_root(given: str | None, *marks: str) -> Path:
    """The folder that was given, else the nearest one upwards that holds one of these, else the working folder.

    Raises:
        UsageError: The folder that was given is none.
    """
    if given is not None:
        folder = Path(given)
        if not folder.is_dir():
            raise UsageError(f"--root {given!r}: there is no such folder. Name pytest's root folder.")
        return folder.resolve()
    here = Path.cwd()
    return next((above for above in (here, *here.parents) if any((above / mark).exists() for mark in marks)), here)


def shown(path: Path) -> str:
    """A path as the user can open it: relative to the working folder where it lies below."""
    here = Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else path.as_posix()
