"""The outputs of a run that differ from their baselines and are not accepted, kept in the pending file."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pytest_llmcompare.baselines import store
from pytest_llmcompare.baselines.group_file import Contents
from pytest_llmcompare.baselines.pending import Entry, PendingFile
from pytest_llmcompare.baselines.sources.git import git_commit
from pytest_llmcompare.comparison.acceptance import (
    baseline_of,
    failed_otherwise,
    is_accepted,
    is_match,
    is_open,
    is_shifted,
    open_verdict,
)
from pytest_llmcompare.errors import BaselineError
from pytest_llmcompare.records import CaseKey, CaseResult, GroupKey
from pytest_llmcompare.settings import Settings, Update

MOVED = "moved"
"""Stands for the fingerprint of a baseline that was changed while the run compared with it."""


class ReportedResult(NamedTuple):
    """The result of one test, and whether that failed for another reason than the comparison."""

    result: CaseResult
    failed_otherwise: bool


class UnreadableError(Exception):
    """The baseline files of a group cannot be read, so it is not known what accepting would replace."""


class PendingTracker:
    """Updates the pending file with each test that reports, so that a killed run loses nothing.

    The file is an aid: if it cannot be written, the run goes on and a note says why.

    Args:
        root: pytest's root folder.
        settings: Settings of the run.
        against: Source of the baselines; empty for files, which are what outputs are accepted into.

    Attributes:
        notes: Notes on the pending file for the user.
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
        self._findings: dict[CaseKey, dict[str, ReportedResult]] = {}
        self._stored: dict[GroupKey, Contents] = {}
        self._recorded: set[CaseKey] = set()
        self._touched = False
        self._works = True

    @property
    def holds(self) -> bool:
        """True if any output waits for review."""
        return bool(self._known)

    def take(self, samples: Sequence[CaseResult], *, failed_at_end: bool = False) -> None:
        """Record the results of one test.

        Args:
            samples: A result per sample of its case.
            failed_at_end: Whether the test failed in its teardown, after its comparison.
        """
        otherwise = failed_at_end or failed_otherwise(samples, self.settings)
        for result in samples:
            self._findings.setdefault(result.key, {})[result.nodeid] = ReportedResult(result, otherwise)
            self._attempt(partial(self._settle, result.key))

    def end(self, written: Collection[CaseKey]) -> None:
        """Finish with the run: remove what was written, and keep what should have been written and was not.

        Args:
            written: Cases whose output is their baseline now.
        """
        self._attempt(partial(self._remove, *written))
        if self.settings.update is not Update.NOTHING:
            for key in sorted(self._findings.keys() - written):
                self._attempt(partial(self._settle, key, at_end=True))
        if self._touched:
            self._attempt(self.file.compact)
        if self._recorded:
            self.notes.append(
                f"{len(self._recorded):,} of the outputs that differ from {self.against} are in the baseline files "
                "already, so they do not wait for review."
            )

    def _settle(self, key: CaseKey, *, at_end: bool = False) -> None:
        """Add, keep or remove the entry of a case, given the results of its tests so far."""
        findings = self._findings[key].values()
        if any(finding.failed_otherwise for finding in findings):
            if any(finding.result.generation is not None for finding in findings):
                self._remove(key)  # an output that fails another check of the user is not worth keeping
            return
        differing = next((finding.result for finding in findings if is_open(finding.result)), None)
        if differing is None:
            match = next((finding.result for finding in findings if is_match(finding.result)), None)
            if match is not None and (not self.against or self._is_recorded(match)):
                self._remove(key)
        elif self.against and self._is_recorded(differing):
            self._recorded.add(key)
            self._remove(key)  # nothing is left to accept
        elif at_end or not is_accepted(differing, self.settings.update):
            self._append(self._entry(differing))

    def _append(self, entry: Entry) -> None:
        known = self._entries()
        if known.get(entry.key) != entry:  # else another test of the case has added it
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
        """The entries of the pending file, with what this run has added and removed."""
        if self._known is None:
            pending = self.file.read()
            self._known = dict(pending.entries)
            self.notes.extend(pending.notes)
            self._touched = bool(pending.notes)  # broken lines are reported once, then removed
        return self._known

    def _entry(self, result: CaseResult) -> Entry:
        verdict = open_verdict(result)
        assert result.judgement is not None  # only compared outputs wait
        assert verdict is not None
        if self._commit is None:
            self._commit = git_commit(self.root)
        return Entry(
            key=result.key,
            test=result.nodeid,
            run=self.run,
            commit=self._commit,
            old=self._fingerprint(result),
            new=baseline_of(result),
            judgement=replace(result.judgement, verdict=verdict),
            baseline=result.baseline_text,
            prompt=result.input,
            against=self.against,
            target=result.target,
            assertions=result.assertions,
        )

    def _fingerprint(self, result: CaseResult) -> str:
        """Fingerprint of the baseline in the files that is replaced if a result is accepted."""
        stored, row = self._files(result.key.group), result.key.row
        old = stored.baselines.get(row)
        same = (old.generation.text if old else None) == result.baseline_text
        return stored.fingerprint(row) if self.against or same else MOVED

    def _is_recorded(self, result: CaseResult) -> bool:
        """True if the baseline files hold a result's output already."""
        return self._files(result.key.group).says(baseline_of(result), shifted=is_shifted(result))

    def _files(self, group: GroupKey) -> Contents:
        """The baseline files of a group as they were when its first result came in.

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
        """Change the pending file; after a first failure, leave it alone."""
        if not self._works:
            return
        try:
            act()
        except UnreadableError as error:  # concerns one group; the others go on
            self.notes.append(str(error))
        except (BaselineError, OSError) as error:
            self._works = False
            self.notes.append(
                f"{self._why(error)}\nThe run goes on without it; llmcompare review shows only what was kept."
            )

    def _why(self, error: BaselineError | OSError) -> str:
        """Why the pending file cannot be used."""
        if isinstance(error, BaselineError):
            return str(error)
        return f"{self.file.source}: what differs cannot be kept for review: {error.strerror or error}."
