"""The parsed content of a baseline file, and errors about it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pytest_llmcompare.comparison.environments import NOISE, without_noise
from pytest_llmcompare.comparison.measured_noise import MeasuredNoise
from pytest_llmcompare.errors import BaselineError
from pytest_llmcompare.generation import Environment
from pytest_llmcompare.records import RowKey
from pytest_llmcompare.text import digest

from .escapes import escape_name

NO_ROW = RowKey("")
ENVIRONMENT_NAME = re.compile(r"e[1-9][0-9]{0,8}")

_FIX = "Fix the line, or restore the file"
_UPGRADE = "Upgrade: pip install --upgrade pytest-llmcompare"


class DamagedFileError(BaselineError):
    """A baseline file that cannot be used; if it lies beside the tests, git can restore it.

    Args:
        what: What is wrong, and where.
        way_out: What to do; the command that restores the file is appended.
        source: The file, as it is called in messages.
    """

    def __init__(self, what: str, way_out: str, source: str) -> None:
        super().__init__(f"{what}\n{way_out}: {restore(source)}")
        self.what = what

    def elsewhere(self, way_out: str) -> BaselineError:
        """The error about a file that does not lie beside the tests: with something else to do."""
        return BaselineError(f"{self.what}\n{way_out}")


class LineFault(Exception):  # noqa: N818 - not an error yet: it does not know its file
    """What is wrong with a line, before it is known which file it is in.

    Attributes:
        line: Number of the line, from 1.
        what: What is wrong with it.
        way_out: What to do, before the command that restores the file.
        newer: True if a newer version of this program has written the file, so that restoring it would not help.
    """

    def __init__(self, line: int, what: str, way_out: str = _FIX, *, newer: bool = False) -> None:
        super().__init__(line, what)
        self.line = line
        self.what = what
        self.way_out = way_out
        self.newer = newer

    def error(self, source: str) -> BaselineError:
        """The error for the user."""
        what = f"{source}, line {self.line}: {self.what}"
        return BaselineError(f"{what}\n{_UPGRADE}") if self.newer else DamagedFileError(what, self.way_out, source)


def restore(source: str) -> str:
    """The command that brings a file back as it was committed."""
    return f"git checkout -- {shlex.quote(source)}"


class CaseRecord(NamedTuple):
    """A case in a baseline file.

    Attributes:
        row: Name of the case.
        text: The approved text.
        stop: Finish reason.
        environment: Name of its environment in this file; empty if unknown.
        input_hash: As in `Baseline`.
        settings_hash: As in `Baseline`.
        tokens: Number of its tokens, or None if it was recorded without.
        lines: Its lines verbatim, without line break at the end.
        number: Number of its first line, from 1; 0 if it was not read from a file.
        prompt: As `Generation.prompt_shown`.
        comment: First line of the prompt, cut and escaped, for reviewers; empty if unknown.
    """

    row: RowKey
    text: str
    stop: str
    environment: str
    input_hash: str
    settings_hash: str
    tokens: int | None
    lines: str
    number: int = 0
    prompt: str = ""
    comment: str = ""


@dataclass(frozen=True)
class Conflict:
    """A case that a merge left in two versions.

    Attributes:
        lines: Both versions between conflict markers, written back unchanged until one is chosen.
        where: The lines in the file, `lines 12-19`.
        environments: Names of the environments that the versions refer to.
    """

    lines: str
    where: str
    environments: frozenset[str]


@dataclass
class Document:
    """A parsed baseline file.

    Attributes:
        table: True name of the prompt table.
        model: True name of the model.
        environments: Environments by their name in this file (`e1`), without noise.
        noises: Noise measured in an environment, as `MeasuredNoise.text` writes it, by the environment's name.
        records: Cases that can be used.
        repeated: Further cases with the same name as one of the `records`; a merge can leave them.
        conflicts: Cases that a merge left in two versions.
        ambiguous: Names of environments that a merge left with two meanings; their cases are read without one.
        newline: Line break of the file.
        unended: Number of the last line if it has no line break, so that it may be cut off; else 0.
    """

    table: str
    model: str
    environments: dict[str, Environment] = field(default_factory=dict)
    noises: dict[str, str] = field(default_factory=dict)
    records: dict[RowKey, CaseRecord] = field(default_factory=dict)
    repeated: list[CaseRecord] = field(default_factory=list)
    conflicts: dict[RowKey, Conflict] = field(default_factory=dict)
    ambiguous: tuple[str, ...] = ()
    newline: str = "\n"
    unended: int = 0

    def environment_name(self, environment: Environment) -> str:
        """Name of an environment in this file; a new one gets the next number, so that names keep their meaning.

        The noise in it is kept if it is larger than the one known.
        """
        described = without_noise(environment)
        if not described:
            return ""
        name = next((name for name, known in self.environments.items() if known == described), "")
        if not name:
            name = next_name(self.environments.keys() | self.used_environments())
            self.environments[name] = described
        self.noises.update(larger_noises(self.noises, {name: dict(environment).get(NOISE, "")}))
        return name

    def rename_environment(self, old: str, new: str) -> None:
        """Give an environment the name of another, which it replaces."""
        self.environments[new] = self.environments.pop(old)
        self.noises.pop(new, None)
        if old in self.noises:
            self.noises[new] = self.noises.pop(old)

    def environment_hash(self, name: str) -> str:
        """8 hex digits that change with the description of an environment; empty if there is none of this name."""
        return digest(json.dumps(self.environments[name])) if name in self.environments else ""

    def environment(self, name: str) -> Environment:
        """An environment with its noise; empty if there is none of this name."""
        known, noise = self.environments.get(name, ()), self.noises.get(name)
        return tuple(sorted([*known, (NOISE, noise)])) if known and noise else known

    def versions(self, row: RowKey) -> list[CaseRecord]:
        """All records with a name."""
        first = [self.records[row]] if row in self.records else []
        return first + [record for record in self.repeated if record.row == row]

    def used_environments(self) -> set[str]:
        """Names of the environments that a case refers to."""
        used = {record.environment for record in self.records.values()}
        return used.union(*(conflict.environments for conflict in self.conflicts.values()))

    def blocks(self) -> list[str]:
        """The lines of all cases, sorted by id and variant."""
        lines = {row: record.lines for row, record in self.records.items()}
        lines.update((row, conflict.lines) for row, conflict in self.conflicts.items())
        return [lines[row] for row in sorted(lines, key=sort_key)]


def larger_noises(one: Mapping[str, str], other: Mapping[str, str]) -> dict[str, str]:
    """The larger noise of each environment; one that cannot be read counts as none."""
    larger: dict[str, str] = {}
    for name in {**one, **other}:
        both = [MeasuredNoise.read(((NOISE, noises.get(name, "")),)) for noises in (one, other)]
        known = [noise for noise in both if noise is not None]
        if known:
            larger[name] = known[0].widened(known[-1]).text
    return larger


def sort_key(row: RowKey) -> tuple[str, str]:
    """Sort key that orders rows as their own comparison does, but faster."""
    return row.prompt_id, row.variant


def next_name(names: Iterable[str]) -> str:
    """The next free name for an environment: `e3` after `e2`."""
    return f"e{max((int(name[1:]) for name in names if ENVIRONMENT_NAME.fullmatch(name)), default=0) + 1}"


def shown_case(row: RowKey) -> str:
    """The name of a case for messages, on one line and harmless."""
    name = escape_name(row.prompt_id)
    return f"{name}@{escape_name(row.variant)}" if row.variant else name
