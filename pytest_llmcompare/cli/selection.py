"""What `accept` and `reject` have in common: which pending outputs are meant."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from pytest_llmcompare.baselines.pending import Entry, Pending, PendingFile
from pytest_llmcompare.baselines.pending import read as read_pending
from pytest_llmcompare.errors import SelectionError, UsageError
from pytest_llmcompare.text import disarm

from .project_root import add_root

MOST_NEAR = 3  # names suggested


def chosen(entries: Iterable[Entry], patterns: Sequence[str]) -> list[Entry]:
    """The entries that any of these patterns matches, in their order.

    Args:
        entries: What waits.
        patterns: `table/model/prompt_id[@variant]` or test ids; `*` stands for anything, `?` for one character.
            Brackets mean themselves, as they stand in test ids.

    Raises:
        SelectionError: A pattern matches nothing; nothing is chosen then.
    """
    waiting = list(entries)
    found = {pattern: [entry for entry in waiting if matches(pattern, entry)] for pattern in patterns}
    unknown = [pattern for pattern, matched in found.items() if not matched]
    if unknown:
        raise SelectionError("\n".join(_nothing(pattern, waiting) for pattern in unknown))
    keys = {entry.key for matched in found.values() for entry in matched}
    return [entry for entry in waiting if entry.key in keys]


def matches(pattern: str, entry: Entry) -> bool:
    """Whether a pattern is one for this entry."""
    expression = "".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in pattern)
    return any(re.fullmatch(expression, name, re.DOTALL) for name in names(entry))


def names(entry: Entry) -> tuple[str, ...]:
    """What an entry can be called: the case, the case with its folder, the test."""
    return str(entry.key), f"{entry.key.group.folder}/{entry.key}", entry.test


def _nothing(pattern: str, entries: Sequence[Entry]) -> str:
    if not entries:
        return f"{pattern!r} matches nothing: no output is pending. Run pytest first."
    plain = pattern.replace("*", "").replace("?", "")
    known = [name for entry in entries for name in (str(entry.key), entry.test)]
    near = difflib.get_close_matches(plain, known, n=MOST_NEAR, cutoff=0.5) or [str(e.key) for e in entries[:MOST_NEAR]]
    return f"{pattern!r} matches no pending output. Nearest: {', '.join(map(repr, near))}. All: llmcompare pending"


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
