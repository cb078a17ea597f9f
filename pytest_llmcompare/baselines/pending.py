"""Pending outputs: those that differ from their baseline and were neither accepted nor rejected yet.

    .llmcompare/pending.jsonl      {"pending": 1, "key": {...}, "run": "...", "old": "3f1c9a2e5b7d4c01", "new": {...}}

One line per output, appended as soon as it is known. Of several lines about a case the last one counts; a line without
`new` removes the case. A line that was cut off by a kill spoils no other.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_llmcompare.errors import BaselineError
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.judgement import AssertionResult, Judgement
from pytest_llmcompare.records import Baseline, CaseKey
from pytest_llmcompare.serialization import from_plain, to_plain

from . import regular_file, state_folder
from .atomic_write import locked, replace
from .escapes import with_line_breaks

VERSION = 1
NAME = "pending.jsonl"


@dataclass(frozen=True)
class Entry:
    """An output to be accepted or rejected.

    Attributes:
        key: Name of the case.
        test: Node id of the test that found it.
        run: Id of the run that found it.
        commit: The git commit that was checked out; empty if none.
        old: Fingerprint of the baseline in the files; empty if none.
        new: Today's output, to become the baseline.
        judgement: The verdict.
        baseline: Text of the baseline that it was compared with, or None.
        prompt: The prompt's own text (without examples), to show.
        against: Source of that baseline, unless it is the files: `git:origin/main (1a2b3c4d)`.
        target: The expected answer, if the table has one.
        assertions: Results of the row's assertions.
    """

    key: CaseKey
    test: str
    run: str
    commit: str
    old: str
    new: Baseline
    judgement: Judgement
    baseline: str | None = None
    prompt: str = ""
    against: str = ""
    target: str | None = None
    assertions: tuple[AssertionResult, ...] = ()


@dataclass(frozen=True)
class Pending:
    """The content of a pending file.

    Attributes:
        entries: The entries by case, in the order in which they came.
        notes: One message for each line that could not be used.
        unknown: Lines that another version of this program has written, unchanged.
    """

    entries: Mapping[CaseKey, Entry]
    notes: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


class LineError(Exception):
    """What is wrong with a line, as half a sentence: `key.prompt_id is 1, expected text`."""


class OtherVersionError(LineError):
    """A line that another version of this program has written."""


class PendingFile:
    """The pending file of a folder.

    Args:
        root: pytest's root folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / state_folder.FOLDER
        self.path = self.folder / NAME
        self.source = f"{state_folder.FOLDER}/{NAME}"

    def read(self) -> Pending:
        """Read the file; empty if there is none.

        Raises:
            BaselineError: It cannot be read, or another version has written all of it.
        """
        return read(self.path, self.source) if os.path.lexists(self.path) else Pending({})

    def append(self, *entries: Entry) -> None:
        """Add entries; each replaces an earlier one of the same case.

        Raises:
            BaselineError: Another process keeps the folder locked.
            OSError: It cannot be written.
        """
        self._write([entry_line(entry) for entry in entries])

    def remove(self, keys: Iterable[CaseKey]) -> None:
        """Remove the entries of these cases. Raises as `append` does."""
        self._write([_line({"key": to_plain(key)}) for key in keys])

    def compact(self) -> None:
        """Drop lines that no longer count; if none is left, remove file and folder.

        Raises:
            BaselineError: It cannot be read, or is of another version.
            OSError: It cannot be written.
        """
        if not os.path.lexists(self.path):
            return
        with locked(self.folder):
            pending = self.read()
            lines = [*pending.unknown, *map(entry_line, pending.entries.values())]
            if lines:
                replace({self.path: "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")})
            else:
                self.path.unlink(missing_ok=True)
                state_folder.remove_if_empty(self.root)

    def _write(self, lines: list[str]) -> None:
        """Append lines in one write, after a line break if the file does not end in one."""
        if not lines:
            return
        with locked(self.folder):
            state_folder.make_folder(self.root)
            with regular_file.open_to_append(self.path) as file:
                file.seek(max(file.seek(0, 2) - 1, 0))
                start = "\n" if file.read(1) not in (b"", b"\n") else ""
                file.write(f"{start}{chr(10).join(lines)}\n".encode("ascii"))


