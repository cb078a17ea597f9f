"""What can give baselines, and what can also take them: two types, so that nothing is written to what is only read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from pytest_llmcompare.baselines.store import BaselineSet, UpdateReport
from pytest_llmcompare.records import Baseline, Case, GroupKey, RowKey


class BaselineReader(Protocol):
    """A source of baselines."""

    @property
    def title(self) -> str:
        """What the header and messages call it: `git:origin/main (1a2b3c4d)`."""

    @property
    def pinned(self) -> str:
        """What it stands for in this run, such as a commit, so that every process of the run opens the same."""

    @property
    def copying(self) -> str:
        """The command that copies its baselines into files; empty where there is none."""

    def load(self, group: GroupKey, cases: Sequence[Case]) -> BaselineSet:
        """The baselines of a group.

        Args:
            group: The group.
            cases: Every case of it, selected or not.

        Raises:
            LlmCompareError: They cannot be read.
        """


@runtime_checkable
class BaselineWriter(BaselineReader, Protocol):
    """A source of baselines that takes new ones, too."""

    def path_of(self, group: GroupKey) -> Path:
        """The baseline file of a group, there or not."""

    def update(
        self, group: GroupKey, baselines: Sequence[Baseline], *, refresh: bool, shifted: Collection[RowKey]
    ) -> UpdateReport:
        """Write baselines; see `baselines.files.update`."""

    def obsolete(self, group: GroupKey, declared: Collection[RowKey]) -> tuple[RowKey, ...]:
        """Rows that the group's table no longer has."""

    def prune(self, group: GroupKey, declared: Collection[RowKey], *, confirmed: bool) -> tuple[RowKey, ...]:
        """Delete obsolete baselines; see `baselines.files.prune`."""


@dataclass(frozen=True)
class Outputs:
    """What a table and model of this run gave, as baselines for other models.

    Attributes:
        baselines: The outputs, with the hashes of what was asked.
        failures: Why there is no output, by row.
    """

    baselines: Mapping[RowKey, Baseline] = field(default_factory=dict)
    failures: Mapping[RowKey, str] = field(default_factory=dict)


OutputsOf = Callable[[GroupKey], Outputs]
"""Evaluates a table and model of this run, where that has not been done, and gives what it said."""
