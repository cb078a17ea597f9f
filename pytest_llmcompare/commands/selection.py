"""What `accept` and `reject` have in common: which pending outputs are meant."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from pytest_llmcompare.baselines.pending import Entry, Pending, PendingFile
from pytest_llmcompare.baselines.pending import read as read_pending
from pytest_llmcompare.choice import chosen
from pytest_llmcompare.errors import UsageError
from pytest_llmcompare.reports.escaping import disarm

from .folders import add_root


def add_selection(command: argparse.ArgumentParser) -> None:
    """Declare how outputs are chosen."""
    command.add_argument(
        "globs",
        nargs="*",
        metavar="GLOB",
        help="cases (table/model/prompt_id[@variant]) or test ids; * stands for anything, ? for one character",
    )
    command.add_argument("--all", action="store_true", help="all that is pending")
    add_root(command)


def selected(options: argparse.Namespace, pending: Pending) -> list[Entry]:
    """The outputs that are meant.

    Raises:
        UsageError: Neither patterns nor all of them were given, or both.
        SelectionError: A pattern matches nothing.
    """
    if bool(options.globs) == options.all:
        name = options.command
        raise UsageError(f"say which: llmcompare {name} 'trivia/*', or llmcompare {name} --all")
    return list(pending.entries.values()) if options.all else chosen(pending.entries.values(), options.globs)


def waiting(root: Path, source: str | None = None) -> Pending:
    """What is pending in a folder, or in a file from elsewhere; tells of lines that could not be used.

    Raises:
        BaselineError: It cannot be read, or is of another version.
    """
    pending = PendingFile(root).read() if source is None else read_pending(Path(source), source)
    tell(pending.notes)
    return pending


def tell(faults: Iterable[str]) -> None:
    """Say on stderr what is wrong."""
    for fault in faults:
        for line in fault.splitlines():
            print(disarm(line), file=sys.stderr)
