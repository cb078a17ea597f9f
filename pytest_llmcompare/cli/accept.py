"""`llmcompare accept` and `llmcompare reject`: decide about pending outputs by name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence

import click

from pytest_llmcompare.baselines.pending import Entry, Pending
from pytest_llmcompare.errors import SelectionError, UsageError
from pytest_llmcompare.text import disarm

from .apply_decisions import Applied, accept_entries, forget
from .pending import NOTHING, load_pending, print_errors
from .project_root import pending_root, root_option, shown_path

MAX_SUGGESTIONS = 3


def selection(command: Callable[..., int]) -> Callable[..., int]:
    """Add the arguments that select pending outputs: patterns, `--all`, `--root`."""
    every = click.option("--all", "every", is_flag=True, help="all that is pending")
    return click.argument("globs", nargs=-1, metavar="[GLOB]...")(every(root_option(command)))


@click.command(epilog="Example: llmcompare accept 'trivia/*/sky' 'tests/test_geo.py::*'")
@selection
@click.option("--from", "source", metavar="FILE", help="a pending.jsonl from elsewhere, such as CI")
def accept(globs: Sequence[str], every: bool, root: str | None, source: str | None) -> int:
    """Make pending outputs the baselines.

    It writes what pytest --llm-update would have written. GLOB is a case (table/model/prompt_id[@variant]) or a test
    id; * stands for anything, ? for one character. A case whose baseline has changed since the comparison is left as
    it is.
    """
    folder = pending_root(root)
    entries = selected("accept", globs, every, load_pending(folder, source))
    if not entries:
        print(NOTHING)
        return 0
    applied = accept_entries(folder, entries)
    print_accepted(applied)
    return 1 if applied.faults else 0


@click.command(epilog="Example: llmcompare reject 'trivia/*'")
@selection
def reject(globs: Sequence[str], every: bool, root: str | None) -> int:
    """Drop pending outputs; the baselines stay as they are.

    GLOB is a case (table/model/prompt_id[@variant]) or a test id; * stands for anything, ? for one character. A case
    that still differs is pending again after the next run of pytest.
    """
    folder = pending_root(root)
    entries = selected("reject", globs, every, load_pending(folder))
    forget(folder, [entry.key for entry in entries])
    print(f"{len(entries):,} rejected." if entries else NOTHING)
    return 0


def selected(command: str, globs: Sequence[str], every: bool, pending: Pending) -> list[Entry]:
    """Return the outputs that the command line selects.

    Raises:
        UsageError: Neither patterns nor `--all` were given, or both.
        SelectionError: A pattern matches nothing.
    """
    if bool(globs) == every:
        raise UsageError(f"say which: llmcompare {command} 'trivia/*', or llmcompare {command} --all")
    return list(pending.entries.values()) if every else matching(pending.entries.values(), globs)


def matching(entries: Iterable[Entry], patterns: Sequence[str]) -> list[Entry]:
    """Return the entries that match any of the patterns, in their order.

    Args:
        entries: The pending outputs.
        patterns: `table/model/prompt_id[@variant]` or test ids; `*` stands for anything, `?` for one character.
            Brackets stand for themselves, because test ids have them.

    Raises:
        SelectionError: A pattern matches nothing.
    """
    entries = list(entries)
    matches = {pattern: [entry for entry in entries if matches_entry(pattern, entry)] for pattern in patterns}
    unmatched = [pattern for pattern, matched in matches.items() if not matched]
    if unmatched:
        raise SelectionError("\n".join(_no_match(pattern, entries) for pattern in unmatched))
    keys = {entry.key for matched in matches.values() for entry in matched}
    return [entry for entry in entries if entry.key in keys]


def matches_entry(pattern: str, entry: Entry) -> bool:
    """Return True if a pattern matches the case, the case with its folder, or the test."""
    expression = "".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in pattern)
    names = (str(entry.key), f"{entry.key.group.folder}/{entry.key}", entry.test)
    return any(re.fullmatch(expression, name, re.DOTALL) for name in names)


def _no_match(pattern: str, entries: Sequence[Entry]) -> str:
    if not entries:
        return f"{pattern!r} matches nothing: no output is pending. Run pytest first."
    plain = pattern.replace("*", "").replace("?", "")
    known = [name for entry in entries for name in (str(entry.key), entry.test)]
    near = difflib.get_close_matches(plain, known, n=MAX_SUGGESTIONS, cutoff=0.5)
    near = near or [str(entry.key) for entry in entries[:MAX_SUGGESTIONS]]
    return f"{pattern!r} matches no pending output. Nearest: {', '.join(map(repr, near))}. All: llmcompare pending"


def print_accepted(applied: Applied) -> None:
    """Print which files were written, how many outputs were accepted, and what went wrong."""
    for line in written_lines(applied):
        print(disarm(line))
    print(f"{len(applied.accepted):,} accepted.")
    print_errors(applied.faults)


def written_lines(applied: Applied) -> list[str]:
    """Return a line per written file: `tests/__baselines__/trivia/tiny.baseline: 1 changed`."""
    return [f"{shown_path(report.path)}: {report.counts}" for report in applied.reports if report.written]
