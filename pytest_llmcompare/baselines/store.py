"""Baseline files beside the tests: read, update, rename and prune them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pytest_llmcompare.errors import BaselineError
from pytest_llmcompare.records import Baseline, GroupKey, RowKey

from . import group_file
from .atomic_write import locked, remove_leftovers
from .document import shown_case, sort_key
from .group_file import Change, Contents
from .paths import FOLDER, GroupFiles, OvertakenError, WritableGroupFiles

NOTHING_RECORDED = "no baseline is recorded for this case"
PRUNE_SHARE = 0.2  # of a file; deleting more needs a confirmation

ATTEMPTS = 20  # to read and write a file that other processes keep writing

T = TypeVar("T")

_AGAIN = "The baselines are unchanged. Fix that, and run the update again."


@dataclass(frozen=True)
class BaselineSet:
    """The baselines of a group.

    Attributes:
        path: The baseline file, which need not exist; None for another source.
        baselines: The usable baselines, by row.
        conflicts: Places of rows that a merge left in two versions: `PATH, lines 12-19`.
        warnings: Messages about tokens and environments that could not be used, and about the source.
        lacking: Message about a row that has no baseline.
        faults: Reasons why the baseline of a row cannot be used, by row.
        of_model: Name of the model whose outputs they are, if it is not the group's own.
    """

    path: Path | None = None
    baselines: Mapping[RowKey, Baseline] = field(default_factory=dict)
    conflicts: Mapping[RowKey, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    lacking: str = NOTHING_RECORDED
    faults: Mapping[RowKey, str] = field(default_factory=dict)
    of_model: str = ""

    @property
    def rows(self) -> frozenset[RowKey]:
        """All rows in the file, those in conflict included."""
        return frozenset(self.baselines) | frozenset(self.conflicts)


@dataclass(frozen=True)
class UpdateReport:
    """Effect of an update, with rows in the order given.

    Attributes:
        path: The baseline file.
        added: Rows that had no baseline.
        changed: Rows with a new text, new tokens, finish reason or hashes.
        refreshed: Rows with only a new environment or log-probabilities.
        moved: Rows that were not written, because their baseline was not the expected one.
    """

    path: Path
    added: tuple[RowKey, ...] = ()
    changed: tuple[RowKey, ...] = ()
    refreshed: tuple[RowKey, ...] = ()
    moved: tuple[RowKey, ...] = ()

    @property
    def written(self) -> bool:
        """True if the files were written."""
        return bool(self.added or self.changed or self.refreshed)

    @property
    def counts(self) -> str:
        """What was written, in words: `1 added, 2 changed`."""
        parts = {"added": self.added, "changed": self.changed, "refreshed": self.refreshed}
        return ", ".join(f"{len(rows)} {what}" for what, rows in parts.items() if rows)


def path_of(root: Path, group: GroupKey) -> Path:
    """The baseline file of a group, which need not exist; its tokens file is beside it.

    Raises:
        BaselineError: The folder cannot be read.
    """
    return GroupFiles(root, group).path


def load(root: Path, group: GroupKey) -> BaselineSet:
    """Read the baselines of a group; an empty set if there is no file.

    Args:
        root: Pytest's root folder.
        group: The group.

    Raises:
        BaselineError: The file cannot be read, is damaged, newer than this program, or another group's.
    """
    files = GroupFiles(root, group)
    stored = files.read()
    if stored is None:
        return BaselineSet(files.path)
    conflicts = {row: f"{files.source}, {conflict.where}" for row, conflict in stored.document.conflicts.items()}
    return BaselineSet(files.path, stored.baselines, conflicts, stored.warnings)


def fingerprints(root: Path, group: GroupKey) -> dict[RowKey, tuple[str, str | None]]:
    """Fingerprint and text of each case in a group's file; the text is None if a merge left two.

    Raises:
        BaselineError: The file cannot be read.
    """
    stored = GroupFiles(root, group).read()
    if stored is None:
        return {}
    texts = {row: baseline.generation.text for row, baseline in stored.baselines.items()}
    return {row: (stored.fingerprint(row), texts.get(row)) for row in stored.rows}


def snapshot(root: Path, group: GroupKey) -> Contents:
    """Read both files of a group; empty if there are none.

    Raises:
        BaselineError: The file cannot be read.
    """
    return GroupFiles(root, group).read() or group_file.empty(group)


def update(
    root: Path,
    group: GroupKey,
    baselines: Sequence[Baseline],
    *,
    refresh: bool = False,
    shifted: Collection[RowKey] = (),
    expected: Mapping[RowKey, str] | None = None,
) -> UpdateReport:
    """Write baselines into a group's file; all others in it stay.

    The file is read again under a lock, so that simultaneous runs do not undo each other's updates. Baselines that are
    the same as before keep their lines byte for byte, and if nothing changes no file is written.

    Args:
        root: Pytest's root folder.
        group: The group.
        baselines: The new baselines; they also resolve merge conflicts of their cases.
        refresh: Also rewrite environment and log-probabilities of baselines whose text is the same.
        shifted: Rows for which to do that in any case, because their log-probabilities moved.
        expected: Fingerprints that the baselines must have to be replaced; None replaces any.

    Raises:
        BaselineError: The file cannot be read (it is never overwritten then) or written.
    """

    def change(files: WritableGroupFiles, stored: Contents) -> UpdateReport:
        moved = {
            new.row
            for new in baselines
            if expected is not None and not stored.is_at(new, expected[new.row], shifted=new.row in shifted)
        }
        changes = {
            baseline.row: stored.put(baseline, refresh=refresh or baseline.row in shifted)
            for baseline in baselines
            if baseline.row not in moved
        }
        report = UpdateReport(
            files.path,
            moved=tuple(sorted(moved, key=sort_key)),
            added=tuple(row for row, kind in changes.items() if kind is Change.ADDED),
            changed=tuple(row for row, kind in changes.items() if kind is Change.CHANGED),
            refreshed=tuple(row for row, kind in changes.items() if kind is Change.REFRESHED),
        )
        if report.written:
            stored.keep_environment_name()
            files.write(stored)
        return report

    return _changed(root, group, change, make=bool(baselines))


def rename(root: Path, group: GroupKey, names: Mapping[RowKey, RowKey]) -> None:
    """Rename cases in a group's file, all of them or none.

    Args:
        root: Pytest's root folder.
        group: The group.
        names: The new name of each.

    Raises:
        BaselineError: A case is not there, is in conflict, or the new name is taken; or the file cannot be written.
    """

    def change(files: WritableGroupFiles, stored: Contents) -> None:
        for old, new in names.items():
            if old in stored.document.conflicts:
                where = stored.document.conflicts[old].where
                raise BaselineError(
                    f"{files.source}, {where}: a merge left two versions of '{shown_case(old)}'.\n"
                    "Settle that first: pytest --llm-update"
                )
            if old not in stored.document.records:
                raise BaselineError(f"{files.source}: there is no case '{shown_case(old)}'.")
            if new in stored.rows:
                raise BaselineError(
                    f"{files.source}: there is a case '{shown_case(new)}' already. Choose another name."
                )
            stored.rename(old, new)
        files.write(stored)

    _changed(root, group, change)


def obsolete(baselines: BaselineSet, declared: Collection[RowKey]) -> tuple[RowKey, ...]:
    """Rows in a group's file that its table no longer has, sorted.

    Args:
        baselines: The baselines of the group.
        declared: All rows of the table, selected or not.
    """
    return tuple(sorted(baselines.rows - set(declared), key=sort_key))


def prune(root: Path, group: GroupKey, declared: Collection[RowKey], *, confirmed: bool) -> tuple[RowKey, ...]:
    """Delete a group's obsolete baselines; an empty file is removed.

    Args:
        root: Pytest's root folder.
        group: The group.
        declared: All rows of the table, selected or not.
        confirmed: Whether more than a fifth of the file may be deleted.

    Returns:
        The rows deleted, sorted.

    Raises:
        BaselineError: More would go than was confirmed, or the file cannot be read or written.
    """

    def change(files: WritableGroupFiles, stored: Contents) -> tuple[RowKey, ...]:
        gone = sorted(stored.rows - set(declared), key=sort_key)
        if len(gone) > PRUNE_SHARE * len(stored.rows) and not confirmed:
            raise BaselineError(_many_obsolete(files.source, gone, len(stored.rows)))
        stored.remove(gone)
        if gone and stored.rows:
            files.write(stored)
        elif gone:
            files.remove()
        return tuple(gone)

    return _changed(root, group, change)


def _many_obsolete(source: str, gone: Sequence[RowKey], total: int) -> str:
    names = ", ".join(f"'{shown_case(row)}'" for row in gone[:3]) + (
        f" and {len(gone) - 3} more" if len(gone) > 3 else ""
    )
    return (
        f"{source}: the table no longer has {len(gone)} of its {total} rows: {names}. "
        f"More than {PRUNE_SHARE:.0%} of a file are not deleted without confirmation.\n"
        "Nothing was deleted from this file. To delete them: pytest --llm-prune=yes"
    )


def _changed(
    root: Path, group: GroupKey, change: Callable[[WritableGroupFiles, Contents], T], *, make: bool = False
) -> T:
    """Read and change a group's files under a lock.

    If another process has written in spite of it (some file systems lock for one machine only), they are read again.

    Args:
        root: Pytest's root folder.
        group: The group.
        change: Changes them, and writes them if needed.
        make: Create the folder if needed.
    """
    folder = root / group.folder / FOLDER
    try:
        with locked(folder, make=make):
            for _ in range(ATTEMPTS):
                files = WritableGroupFiles(root, group)
                for path in (files.path, files.tokens, files.attributes):
                    remove_leftovers(path)
                with contextlib.suppress(OvertakenError):
                    return change(files, files.read() or group_file.empty(group))
    except OSError as error:
        where = error.filename or folder
        raise BaselineError(f"{where}: cannot be written: {error.strerror or error}.\n{_AGAIN}") from error
    raise BaselineError(f"{files.source}: other runs keep writing this file.\n{_AGAIN}")
