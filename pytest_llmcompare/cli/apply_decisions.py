"""Carry out decisions about pending outputs: write baselines, remove pending entries."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pytest_llmcompare.baselines import store
from pytest_llmcompare.baselines.paths import FOLDER
from pytest_llmcompare.baselines.pending import Entry, PendingFile, entry_line
from pytest_llmcompare.errors import BaselineError
from pytest_llmcompare.judgement import Verdict
from pytest_llmcompare.records import CaseKey, GroupKey

MAX_FOLDER_CHARS = 200  # shown in a message


@dataclass(frozen=True)
class Applied:
    """What was done about the decisions.

    Attributes:
        accepted: The cases whose output is now their baseline.
        rejected: The cases whose output was dropped.
        reports: What was written, one report per baseline file.
        refused: For each case that could be neither accepted nor rejected, the reason.
        faults: Those reasons, each once, and everything else that went wrong.
    """

    accepted: tuple[CaseKey, ...] = ()
    rejected: tuple[CaseKey, ...] = ()
    reports: tuple[store.UpdateReport, ...] = ()
    refused: Mapping[CaseKey, str] = field(default_factory=dict)
    faults: tuple[str, ...] = ()


def apply_decisions(root: Path, accepted: Iterable[Entry], rejected: Sequence[Entry]) -> Applied:
    """Carry out decisions; one that fails does not stop the others.

    If a run has meanwhile found another output for a rejected case, that output stays pending: it was not reviewed.

    Args:
        root: pytest's root folder.
        accepted: The outputs that become baselines.
        rejected: The outputs to drop.
    """
    applied = accept_entries(root, accepted)
    try:
        now = PendingFile(root).read().entries
        newer = {entry.key: _newer(entry) for entry in rejected if _has_changed(now.get(entry.key), entry)}
        dropped = [entry.key for entry in rejected if entry.key not in newer]
        forget(root, dropped)
    except BaselineError as error:
        newer, dropped = {entry.key: str(error) for entry in rejected}, []
    faults = dict.fromkeys((*applied.faults, *newer.values()))
    return replace(applied, rejected=tuple(dropped), refused={**applied.refused, **newer}, faults=tuple(faults))


def accept_entries(root: Path, entries: Iterable[Entry]) -> Applied:
    """Write outputs as baselines, as `--llm-update` would, and remove them from the pending file.

    A case whose baseline has changed since the comparison is refused.

    Args:
        root: pytest's root folder.
        entries: The outputs to accept.
    """
    by_group: dict[GroupKey, list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: entry.key):
        by_group.setdefault(entry.key.group, []).append(entry)
    accepted: list[CaseKey] = []
    reports: list[store.UpdateReport] = []
    refused: dict[CaseKey, str] = {}
    for group, of_group in by_group.items():
        try:
            report = _write(root, group, of_group)
        except BaselineError as error:
            refused.update((entry.key, str(error)) for entry in of_group)
            continue
        reports.append(report)
        refused.update((entry.key, _moved(entry)) for entry in of_group if entry.key.row in report.moved)
        accepted += [entry.key for entry in of_group if entry.key.row not in report.moved]
    faults = list(dict.fromkeys(refused.values()))
    try:
        forget(root, accepted)
    except BaselineError as error:
        faults.append(f"The baselines are written, but {error}")
    return Applied(tuple(accepted), reports=tuple(reports), refused=refused, faults=tuple(faults))


def forget(root: Path, keys: Iterable[CaseKey]) -> None:
    """Remove cases from the pending file; their baselines stay as they are.

    Raises:
        BaselineError: The pending file cannot be read or written.
    """
    file = PendingFile(root)
    known = file.read().entries.keys() & set(keys)
    try:
        if known:
            file.remove(sorted(known))
            file.compact()
    except OSError as error:
        raise BaselineError(f"{file.source}: cannot be written: {error.strerror or error}.") from error


def _write(root: Path, group: GroupKey, entries: Sequence[Entry]) -> store.UpdateReport:
    _check_folder(root, group)
    return store.update(
        root,
        group,
        [replace(entry.new, input=entry.prompt) for entry in entries],
        shifted={entry.key.row for entry in entries if entry.judgement.verdict is Verdict.SHIFTED},
        expected={entry.key.row: entry.old for entry in entries},
    )


def _check_folder(root: Path, group: GroupKey) -> None:
    """Refuse to write outside of the project: the pending file is untrusted.

    Raises:
        BaselineError: The group's folder is not in the project, or does not exist.
    """
    name = f"{group.table}/{group.model}"
    folder = Path(os.path.normpath(root / group.folder))
    above = folder / FOLDER
    try:
        leads_out = not Path(os.path.realpath(above)).is_relative_to(os.path.realpath(root)) and not above.is_dir()
        is_there = folder.is_dir()
    except OSError as error:
        raise BaselineError(f"{name}: folder {_quoted(group.folder)} cannot be read: {error.strerror}.") from error
    if leads_out or not folder.is_relative_to(root):
        raise BaselineError(
            f"{name}: folder {_quoted(group.folder)} is not below {root}. Accept with pytest --llm-update."
        )
    if not is_there:
        raise BaselineError(
            f"{name}: there is no folder {_quoted(group.folder)} in {root}. Name pytest's root folder: --root=FOLDER"
        )


def _quoted(folder: str) -> str:
    return repr(folder if len(folder) <= MAX_FOLDER_CHARS else f"{folder[:MAX_FOLDER_CHARS]}...")


def _moved(entry: Entry) -> str:
    return (
        f"{entry.key}: its baseline is no longer the one that this output was compared with, so it stays as it is. "
        "Run pytest again and look at what is pending then."
    )


def _has_changed(now: Entry | None, shown: Entry) -> bool:
    """Return True if the case has another pending output now than the one that was shown."""
    return now is not None and entry_line(now) != entry_line(shown)


def _newer(entry: Entry) -> str:
    return f"{entry.key}: a run has found another output since; that one was not rejected and stays pending."
