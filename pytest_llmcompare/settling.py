"""What is decided about pending outputs, carried out: baselines written, entries removed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .baselines import files
from .baselines.pending import Entry, PendingFile
from .errors import BaselineError
from .judgements import Verdict
from .records import CaseKey, GroupKey


@dataclass(frozen=True)
class Outcome:
    """What became of the entries that were accepted.

    Attributes:
        accepted: The cases whose output is now their baseline.
        reports: What was written, file by file.
        faults: Why the others were not accepted.
    """

    accepted: tuple[CaseKey, ...] = ()
    reports: tuple[files.UpdateReport, ...] = ()
    faults: tuple[str, ...] = ()


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
    reports, faults = [], []
    for group, own in by_group.items():
        try:
            report = _write(root, group, own)
        except BaselineError as error:
            faults.append(str(error))
            continue
        reports.append(report)
        faults += [_moved(entry) for entry in own if entry.key.row in report.moved]
        accepted += [entry.key for entry in own if entry.key.row not in report.moved]
    try:
        forget(root, accepted)
    except BaselineError as error:
        faults.append(f"The baselines are written, but {error}")
    return Outcome(tuple(accepted), tuple(reports), tuple(faults))


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


def _write(root: Path, group: GroupKey, entries: Sequence[Entry]) -> files.UpdateReport:
    folder = Path(os.path.normpath(root / group.folder))
    if not folder.is_relative_to(root):  # the file may be one that somebody else has written
        raise BaselineError(
            f"{group.table}/{group.model}: folder {group.folder!r} is not below {root}. "
            "Accept with pytest --llm-update."
        )
    if not folder.is_dir():
        raise BaselineError(
            f"{group.table}/{group.model}: there is no folder {group.folder!r} in {root}. "
            "Name pytest's root folder: --root=FOLDER"
        )
    return files.update(
        root,
        group,
        [entry.new for entry in entries],
        shifted={entry.key.row for entry in entries if entry.judgement.verdict is Verdict.SHIFTED},
        expected={entry.key.row: entry.old for entry in entries},
    )


def _moved(entry: Entry) -> str:
    return (
        f"{entry.key}: its baseline is no longer the one that this output was compared with, so it stays as it is. "
        "Run pytest again and look at what is pending then."
    )
