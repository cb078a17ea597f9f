"""What a run leaves open, on the controller: kept in the pending file as soon as it is found."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pytest_llmcompare.baselines import store
from pytest_llmcompare.baselines.group_file import Contents
from pytest_llmcompare.baselines.pending import Entry, PendingFile
from pytest_llmcompare.baselines.sources.git import git_commit
from pytest_llmcompare.comparison.acceptance import baseline_of, failed_otherwise, is_match, is_open, is_shifted
from pytest_llmcompare.errors import BaselineError
from pytest_llmcompare.records import CaseKey, CaseResult, GroupKey
from pytest_llmcompare.settings import Settings, Update

MOVED = "moved"
"""In the place of a fingerprint: the baseline was changed while the run compared with it."""


class Finding(NamedTuple):
    """What one test found of a case, and whether it failed for another reason than the comparison."""

    result: CaseResult
    failed_otherwise: bool


class UnreadableError(Exception):
    """The files of a group cannot be read, so nobody knows what accepting would replace."""


class PendingTracker:
    """Keeps the pending file as the tests report.

    Whatever happens to that file, the run goes on: it is an aid.

    Args:
        root: pytest's root folder.
        settings: Settings of the run.
        against: What outputs are compared with, where that is not the files that they are accepted into.

    Attributes:
        notes: Why it could not be kept, where it could not.
    """

    def __init__(self, root: Path, settings: Settings, against: str = "") -> None:
        self.root = root
        self.against = against
        self.settings = settings
        self.file = PendingFile(root)
        self.run = secrets.token_hex(8)
        self.notes: list[str] = []
        self._commit: str | None = None
        self._known: dict[CaseKey, Entry] | None = None
        self._found: dict[CaseKey, dict[str, Finding]] = {}
        self._stored: dict[GroupKey, Contents] = {}
        self._recorded: set[CaseKey] = set()
        self._touched = False
        self._works = True

    @property
    def holds(self) -> bool:
        """Whether anything waits."""
        return bool(self._known)

    def take(self, samples: Sequence[CaseResult], *, failed_at_end: bool = False) -> None:
        """Take in what one test found, sample by sample.

        Args:
            samples: What it found.
            failed_at_end: Whether it failed after its comparison, when what it had set up was torn down.
        """
        otherwise = failed_at_end or failed_otherwise(samples, self.settings)
        for result in samples:
            self._found.setdefault(result.key, {})[result.nodeid] = Finding(result, otherwise)
            self._attempt(partial(self._settle, result.key))

    def end(self, kept: Collection[CaseKey]) -> None:
        """The run is over: what it accepted waits no more, what it could not write does.

        Args:
            kept: Cases whose output is now their baseline.
        """
        self._attempt(partial(self._remove, *kept))
        if self.settings.update is not Update.NOTHING:
            for key in sorted(self._found.keys() - kept):
                self._attempt(partial(self._settle, key, at_end=True))
        if self._touched:
            self._attempt(self.file.compact)
        if self._recorded:
            self.notes.append(
                f"{len(self._recorded):,} of the outputs that differ from {self.against} are in the baseline files "
                "already, so they do not wait for review."
            )

    def _settle(self, key: CaseKey, *, at_end: bool = False) -> None:
        """Keep or remove the entry of a case, after what its tests have found so far."""
        findings = self._found[key].values()
        if any(finding.failed_otherwise for finding in findings):
            if any(finding.result.generation is not None for finding in findings):
                self._remove(key)  # an output that fails another check of the user's is not worth keeping
            return
        differing = next((finding.result for finding in findings if is_open(finding.result)), None)
        if differing is None:
            match = next((finding.result for finding in findings if is_match(finding.result)), None)
            if match is not None and (not self.against or self._is_recorded(match)):
                self._remove(key)
        elif self.against and self._is_recorded(differing):
            self._recorded.add(key)
            self._remove(key)  # nothing is left to accept
        elif at_end or not (differing.judgement and self.settings.update.accepts(differing.judgement.verdict)):
            self._append(self._entry(differing))

    def _append(self, entry: Entry) -> None:
        known = self._entries()
        if known.get(entry.key) != entry:  # another test of the case has found the same
            self.file.append(entry)
            self._touched = True
            known[entry.key] = entry

    def _remove(self, *keys: CaseKey) -> None:
        known = self._entries()
        gone = [key for key in keys if known.pop(key, None) is not None]
        if gone:
            self.file.remove(gone)
            self._touched = True

    def _entries(self) -> dict[CaseKey, Entry]:
        """What waits, as far as this run knows."""
        if self._known is None:
            pending = self.file.read()
            self._known = dict(pending.entries)
            self.notes.extend(pending.notes)
            self._touched = bool(pending.notes)  # so that what is broken is told of once
        return self._known

    def _entry(self, result: CaseResult) -> Entry:
        assert result.judgement is not None  # only what was compared waits
        if self._commit is None:
            self._commit = git_commit(self.root)
        return Entry(
            key=result.key,
            test=result.nodeid,
            run=self.run,
            commit=self._commit,
            old=self._fingerprint(result),
            new=baseline_of(result),
            judgement=result.judgement,
            baseline=result.baseline_text,
            prompt=result.input,
            against=self.against,
        )

    def _fingerprint(self, result: CaseResult) -> str:
        """Fingerprint of the baseline in the files that accepting a result replaces."""
        stored, row = self._files(result.key.group), result.key.row
        old = stored.baselines.get(row)
        same = (old.generation.text if old else None) == result.baseline_text
        return stored.fingerprint(row) if self.against or same else MOVED

    def _is_recorded(self, result: CaseResult) -> bool:
        """Whether the files say already what a result would make them say."""
        return self._files(result.key.group).says(baseline_of(result), shifted=is_shifted(result))

    def _files(self, group: GroupKey) -> Contents:
        """A group's files as they were when its first result came in.

        Raises:
            UnreadableError: They cannot be read.
        """
        if group not in self._stored:
            try:
                self._stored[group] = store.snapshot(self.root, group)
            except BaselineError as error:
                raise UnreadableError(f"{error}\nWhat differs there does not wait for review.") from error
        return self._stored[group]

    def _attempt(self, act: Callable[[], None]) -> None:
        """Do something to the pending file; after a first failure, nothing."""
        if not self._works:
            return
        try:
            act()
        except UnreadableError as error:  # that of one group is no reason to keep nothing of the others
            self.notes.append(str(error))
        except (BaselineError, OSError) as error:
            self._works = False
            self.notes.append(
                f"{self._why(error)}\nThe run goes on without; llmcompare review shows only what was kept."
            )

    def _why(self, error: BaselineError | OSError) -> str:
        """What is wrong with the pending file."""
        if isinstance(error, BaselineError):
            return str(error)
        return f"{self.file.source}: what differs cannot be kept for review: {error.strerror or error}."
