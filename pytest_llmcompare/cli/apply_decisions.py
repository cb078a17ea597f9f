"""What is decided about pending outputs, carried out: baselines written, entries removed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pytest_llmcompare.baselines import store
from pytest_llmcompare.baselines.paths import FOLDER
from pytest_llmcompare.baselines.pending import Entry, PendingFile, line_of
from pytest_llmcompare.errors import BaselineError
from pytest_llmcompare.judgement import Verdict
from pytest_llmcompare.records import CaseKey, GroupKey

LONGEST_SHOWN = 200  # characters of a folder


@dataclass(frozen=True)
class Outcome:
    """What became of the entries about which something was decided.

    Attributes:
        accepted: The cases whose output is now their baseline.
        rejected: The cases whose output is dropped.
        reports: What was written, file by file.
        refused: Why others were neither accepted nor rejected, case by case.
        faults: The same, each reason once, and what else went wrong.
    """

    accepted: tuple[CaseKey, ...] = ()
    rejected: tuple[CaseKey, ...] = ()
    reports: tuple[store.UpdateReport, ...] = ()
    refused: Mapping[CaseKey, str] = field(default_factory=dict)
    faults: tuple[str, ...] = ()


def settle(root: Path, accepted: Iterable[Entry], rejected: Sequence[Entry]) -> Outcome:
    """Carry out all that was decided; where a part of it cannot be done, the rest is.

    Of a case that was rejected and has been run again since, the new output still waits: nobody has seen it.

    Args:
        root: pytest's root folder.
        accepted: Whose output becomes the baseline.
        rejected: Whose output is dropped.
    """
    outcome = accept(root, accepted)
    try:
        waiting = PendingFile(root).read().entries
        newer = {entry.key: _newer(entry) for entry in rejected if _is_newer(waiting.get(entry.key), entry)}
        dropped = [entry.key for entry in rejected if entry.key not in newer]
        forget(root, dropped)
    except BaselineError as error:
        newer, dropped = {entry.key: str(error) for entry in rejected}, []
    faults = dict.fromkeys((*outcome.faults, *newer.values()))
    return replace(outcome, rejected=tuple(dropped), refused={**outcome.refused, **newer}, faults=tuple(faults))


def accept(root: Path, entries: Iterable[Entry]) -> Outcome:
    """Write outputs as baselines, as `--llm-update` would have; they wait no more.

    A case whose baseline is another one by now than the one that it was compared with is left as it is.

    Args:
        root: pytest's root folder.
        entries: What is accepted.
    """
    by_group: dict[GroupKey, list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: entry.key):
        by_group.setdefault(entry.key.group, []).append(entry)
    accepted: list[CaseKey] = []
    reports: list[store.UpdateReport] = []
    refused: dict[CaseKey, str] = {}
    for group, own in by_group.items():
        try:
            report = _write(root, group, own)
        except BaselineError as error:
            refused.update((entry.key, str(error)) for entry in own)
            continue
        reports.append(report)
        refused.update((entry.key, _moved(entry)) for entry in own if entry.key.row in report.moved)
        accepted += [entry.key for entry in own if entry.key.row not in report.moved]
    faults = list(dict.fromkeys(refused.values()))
    try:
        forget(root, accepted)
    except BaselineError as error:
        faults.append(f"The baselines are written, but {error}")
    return Outcome(tuple(accepted), reports=tuple(reports), refused=refused, faults=tuple(faults))


def forget(root: Path, keys: Iterable[CaseKey]) -> None:
    """Let cases wait no more; their baselines stay as they are.

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
        [entry.new for entry in entries],
        shifted={entry.key.row for entry in entries if entry.judgement.verdict is Verdict.SHIFTED},
        expected={entry.key.row: entry.old for entry in entries},
    )


def _check_folder(root: Path, group: GroupKey) -> None:
    """Let nothing be written outside of the project: the pending file may be one that somebody else has written.

    Raises:
        BaselineError: The group's folder is not in the project.
    """
    name = f"{group.table}/{group.model}"
    folder = Path(os.path.normpath(root / group.folder))
    above = folder / FOLDER
    try:
        leads_out = not Path(os.path.realpath(above)).is_relative_to(os.path.realpath(root)) and not above.is_dir()
        is_there = folder.is_dir()
    except OSError as error:
        raise BaselineError(f"{name}: folder {_shown(group.folder)} cannot be read: {error.strerror}.") from error
    if leads_out or not folder.is_relative_to(root):
        raise BaselineError(
            f"{name}: folder {_shown(group.folder)} is not below {root}. Accept with pytest --llm-update."
        )
    if not is_there:
        raise BaselineError(
            f"{name}: there is no folder {_shown(group.folder)} in {root}. Name pytest's root folder: --root=FOLDER"
        )


def _shown(folder: str) -> str:
    return repr(folder if len(folder) <= LONGEST_SHOWN else f"{folder[:LONGEST_SHOWN]}...")


def _moved(entry: Entry) -> str:
    return (
        f"{entry.key}: its baseline is no longer the one that this output was compared with, so it stays as it is. "
        "Run pytest again and look at what is pending then."
    )


def _is_newer(waiting: Entry | None, shown: Entry) -> bool:
    """Whether another output of the case waits by now than the one that was shown."""
    return waiting is not None and line_of(waiting) != line_of(shown)


def _newer(entry: Entry) -> str:
    return f"{entry.key}: another output of it waits by now than the one that was rejected, so it still does."
