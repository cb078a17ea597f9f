"""The journal of a group: its finished generations, from which the next run resumes if a run is cut short.

    .llmcompare/journal/3f1c9a2e5b7d4c01.jsonl      {"asked": 300, "resumed": 0}
                                                    {"key": "...", "generation": {...}}

The key of a generation is a hash of everything it depends on: model, prompt, settings, seed, library versions, device
and precision. Each run also notes how many outputs it needs, so that an interrupted run can say how much of it is
kept, under pytest-xdist as well.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_llmcompare.generation import Environment, Generation
from pytest_llmcompare.records import Case, GroupKey
from pytest_llmcompare.serialization import from_plain, to_plain

from . import regular_file, state_folder

FOLDER = "journal"


class Journal:
    """The journal of one group.

    Args:
        root: pytest's root folder.
        group: The group.

    Attributes:
        works: False once it could not be written to.
    """

    def __init__(self, root: Path, group: GroupKey) -> None:
        name = hashlib.sha256(json.dumps(dataclasses.astuple(group)).encode()).hexdigest()[:16]
        self.root = root
        self.path = root / state_folder.FOLDER / FOLDER / f"{name}.jsonl"
        self.works = True

    def begin(self, asked: int, resumed: int = 0) -> None:
        """Note how many outputs a run needs, and how many of them the journal already has."""
        self._add({"asked": asked, "resumed": resumed})

    def read(self) -> dict[str, Generation]:
        """The generations by key; lines that are cut off or not of a journal are ignored."""
        generations = {}
        for entry in entries(self.path):
            with contextlib.suppress(ValueError, KeyError):
                generations[str(entry["key"])] = from_plain(Generation, entry["generation"])
        return generations

    def append(self, key: str, finished: Generation) -> None:
        """Add a generation. If that is not possible (full disk, read-only folder) the run goes on without a journal."""
        self._add({"key": key, "generation": to_plain(finished)})

    def _add(self, entry: Mapping[str, Any]) -> None:
        if not self.works:
            return
        try:
            if not self.path.parent.is_dir():
                state_folder.make_folder(self.root)
                self.path.parent.mkdir(exist_ok=True)
            with regular_file.open_to_append(self.path) as file:
                file.write(f"{json.dumps(entry)}\n".encode("ascii"))
        except OSError:
            self.works = False

    def discard(self) -> None:
        """Remove the journal, and its folders if they are empty."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
            self.path.parent.rmdir()
            state_folder.remove_if_empty(self.root)


@dataclass(frozen=True)
class KeptOutputs:
    """How much of an interrupted run its journals keep.

    Attributes:
        outputs: Number of finished outputs.
        asked: Number of outputs that the run needed.
    """

    outputs: int
    asked: int


def kept_since(root: Path, started: float) -> KeptOutputs | None:
    """Count the outputs in the journals written since a moment; None if no journal was.

    Args:
        root: pytest's root folder.
        started: The moment, in seconds of the clock of the file system.
    """
    kept: list[KeptOutputs] = []
    with contextlib.suppress(OSError):
        paths = sorted((root / state_folder.FOLDER / FOLDER).glob("*.jsonl"))
        kept += [_kept_in(path) for path in paths if path.stat().st_mtime >= started]
    return KeptOutputs(sum(group.outputs for group in kept), sum(group.asked for group in kept)) if kept else None


def _kept_in(path: Path) -> KeptOutputs:
    """Count the outputs of the last run in a journal."""
    asked, resumed, keys = 0, 0, set[str]()
    for entry in entries(path):
        if isinstance(entry.get("asked"), int) and isinstance(entry.get("resumed"), int):
            asked, resumed, keys = entry["asked"], entry["resumed"], set()
        elif "key" in entry:
            keys.add(str(entry["key"]))
    return KeptOutputs(min(resumed + len(keys), asked), asked)


def entries(path: Path) -> Iterator[dict[str, Any]]:
    """The entries of a journal; lines that are cut off or not of a journal are ignored."""
    try:
        lines = regular_file.read(path).decode("ascii", "replace").splitlines()
    except OSError:
        return
    for line in lines:
        with contextlib.suppress(ValueError, RecursionError):
            entry = json.loads(line)
            if isinstance(entry, dict):
                yield entry


def row_answer_key(facts: Mapping[str, Any], model: str) -> str:
    """Key of an output of a pyfunc that is given the columns of its signature in place of a prompt.

    Args:
        facts: Everything that the model is given.
        model: Identity of the model: everything about it that decides its output.
    """
    return hashlib.sha256(json.dumps([model, facts], sort_keys=True, default=repr).encode()).hexdigest()


def answer_key(case: Case, model: str, environment: Environment) -> str:
    """Key of a generation: a hash of everything it depends on.

    Args:
        case: The case.
        model: Identity of the model: everything about it that decides its output.
        environment: Versions, device, precision and weights.
    """
    facts: list[Any] = [model, environment, case.prompt, dict(case.gen_config), case.template, case.seed]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
