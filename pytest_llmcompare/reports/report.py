"""A finished run, as all reports draw it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pytest_llmcompare.comparison.summary import Cell, Summary
from pytest_llmcompare.judgement import ACCEPTED, NO_VERDICT, WORST_FIRST, look_of
from pytest_llmcompare.records import GroupResult
from pytest_llmcompare.text import count, disarm


@dataclass(frozen=True)
class Report:
    """A finished run.

    Attributes:
        summary: Its cases, models, tables and notes.
        groups: Results of the groups, without their outputs.
        passed: Whether the run passed.
        finished: False if the run was interrupted.
        command: The pytest command of this run, without options that update or prune.
        accepting: Returns the command that accepts the output of a test, given its node id.
        identity: Facts that tell this run from others, by name: `time`, `commit`, `branch`.
    """

    summary: Summary
    groups: tuple[GroupResult, ...] = ()
    passed: bool = True
    finished: bool = True
    command: str = "pytest"
    accepting: Callable[[str], str] = "pytest --llm-update {}".format
    identity: Mapping[str, str] = field(default_factory=dict)

    @property
    def outcome(self) -> str:
        """`passed`, `failed` or `interrupted`."""
        return "interrupted" if not self.finished else "passed" if self.passed else "failed"

    @property
    def sentence(self) -> str:
        """Number of cases, and of cases by verdict: `15 cases: 2 drifted, 13 identical`."""
        counts = self.counts
        return f"{count(len(self.summary.cells), 'case')}: {counts}" if counts else "no case was looked at"

    @property
    def counts(self) -> str:
        """Cases by verdict, the worst first: `2 drifted, 13 identical`."""
        counts = Counter(look_of(cell.verdict, accepted=cell.accepted) for cell in self.summary.cells)
        looks = (*(verdict.look for verdict in WORST_FIRST), NO_VERDICT, ACCEPTED)
        return ", ".join(f"{counts[look]:,} {look.label}" for look in looks if counts[look])

    @property
    def accept_all(self) -> str:
        """The command that accepts all outputs; empty if there is nothing to accept."""
        acceptable = any(self.accept(cell) for cell in self.summary.cells)
        return disarm(f"{self.command} --llm-update") if acceptable else ""

    def accept(self, cell: Cell) -> str:
        """Return the command that accepts today's output of a case; empty if there is nothing to accept."""
        if cell.waits_as is None:
            return ""
        return disarm(self.accepting(cell.result.nodeid))