def read(path: Path, source: str) -> Pending:
    """Read a pending file.

    Args:
        path: The file.
        source: What to call it in messages.

    Raises:
        BaselineError: It cannot be read, or another version has written all of it.
    """
    try:
        lines = with_line_breaks(regular_file.read(path).decode("utf-8", "replace")).split("\n")
    except OSError as error:
        raise BaselineError(f"{source}: cannot be read: {error.strerror or error}.{_way_out(error)}") from error
    entries: dict[CaseKey, Entry] = {}
    notes: list[str] = []
    unknown: list[str] = []
    used = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{source}, line {number}"
        try:
            _take(line, entries)
            used += 1
        except OtherVersionError as version:
            unknown.append(line)
            notes.append(_other_version(where, version))
        except LineError as error:
            notes.append(f"{where}: {error}, so it is not used.")
    if unknown and not used:
        raise BaselineError(notes[0])
    return Pending(entries, tuple(notes), tuple(unknown))


def _take(line: str, entries: dict[CaseKey, Entry]) -> None:
    """Apply a line to the entries.

    Raises:
        LineError: It cannot be used, or is of another version.
    """
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        raise LineError("broken") from None
    if not isinstance(data, dict) or type(data.get("pending")) is not int:
        raise LineError("broken")
    if data["pending"] != VERSION:
        raise OtherVersionError(data["pending"])
    from .pending_schema import checked_line

    try:
        facts = checked_line(data)
    except ValueError as error:
        raise LineError(str(error)) from None
    key = from_plain(CaseKey, facts["key"])
    entries.pop(key, None)
    if "new" in facts:
        facts["new"]["row"] = to_plain(key.row)
        entries[key] = from_plain(Entry, facts)


def entry_line(entry: Entry) -> str:
    """An entry as a JSON line, without line break."""
    output = _finite(entry.new.generation)
    new = {"input_hash": entry.new.input_hash, "settings_hash": entry.new.settings_hash}
    return _line(
        {
            "key": to_plain(entry.key),
            "run": entry.run,
            "commit": entry.commit,
            "test": entry.test,
            "old": entry.old,
            "judgement": _finite_judgement(entry.judgement),
            "prompt": entry.prompt,
            "baseline": entry.baseline,
            **({"against": entry.against} if entry.against else {}),
            **({"target": entry.target} if entry.target is not None else {}),
            **({"assertions": [to_plain(one) for one in entry.assertions]} if entry.assertions else {}),
            "new": {**new, "generation": to_plain(output)},
        }
    )


def _line(facts: Mapping[str, Any]) -> str:
    return json.dumps({"pending": VERSION, **facts})


def _finite(output: Generation) -> Generation:
    """An output whose log-probs and margins are finite or None, as JSON needs."""
    return dataclasses.replace(
        output,
        path=None,
        samples=(),
        logprobs=_known(output.logprobs),
        margins=_known(output.margins),
        as_read=_known(output.as_read),
    )


def _known(numbers: tuple[float, ...] | None) -> tuple[float, ...] | None:
    return numbers if numbers is not None and all(map(math.isfinite, numbers)) else None


def _finite_judgement(judged: Judgement) -> dict[str, Any]:
    """A judgement as plain data, with None for numbers that are not finite, as JSON needs."""
    whole = to_plain(judged)
    numbers = {name: whole[name] for name in ("margin", "tolerance")}
    unusable = [name for name, number in numbers.items() if number is not None and not math.isfinite(number)]
    if judged.likelihood and not all(map(math.isfinite, whole["likelihood"].values())):
        unusable.append("likelihood")
    return {**whole, **dict.fromkeys(unusable)}


def _other_version(where: str, version: OtherVersionError) -> str:
    return (
        f"{where}: the line has format {version}; this version of pytest-llmcompare reads format {VERSION}.\n"
        "Upgrade (pip install --upgrade pytest-llmcompare), or delete the file and run pytest again."
    )


def _way_out(error: OSError) -> str:
    irregular = isinstance(error, regular_file.IrregularFileError)
    return "\nDelete it, and run pytest again." if irregular else ""
