"""The journal of a group: its finished generations, so that a run that was ended early goes on where it was.

    .llmcompare/journal/3f1c9a2e5b7d4c01.jsonl      {"key": "...", "generation": {...}}

A generation is found again only under everything that it depended on: model, prompt, settings, seed, library versions,
device and precision. A key without the model would give one model's text as another's.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from pytest_llmcompare.generations import Environment, Generation
from pytest_llmcompare.records import Case, GroupKey
from pytest_llmcompare.wire import generation

from . import regular_file, scratch


class Journal:
    """The journal of one group.

    Args:
        root: pytest's root folder.
        group: The group.
    """

    def __init__(self, root: Path, group: GroupKey) -> None:
        name = hashlib.sha256(json.dumps(dataclasses.astuple(group)).encode()).hexdigest()[:16]
        self.root = root
        self.path = root / scratch.FOLDER / "journal" / f"{name}.jsonl"
        self.works = True

    def read(self) -> dict[str, Generation]:
        """The generations by key; a line that was cut off, or is none of ours, is passed over."""
        try:
            lines = regular_file.read(self.path).decode("ascii", "replace").splitlines()
        except OSError:
            return {}
        found = {}
        for line in lines:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                entry = json.loads(line)
                found[str(entry["key"])] = generation(entry["generation"])
        return found

    def append(self, key: str, finished: Generation) -> None:
        """Add a generation. Where that is not possible (a full disk, a read-only folder) the run goes on without."""
        if not self.works:
            return
        entry = json.dumps({"key": key, "generation": dataclasses.asdict(finished)})
        try:
            if not self.path.parent.is_dir():
                scratch.make(self.root)
                self.path.parent.mkdir(exist_ok=True)
            with regular_file.open_to_append(self.path) as file:
                file.write(f"{entry}\n".encode("ascii"))
        except OSError:
            self.works = False

    def discard(self) -> None:
        """Remove the journal, and the folders if nothing else is in them."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
            self.path.parent.rmdir()
            scratch.remove_if_empty(self.root)


def key_of(case: Case, model: str, environment: Environment) -> str:
    """Names a generation by all that it depends on.

    Args:
        case: What is asked.
        model: Fingerprint of the model.
        environment: Versions, device, precision and weights.
    """
    facts: list[Any] = [model, environment, case.prompt, dict(case.gen_config), case.template, case.seed]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
