"""The controller's part of a run: takes the tests' reports, keeps what is pending, finishes the run, shows the result.

It is registered in every pytest run, so it imports little.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmcompare.errors import UsageError
from pytest_llmcompare.settings import FILES

from .failures import Failures
from .interruption import kept_line, watch_sigterm
from .stash import (
    ALL_COLLECTED,
    ATTEMPT,
    DECLARED,
    GROUPS,
    PINNED,
    REPORT,
    SELECTED,
    SESSION,
    SETTINGS,
    session_of,
    source_of,
)

if TYPE_CHECKING:
    from pytest_llmcompare.comparison.attempts import Attempt
    from pytest_llmcompare.comparison.summary import Summary
    from pytest_llmcompare.records import CaseKey, CaseResult, GroupKey, GroupResult, RowKey
    from pytest_llmcompare.reports.github import Location
    from pytest_llmcompare.reports.report import Report

    from .pending_tracker import PendingTracker
    from .session import Session

CONTROLLER = "llmcompare-controller"
"""Name under which the controller is registered as a plugin."""

LISTINGS = ("collectonly", "showfixtures", "show_fixtures_per_test", "cacheshow")
"""Options, as pytest stores them, under which it lists something and runs no test."""


class Controller:
    """A pytest plugin that exists once per run: in the only process, or in xdist's main process.

    Attributes:
        attempts: How the marked tests went, by node id; of a test that ran again, the last attempt.
        results: What the tests observed, by node id and case; of a test that ran again, the last results.
        locations: Where the tests are defined, by node id.
        groups: Results of the groups, without their outputs.
        declared: The rows of the tables, one mapping per process.
        all_collected: Whether all test files could be collected.
        any_selected: Whether any marked test was selected to run.
        report: The finished run as the reports show it; None before its end.
        failures, hidden: The failed comparisons, and how many of them pytest's list of failures leaves out.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.settings = config.stash[SETTINGS]
        self.started = time.time() - 1  # file systems have coarser clocks
        self.attempts: dict[str, Attempt] = {}
        self.results: dict[tuple[str, CaseKey], CaseResult] = {}
        self.locations: dict[str, Location] = {}
        self.groups: dict[GroupKey, GroupResult] = {}
        self.declared: list[Mapping[GroupKey, tuple[RowKey, ...]]] = []
        self.all_collected = True
        self.any_selected = False
        self.report: Report | None = None
        self.failures = Failures(config)
        self.hidden = 0

    @cached_property
    def pending(self) -> PendingTracker:
        """The outputs that differ from their baselines and are not accepted yet."""
        from pytest_llmcompare.baselines.sources.protocol import BaselineWriter

        from .pending_tracker import PendingTracker

        source = source_of(self.config)
        return PendingTracker(
            self.config.rootpath, self.settings, against="" if isinstance(source, BaselineWriter) else source.title
        )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what a report carries: how the test went, and the results of its case."""
        if attempt := getattr(report, ATTEMPT, None):
            self.take_attempt(attempt, report.location)
        if results := getattr(report, REPORT, ()):
            samples = self.take_results(results, report)
            self.failures.take(report, samples, session_of(self.config).command_line.accepting)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Let a worker compare with the very baselines that this process has opened."""
        if self.settings.models:
            watch_sigterm(self.config)
        pinned = ""
        if self.settings.baseline != FILES:
            with contextlib.suppress(UsageError):  # a worker that needs them reports it
                pinned = source_of(self.config).pinned
        node.workerinput[PINNED] = pinned

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take what a worker sends at its end; one that crashed sends nothing."""
        output = getattr(node, "workeroutput", {})
        if GROUPS in output:
            self.take_worker_output(output)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> Generator[None, object, object]:
        """Finish the run, and say last of all why it failed and what an interrupted run has kept.

        A run that only lists tests changes nothing, under any options.
        """
        if self._has_something_to_finish() and not only_lists(self.config):
            from pytest_llmcompare.models.warning_filters import library_warnings_ignored

            with library_warnings_ignored():
                self.finish(session)
        try:
            result = yield
        finally:
            self.show_faults()
        if exitstatus in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR):
            self.show_kept()
        return result

    def take_attempt(self, attempt: Attempt | str, location: Location) -> None:
        """Record how a test went, and where it is defined. A worker sends its records as JSON."""
        if isinstance(attempt, str):
            from pytest_llmcompare.comparison.attempts import Attempt
            from pytest_llmcompare.serialization import from_json

            attempt = from_json(Attempt, attempt)
        self.attempts[attempt.nodeid] = attempt
        self.locations[attempt.nodeid] = location

    def take_results(self, samples: tuple[CaseResult, ...] | str, report: pytest.TestReport) -> tuple[CaseResult, ...]:
        """Record and return the results of a test, and record where it is defined.

        Args:
            samples: A result per sample of the case; from a worker, a line of JSON for each.
            report: The report that carries them, of the test itself or of its teardown.
        """
        if isinstance(samples, str):
            from pytest_llmcompare.records import CaseResult
            from pytest_llmcompare.serialization import from_json

            samples = tuple(from_json(CaseResult, line) for line in samples.splitlines())
        for result in samples:
            self.results[result.nodeid, result.key] = result
            self.locations[result.nodeid] = report.location
        self.pending.take(samples, failed_at_end=report.when == "teardown" and report.failed)
        return samples

    def take_worker_output(self, output: Mapping[str, Any]) -> None:
        """Record what a worker has sent."""
        from pytest_llmcompare.serialization import declared_from_json, group_result_from_json

        self.declared.append(declared_from_json(output[DECLARED]))
        self.all_collected = self.all_collected and bool(output[ALL_COLLECTED])
        self.any_selected = self.any_selected or bool(output[SELECTED])
        for text in output[GROUPS]:
            result = group_result_from_json(text)
            self.groups.setdefault(result.key, result)

    def finish(self, session: pytest.Session) -> None:
        """Write and delete baselines as the options say, summarize the run, tell plugins and write the reports."""
        from pytest_llmcompare.reports.report import Report

        from .display import mark_failure, write_report_files
        from .hook_calls import Hooks

        ended_by_itself = session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        tests_passed = session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
        self._take_own(ended_by_itself=ended_by_itself)
        stopped = session.shouldfail or session.shouldstop
        empty = session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED
        whole = bool((ended_by_itself or empty) and self.all_collected and not stopped)
        summary = self._summary(whole=whole)
        if fault := Hooks.of_run(self.config).run_finished(summary):
            summary = summary.with_fault(fault)
        command = session_of(self.config).command_line
        report = Report(
            summary,
            tuple(self.groups.values()),
            passed=tests_passed and not summary.faults,
            finished=whole,
            command=command.repeated(),
            accepting=command.accepting,
        )
        self.report = write_report_files(report, self.settings.reports, self.config)
        mark_failure(self.report.summary, self.config)
        self.hidden = self.failures.hide_most()
        if self.report.summary.faults and tests_passed:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def place(self, nodeid: str) -> str:
        """Where a test is defined, as editors open it: `test_geo.py:4`."""
        file, line, _ = self.locations[nodeid]
        return f"{file}:{(line or 0) + 1}"

    def show(self, reporter: pytest.TerminalReporter) -> None:
        """Write the summary to the terminal, and annotations for GitHub."""
        if self.report is not None:
            from .display import annotate, show

            show(self.report, reporter, self.config, waits=self.pending.holds, hidden=self.hidden)
            annotate(self.report, reporter, self.config, self.locations)

    def show_faults(self) -> None:
        """Say why the run failed: last of all, after pytest's own last line, and however quiet the run is."""
        if self.report is not None:
            from .display import show_faults

            show_faults(self.report.summary.faults, self.config)

    def show_kept(self) -> None:
        """Print what an interrupted run has kept, at every verbosity."""
        reporter = self.config.pluginmanager.getplugin("terminalreporter")
        line = kept_line(self.config.rootpath, self.started, selected=self.any_selected) if reporter else ""
        if line:
            reporter.write_line(line, yellow=True)

    def _has_something_to_finish(self) -> bool:
        """True if any process has used the plugin, or an option asks for a result in any case."""
        used = SESSION in self.config.stash or self.attempts or self.declared
        return bool(used or self.settings.models_are_asked_for or self.settings.reports)

    def _take_own(self, *, ended_by_itself: bool) -> None:
        """Record the groups of this process: without xdist these are all groups."""
        session = session_of(self.config)
        self.groups.update(session.results_without_outputs())
        self.declared.append(session.declared())
        self.all_collected = self.all_collected and session.all_collected
        self.any_selected = self.any_selected or session.any_selected
        if ended_by_itself:
            from pytest_llmcompare.baselines.journal import Journal

            for result in self.groups.values():
                if not result.error:  # the others resume next time
                    Journal(session.root, result.key).discard()

    def _summary(self, *, whole: bool) -> Summary:
        """Finish the run on what was reported; the only place where a summary is computed."""
        from pytest_llmcompare.baselines.sources.protocol import BaselineWriter
        from pytest_llmcompare.comparison.acceptance import merged

        from .finish import Notes, RunRecords, finish, source_note

        session, source = session_of(self.config), source_of(self.config)
        writer = source if isinstance(source, BaselineWriter) else None
        records = RunRecords(
            tuple(self.results.values()),
            self.attempts,
            self.groups,
            merged(self.declared),
            models=session.model_names(),
            selected=self.any_selected,
            whole=whole,
            place=self.place,
        )
        notes = Notes() if writer else Notes([source_note(source.title, session.reference)])
        return finish(records, self.settings, writer, self.pending, notes)


def only_lists(config: pytest.Config) -> bool:
    """True if pytest lists something and runs no test."""
    return any(getattr(config.option, name, None) for name in LISTINGS)


def worker_output(session: Session) -> dict[str, Any]:
    """What a worker sends to the controller at its end."""
    from pytest_llmcompare.serialization import declared_to_json, group_result_to_json

    return {
        DECLARED: declared_to_json(session.declared()),
        GROUPS: [group_result_to_json(result) for result in session.results_without_outputs().values()],
        ALL_COLLECTED: session.all_collected,
        SELECTED: session.any_selected,
    }
