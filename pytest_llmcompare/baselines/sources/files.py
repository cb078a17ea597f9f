"""`files`: baselines beside the tests, the only source that is written to."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_llmcompare.baselines import store
from pytest_llmcompare.records import Baseline, Case, GroupKey, RowKey


@dataclass(frozen=True)
class FileBaselines:
    """Baseline files.

    Attributes:
        root: pytest's root folder.
    """

    root: Path
    title: str = "files"
    pinned: str = ""
    copying: str = ""

    def load(self, group: GroupKey, cases: Sequence[Case]) -> store.BaselineSet:
        """The baselines of a group; an empty set where there is no file."""
        del cases  # their rows are in the file
        return store.load(self.root, group)

    def path_of(self, group: GroupKey) -> Path:
        """The baseline file of a group, there or not."""
        return store.path_of(self.root, group)

    def update(
        self, group: GroupKey, baselines: Sequence[Baseline], *, refresh: bool, shifted: Collection[RowKey]
    ) -> store.UpdateReport:
        """Write baselines into a group's file; nothing is deleted."""
        return store.update(self.root, group, baselines, refresh=refresh, shifted=shifted)

    def obsolete(self, group: GroupKey, declared: Collection[RowKey]) -> tuple[RowKey, ...]:
        """Rows in a group's file that its table no longer has."""
        return store.obsolete(store.load(self.root, group), declared)

    def prune(self, group: GroupKey, declared: Collection[RowKey], *, confirmed: bool) -> tuple[RowKey, ...]:
        """Delete a group's obsolete baselines."""
        return store.prune(self.root, group, declared, confirmed=confirmed)
