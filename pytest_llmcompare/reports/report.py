"""What a report in a file is drawn from: the summary of a run, its groups, and how to run it again. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pytest_llmcompare.judgements import Verdict
from pytest_llmcompare.records import GroupResult

from .escaping import disarm
from .quantities import count
from .summary import Cell, Summary

WORDS: Mapping[Verdict | None, str] = {
    Verdict.ERROR: "error",
    Verdict.DRIFTED: "drifted",
    Verdict.STALE: "stale",
    Verdict.MISSING: "missing",
    Verdict.SHIFTED: "shifted",
    Verdict.NEAR_TIE: "near tie",
    Verdict.IDENTICAL: "identical",
    None: "not compared",
}
"""Verdicts as people read them, the worst first."""

SETTLED_BY_UPDATE = (Verdict.DRIFTED, Verdict.STALE, Verdict.SHIFTED, Verdict.MISSING)
"""Verdicts of which `--llm-update` makes baselines."""


@dataclass(frozen=True)
class Report:
    """A run, to be written to a file.

    Attributes:
        summary: What the run found.
        groups: What evaluating the groups gave, outputs left out.
        passed: Whether the run passed.
        finished: Whether it came to its end.
        command: The pytest command of this run, without options that update or prune.
        accepting: The command that takes a test's output as its baseline, given the test.
    """

    summary: Summary
    groups: tuple[GroupResult, ...] = ()
    passed: bool = True
    finished: bool = True
    command: str = "pytest"
    accepting: Callable[[str], str] = "pytest --llm-update {}".format

    @property
    def outcome(self) -> str:
        """How the run ended: `passed`, `failed` or `interrupted`."""
        return "interrupted" if not self.finished else "passed" if self.passed else "failed"

    @property
    def sentence(self) -> str:
        """What was found, worst first: `15 cases: 2 drifted, 13 identical`."""
        cells = self.summary.cells
        found = Counter("accepted" if cell.accepted else WORDS[cell.verdict] for cell in cells)
        parts = [f"{found[word]:,} {word}" for word in (*WORDS.values(), "accepted") if found[word]]
        return f"{count(len(cells), 'case')}: {', '.join(parts)}" if parts else "no case was looked at"

    @property
    def accept_all(self) -> str:
        """The command that takes all outputs as baselines; empty where there is nothing to accept."""
        acceptable = any(self.accept(cell) for cell in self.summary.cells)
        return disarm(f"{self.command} --llm-update") if acceptable else ""

    def accept(self, cell: Cell) -> str:
        """The command that takes today's output of a case as its baseline; empty where there is nothing to accept."""
        if cell.accepted or cell.verdict not in SETTLED_BY_UPDATE or cell.text is None:
            return ""
        return disarm(self.accepting(cell.result.nodeid))
