"""What a run shows once it has ended: the summary, reports in files, cases in JUnit, annotations, why it failed."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import pytest

from pytest_llmcompare.compat import add_junit_case, columns_of, paint_red
from pytest_llmcompare.records import GroupResult
from pytest_llmcompare.reports.document import Report
from pytest_llmcompare.reports.github import Location, Places, annotation_lines, on_github
from pytest_llmcompare.reports.junit import checks
from pytest_llmcompare.reports.terminal import fault_lines, summary_lines
from pytest_llmcompare.text import encodable

from .command_line import Invocation

if TYPE_CHECKING:
    from pytest_llmcompare.reports.document import ReportData

    from .finish import Conclusion, Declared

ANNOTATES_ALL = "pytest_github_actions_annotate_failures"
"""Name of the plugin that annotates every failed test."""


class Display:
    """Shows how a run ended.

    Args:
        invocation: How pytest was started.
        conclusion: What became of the baselines, and why the run failed.
        groups: What the groups gave.
        declared: The rows that the tables have, by process.
    """

    def __init__(
        self,
        invocation: Invocation,
        conclusion: Conclusion,
        groups: Collection[GroupResult],
        declared: Collection[Declared],
    ) -> None:
        self.invocation = invocation
        self.config = invocation.config
        self.settings = invocation.settings
        self.conclusion = conclusion
        self.groups = tuple(groups)
        self.declared = declared

    def write_reports(self, *, tests_passed: bool, finished: bool) -> None:
        """Write what was asked for; one that cannot be written fails the run.

        Args:
            tests_passed: Whether no test failed.
            finished: Whether the run came to its end.
        """
        if not self.settings.reports:
            return
        from pytest_llmcompare.reports.document import report_data
        from pytest_llmcompare.reports.write import write_reports

        def draw() -> ReportData:
            return report_data(self.report(passed=tests_passed and not self.conclusion.failed, finished=finished))

        folder = self.config.invocation_params.dir
        written = write_reports(draw, self.settings.reports, folder, self.conclusion.fail)
        self.conclusion.notes.extend(f"report: {path}" for path in written)

    def report(self, *, passed: bool, finished: bool) -> Report:
        """What reports are drawn from."""
        return Report(
            self.conclusion.summary(self.declared),
            self.groups,
            passed=passed,
            finished=finished,
            command=self.invocation.repeated(),
            accepting=self.invocation.accepting,
        )

    def mark_failure(self) -> None:
        """Let JUnit have a case per gate, and pytest's last line be red if the run failed."""
        for check in checks(self.conclusion.summary(self.declared)):
            add_junit_case(self.config, *check)
        if self.conclusion.failed:
            paint_red(self.config.pluginmanager.getplugin("terminalreporter"))

    def annotate(self, reporter: pytest.TerminalReporter, locations: Mapping[str, Location]) -> None:
        """Let GitHub show failures beside the tests; a plugin that does so for all tests is left to it."""
        if not on_github() or self.config.pluginmanager.hasplugin(ANNOTATES_ALL):
            return
        places = Places(self.config.rootpath, locations)
        report = self.report(passed=not self.conclusion.failed, finished=True)
        for line in annotation_lines(report, self.conclusion.faults, places.place):
            reporter.write_line(encodable(line, output_encoding()))

    def show(self, reporter: pytest.TerminalReporter, *, waits: bool) -> None:
        """Write the summary.

        Args:
            reporter: pytest's own.
            waits: Whether outputs wait for review.
        """
        lines = summary_lines(
            self.conclusion.summary(self.declared),
            width=columns_of(reporter),
            verbose=self.config.get_verbosity(),
            command=self.invocation.repeated(),
            waits=waits,
            encoding=output_encoding(),
        )
        if lines:
            reporter.section("model comparison")
        for text, markup in lines:
            reporter.write_line(text, **markup)

    def show_faults(self) -> None:
        """Say why the run failed: last of all, after pytest's own last line, and however quiet the run is."""
        reporter = self.config.pluginmanager.getplugin("terminalreporter")
        if reporter is None:
            return
        columns = columns_of(reporter) if reporter.isatty else None
        for text, markup in fault_lines(self.conclusion.faults, columns=columns, encoding=output_encoding()):
            reporter.write_line(text, **markup)


def output_encoding() -> str:
    """Encoding of what pytest writes."""
    return getattr(sys.stdout, "encoding", None) or "utf-8"
