"""State of one pytest run: settings, session, and (on the controller) what the tests reported."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_llmcompare.baselines.sources.protocol import BaselineReader, BaselineWriter
from pytest_llmcompare.errors import UsageError
from pytest_llmcompare.records import Attempt, CaseKey, CaseResult, GroupKey, GroupResult, RowKey
from pytest_llmcompare.reports.github import Location
from pytest_llmcompare.reports.messages import FailureBudget
from pytest_llmcompare.reports.progress import Silent, TerminalProgress
from pytest_llmcompare.serialization import (
    attempt_from_json,
    case_result_from_json,
    declared_from_json,
    declared_to_json,
    group_result_from_json,
    group_result_to_json,
)
from pytest_llmcompare.settings import Settings
from pytest_llmcompare.suite.extensions import Progress

from . import xdist as workers
from .command_line import Invocation
from .display import Display
from .finish import Conclusion
from .hook_calls import Hooks
from .parametrize import Collection, asked, left_out, model_major
from .pending_tracker import Waiting
from .reporting import Reporting
from .session import Once, Session
from .stash import DECLARED, GROUPS, SELECTED, WHOLE

MOST_IN_FULL = 20
"""Failures that a run shows in full, its workers together."""


class Run:
    """One pytest run in one process.

    Attributes:
        settings: Settings of the run.
        hooks: Our own hooks, of all plugins.
        source: Where baselines come from.
        writer: The same, where it can be written to.
        session: Drives the models.
        collection: Expands the markers.
        reporting: Adds to the reports of this process's tests.
        attempts: How the tests of ours went, by test; of a test that ran again, the last.
        results: What the tests found, by test and case; of a test that ran again, the last.
        locations: Where the tests stand, by node id.
        groups: What the groups gave, less their outputs.
        declared: The rows that the tables have, by process.
        whole: Whether all test files could be collected.
        selected: Whether any test of ours was selected to run.
        invocation: How pytest was started.
        conclusion: What became of the baselines, once the run has ended.
        display: Shows how the run ended, on the controller.
        waiting: What differs and is not accepted.
    """

    def __init__(self, config: pytest.Config, settings: Settings, source: BaselineReader) -> None:
        self.config = config
        self.settings = settings
        xdist = getattr(config, "workerinput", None)
        self.is_worker = xdist is not None
        once: Once = workers.compute_once if self.is_worker else workers.compute
        self.hooks = Hooks(lambda: config.hook, config.hook, config.rootpath)
        self.source = source
        self.session = Session(settings, config.rootpath, self.progress(), once, self.hooks, source=source)
        self.collection = Collection(self.session)
        self.reporting = Reporting(FailureBudget(max(1, MOST_IN_FULL // (xdist["workercount"] if xdist else 1))))
        self.attempts: dict[str, Attempt] = {}
        self.results: dict[tuple[str, CaseKey], CaseResult] = {}
        self.locations: dict[str, Location] = {}
        self.groups: dict[GroupKey, GroupResult] = {}
        self.declared: list[Mapping[GroupKey, tuple[RowKey, ...]]] = []
        self.whole = True
        self.selected = False
        self.invocation = Invocation(config, settings)
        self.conclusion: Conclusion | None = None
        self.display: Display | None = None
        self.writer = source if isinstance(source, BaselineWriter) else None
        self.waiting = Waiting(config.rootpath, settings, against="" if self.writer else source.title)

    def progress(self) -> Progress:
        """Where a group's progress is shown: nowhere on a worker, which has no terminal."""
        if self.is_worker or self.config.get_verbosity() < 0:
            return Silent()
        capture = self.config.pluginmanager.getplugin("capturemanager")
        uncaptured = capture.global_and_fixture_disabled if capture is not None else contextlib.nullcontext
        return TerminalProgress(sys.__stderr__ or sys.stderr, uncaptured)

    def arrange(self, items: list[pytest.Item]) -> None:
        """Put the tests of one model next to each other; one that the others are compared with is not compared."""
        reference = self.session.reference
        if reference and (own := left_out(items, reference)):
            self.config.hook.pytest_deselected(items=own)
        model_major(items, self.session.groups, reference)

    def select(self, session: pytest.Session) -> None:
        """Note what the selected tests need."""
        wanted = [found for item in session.items for found in asked(item)]
        self.session.select(wanted)
        self.selected = bool(wanted)
        self.whole = session.testsfailed == 0  # so far, only collecting can have failed

    def use_folder(self, base: Path) -> None:
        """Settle where scratch files go, from the temporary folder of this process."""
        self.session.scratch = (base.parent if self.is_worker else base) / "llmcompare"

    def note_attempt(self, text: str, location: Location) -> None:
        """Take in how a test went, and where it stands."""
        attempt = attempt_from_json(text)
        self.attempts[attempt.nodeid] = attempt
        self.locations[attempt.nodeid] = location

    def record(self, text: str, location: Location, *, at_end: bool) -> None:
        """Take in what a test found, sample by sample, and where it stands.

        Args:
            text: The results.
            location: Where the test stands.
            at_end: Whether the test failed at its end, after it had reported once.
        """
        samples = [case_result_from_json(line) for line in text.splitlines()]
        for result in samples:
            self.results[result.nodeid, result.key] = result
            self.locations[result.nodeid] = location
        self.waiting.take(samples, failed_at_end=at_end)

    def take_over(self, output: Mapping[str, Any]) -> None:
        """Take in what a worker handed over."""
        self.declared.append(declared_from_json(output[DECLARED]))
        self.whole = self.whole and bool(output[WHOLE])
        self.selected = self.selected or bool(output[SELECTED])
        for text in output[GROUPS]:
            result = group_result_from_json(text)
            self.groups.setdefault(result.key, result)

    def end(self, session: pytest.Session) -> None:
        """Hand over to the controller, or conclude. What went wrong in that makes the run fail."""
        groups = {key: without_outputs(result) for key, result in self.session.results.items()}
        finished = session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        if self.is_worker:
            session.config.workeroutput.update(  # type: ignore[attr-defined]  # xdist's
                {
                    DECLARED: declared_to_json(self.session.declared()),
                    GROUPS: [group_result_to_json(result) for result in groups.values()],
                    WHOLE: self.whole,
                    SELECTED: self.selected,
                }
            )
            return
        self.groups.update(groups)
        if finished:
            self.session.complete(self.groups.values())
        self.declared.append(self.session.declared())
        self.conclusion = Conclusion(self.settings, self.results.values(), self.groups, self.writer)
        with contextlib.suppress(UsageError):  # specs that cannot be read have ended collection already
            self.conclusion.models = tuple(spec.name for spec in self.session.specs())
        if self.writer is None:
            self.conclusion.notes.append(self.measure())
        stopped = session.shouldfail or session.shouldstop
        empty = session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED
        whole = (finished or empty) and self.whole and not stopped
        self.conclusion.reach(self.declared, whole=whole)
        tables = any(self.declared)
        self.conclusion.judge_tests(self.attempts, self.place, tables=tables, selected=self.selected, whole=whole)
        self.waiting.end(self.conclusion.kept)
        self.conclusion.notes.extend(self.waiting.notes)
        self.tell()
        self.display = Display(self.invocation, self.conclusion, self.groups.values(), self.declared)
        tests_passed = session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
        self.display.write_reports(tests_passed=tests_passed, finished=whole)
        self.display.mark_failure()
        if self.conclusion.failed and tests_passed:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def place(self, nodeid: str) -> str:
        """Where a test stands, as editors open it: `test_geo.py:4`."""
        file, line, _ = self.locations[nodeid]
        return f"{file}:{(line or 0) + 1}"

    def measure(self) -> str:
        """What the outputs were compared with, where that is not files."""
        model = self.session.reference
        own = f"; {model!r} itself is compared with nothing, so its tests that compare are left out" if model else ""
        return f"baselines: {self.source.title}{own}"

    def tell(self) -> None:
        """Tell plugins what the run found; a notification that failed makes the run fail."""
        assert self.conclusion is not None
        faults = [self.groups[key].notification_fault for key in sorted(self.groups)]
        for fault in (*faults, self.hooks.run_finished(self.conclusion.summary(self.declared))):
            if fault:
                self.conclusion.fail(fault)

    def show(self, reporter: pytest.TerminalReporter) -> None:
        """Write the summary."""
        if self.display is not None:
            self.display.show(reporter, waits=self.waiting.holds)
            self.display.annotate(reporter, self.locations)


def without_outputs(result: GroupResult) -> GroupResult:
    """A group's result without what its tests report one by one."""
    return dataclasses.replace(
        result, generations={}, judgements={}, baseline_texts={}, baseline_tokens={}, failures={}
    )
