"""Protocols of sources of baselines: readers, and writers that also take new ones."""

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
        """Name for the header and messages: `git:origin/main (1a2b3c4d)`."""

    @property
    def pinned(self) -> str:
        """The version that the source resolves to, such as a commit; all processes of a run use the same one."""

    @property
    def copying(self) -> str:
        """The command that copies its baselines into files; empty if there is none."""

    def load(self, group: GroupKey, cases: Sequence[Case]) -> BaselineSet:
        """The baselines of a group.

        Args:
            group: The group.
            cases: All cases of the group, selected or not.

        Raises:
            LlmCompareError: They cannot be read.
        """


@runtime_checkable
class BaselineWriter(BaselineReader, Protocol):
    """A source of baselines that can also be written to."""

    def path_of(self, group: GroupKey) -> Path:
        """The baseline file of a group, which need not exist."""

    def update(
        self, group: GroupKey, baselines: Sequence[Baseline], *, refresh: bool, shifted: Collection[RowKey]
    ) -> UpdateReport:
        """Write baselines; see `baselines.store.update`."""

    def obsolete(self, group: GroupKey, declared: Collection[RowKey]) -> tuple[RowKey, ...]:
        """Rows that the group's table no longer has."""

    def prune(self, group: GroupKey, declared: Collection[RowKey], *, confirmed: bool) -> tuple[RowKey, ...]:
        """Delete obsolete baselines; see `baselines.store.prune`."""


@dataclass(frozen=True)
class Outputs:
    """Outputs of a table and model of this run, as baselines for other models.

    Attributes:
        baselines: The outputs, with hashes of prompts and settings, by row.
        failures: Reasons for missing outputs, by row.
    """

    baselines: Mapping[RowKey, Baseline] = field(default_factory=dict)
    failures: Mapping[RowKey, str] = field(default_factory=dict)


OutputsOf = Callable[[GroupKey], Outputs]
"""Gives the outputs of a table and model of this run, evaluating them if needed."""
