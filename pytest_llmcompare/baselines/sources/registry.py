"""Opens the sources that come with the plugin: `files`, `git:REF`, `runs:/ID`, `model:NAME`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_llmcompare.baselines import store
from pytest_llmcompare.errors import SourceError
from pytest_llmcompare.records import Baseline, Case, GroupKey, RowKey
from pytest_llmcompare.settings import FILES

from .protocol import BaselineReader, OutputsOf

FORMS = (FILES, "git:REF", "runs:/ID", "model:NAME")


@dataclass(frozen=True)
class FileBaselines:
    """Baselines in files beside the tests, the only source that is written to.

    Attributes:
        root: pytest's root folder.
    """

    root: Path
    title: str = "files"
    pinned: str = ""
    copying: str = ""

    def load(self, group: GroupKey, cases: Sequence[Case]) -> store.BaselineSet:
        """The baselines of a group; an empty set if there is no file."""
        del cases  # their rows are in the file
        return store.load(self.root, group)

    def path_of(self, group: GroupKey) -> Path:
        """The baseline file of a group, which need not exist."""
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


def open_known_source(source: str, root: Path, pinned: str, outputs: OutputsOf) -> BaselineReader | None:
    """Open a source of baselines; None if it is of a kind that a plugin has to open.

    Args:
        source: The source, as the user wrote it.
        root: pytest's root folder.
        pinned: The commit or the like that another process of this run has resolved the source to; else empty.
        outputs: Gives the outputs of a table and model of this run.

    Raises:
        SourceError: It cannot be opened.
    """
    kind, colon, rest = source.partition(":")
    if source == FILES:
        return FileBaselines(root)
    if not colon or kind not in ("git", "runs", "model"):
        return None
    if kind == "git":
        from .git_commit import open_commit

        return open_commit(root, rest, pinned)
    if kind == "runs":
        from .mlflow_run import open_run

        return open_run(source)
    from .reference_model import ModelBaselines

    if not rest:
        raise SourceError("expected model:NAME, the name of one of the models of this run.")
    return ModelBaselines(rest, outputs)
