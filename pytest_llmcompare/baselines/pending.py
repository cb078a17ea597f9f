"""Pending outputs: what a run found to differ and nobody has accepted or rejected yet.

    .llmcompare/pending.jsonl      {"pending": 1, "key": {...}, "run": "...", "old": "3f1c9a2e5b7d4c01", "new": {...}}

One line per finding, appended at once. Of several lines on a case the last one counts; a line without `new` says that
nothing waits any more. A line that was cut off by a kill spoils no other.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_llmcompare.errors import BaselineError
from pytest_llmcompare.judgements import Judgement
from pytest_llmcompare.records import Baseline, CaseKey
from pytest_llmcompare.wire import case_key, generation, judgement

from . import scratch
from .replacement import locked, replace

VERSION = 1
NAME = "pending.jsonl"


@dataclass(frozen=True)
class Entry:
    """An output that waits to be accepted or rejected.

    Attributes:
        key: Name of the case.
        test: The test that found it.
        run: Names the run that found it.
        commit: The git commit that was checked out; empty where there was none.
        old: Fingerprint of the baseline in the files; empty where there was none.
        new: Today's output, to be the baseline.
        judgement: The verdict.
        baseline: Text of the baseline that it was compared with, or None.
        prompt: The prompt's own text (without examples), to show.
        against: Where that baseline is from, where it is not from the files: `git:origin/main (1a2b3c4d)`.
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


@dataclass(frozen=True)
class Pending:
    """What waits.

    Attributes:
        entries: The entries by case, in the order in which they came.
        notes: Lines that could not be used.
    """

    entries: Mapping[CaseKey, Entry]
    notes: tuple[str, ...] = ()


class PendingFile:
    """The pending file of a folder.

    Args:
        root: pytest's root folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / scratch.FOLDER
        self.path = self.folder / NAME
        self.source = f"{scratch.FOLDER}/{NAME}"

    def read(self) -> Pending:
        """What waits; nothing where there is no file.

        Raises:
            BaselineError: It cannot be read, or is of another version.
        """
        return read(self.path, self.source) if self.path.exists() else Pending({})

    def append(self, *entries: Entry) -> None:
        """Add entries, each in the place of an earlier one of its case.

        Raises:
            BaselineError: Another process keeps the folder locked.
            OSError: It cannot be written.
        """
        self._write([line_of(entry) for entry in entries])

    def remove(self, keys: Iterable[CaseKey]) -> None:
        """Note that nothing waits for these cases. Raises as `append` does."""
        self._write([_line({"key": dataclasses.asdict(key)}) for key in keys])

    def compact(self) -> None:
        """Leave only the lines that count; where there are none, remove file and folder.

        Raises:
            BaselineError: It cannot be read, or is of another version.
            OSError: It cannot be written.
        """
        if not self.path.exists():
            return
        with locked(self.folder):
            entries = self.read().entries
            if entries:
                replace({self.path: "".join(f"{line_of(entry)}\n" for entry in entries.values()).encode("ascii")})
            else:
                self.path.unlink(missing_ok=True)
                scratch.remove_if_empty(self.root)

    def _write(self, lines: list[str]) -> None:
        """Append lines in one piece, on a line of their own whatever stands before them."""
        if not lines:
            return
        with locked(self.folder):
            scratch.make(self.root)
            with self.path.open("a+b") as file:
                file.seek(max(file.seek(0, 2) - 1, 0))
                start = "\n" if file.read(1) not in (b"", b"\n") else ""
                file.write(f"{start}{chr(10).join(lines)}\n".encode("ascii"))


def read(path: Path, source: str) -> Pending:
    """Read a pending file.

    Args:
        path: The file.
        source: What to call it in messages.

    Raises:
        BaselineError: It cannot be read, or a line is of another version.
    """
    try:
        lines = path.read_bytes().decode("ascii", "replace").split("\n")
    except OSError as error:
        raise BaselineError(f"{source}: cannot be read: {error.strerror or error}.") from error
    entries: dict[CaseKey, Entry] = {}
    notes = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
            _check_version(data["pending"], f"{source}, line {number}")
            key = case_key(data["key"])
            entries.pop(key, None)
            if "new" in data:
                entries[key] = _entry(key, data)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            notes.append(f"{source}, line {number}: broken, so it is not used.")
    return Pending(entries, tuple(notes))


def line_of(entry: Entry) -> str:
    """An entry as a line, without its line break."""
    output = dataclasses.replace(entry.new.generation, path=None, samples=())
    new = {"input_hash": entry.new.input_hash, "settings_hash": entry.new.settings_hash}
    return _line(
        {
            "key": dataclasses.asdict(entry.key),
            "run": entry.run,
            "commit": entry.commit,
            "test": entry.test,
            "old": entry.old,
            "judgement": dataclasses.asdict(entry.judgement),
            "prompt": entry.prompt,
            "baseline": entry.baseline,
            **({"against": entry.against} if entry.against else {}),
            "new": {**new, "generation": dataclasses.asdict(output)},
        }
    )


def _line(facts: Mapping[str, Any]) -> str:
    return json.dumps({"pending": VERSION, **facts})


def _entry(key: CaseKey, data: dict[str, Any]) -> Entry:
    """An entry from its line."""
    new, old_text = data["new"], data["baseline"]
    output = Baseline(key.row, generation(new["generation"]), str(new["input_hash"]), str(new["settings_hash"]))
    found = judgement(data["judgement"])
    texts = {name: str(data[name]) for name in ("test", "run", "commit", "old", "prompt")}
    texts["against"] = str(data.get("against", ""))
    return Entry(key=key, new=output, judgement=found, baseline=None if old_text is None else str(old_text), **texts)


def _check_version(version: object, where: str) -> None:
    if version != VERSION:
        raise BaselineError(
            f"{where}: the line has format {version}; this version of pytest-llmcompare reads format {VERSION}.\n"
            "Upgrade (pip install --upgrade pytest-llmcompare), or delete the file and run pytest again."
        )
