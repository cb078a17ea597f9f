"""What a finished run shows: the summary, report files, cases in JUnit, annotations, and why the run failed."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmcompare.comparison.summary import Summary
from pytest_llmcompare.compat import add_junit_case, paint_red, terminal_width
from pytest_llmcompare.reports.github import Location, Places, annotation_lines, on_github
from pytest_llmcompare.reports.junit import checks
from pytest_llmcompare.reports.report import Report
from pytest_llmcompare.reports.terminal import fault_lines, summary_lines
from pytest_llmcompare.text import encodable

from .stash import source_of

if TYPE_CHECKING:
    from pytest_llmcompare.reports.report_data import ReportData
    from pytest_llmcompare.reports.style import Styled

ANNOTATES_ALL = "pytest_github_actions_annotate_failures"
"""Name of the plugin that annotates every failed test."""


def write_report_files(report: Report, targets: tuple[str, ...], config: pytest.Config) -> Report:
    """Write the report files that the user asked for.

    Args:
        report: The finished run.
        targets: Where to write, as `--llm-report` has it.
        config: pytest's configuration.

    Returns:
        The run with a note per file that was written, and a fault per file that could not be.
    """
    if not targets:
        return report
    from pytest_llmcompare.reports.report_data import report_data
    from pytest_llmcompare.reports.write import write_reports as write

    from .identity import identity

    failed = replace(report, identity=identity(config.rootpath, source_of(config).title))

    def draw() -> ReportData:
        return report_data(failed)

    def fail(fault: str) -> None:
        nonlocal failed
        failed = replace(failed, summary=failed.summary.with_fault(fault), passed=False)

    paths = write(draw, targets, config.invocation_params.dir, fail)
    return replace(failed, summary=failed.summary.with_notes(f"report: {path}" for path in paths))


def mark_failure(summary: Summary, config: pytest.Config) -> None:
    """Add a JUnit case per threshold and fault, and color pytest's last line red if the run failed."""
    for check in checks(summary):
        add_junit_case(config, *check)
    if summary.faults:
        paint_red(config.pluginmanager.getplugin("terminalreporter"))


def annotate(
    report: Report, reporter: pytest.TerminalReporter, config: pytest.Config, locations: Mapping[str, Location]
) -> None:
    """Let GitHub show failures beside the tests, unless another plugin does so for all tests."""
    if not on_github() or config.pluginmanager.hasplugin(ANNOTATES_ALL):
        return
    places = Places(config.rootpath, locations)
    for line in annotation_lines(report, report.summary.faults, places.place):
        reporter.write_line(encodable(line, output_encoding()))


def show(
    report: Report, reporter: pytest.TerminalReporter, config: pytest.Config, *, waits: bool, hidden: int = 0
) -> None:
    """Write the summary.

    Args:
        report: The finished run.
        reporter: pytest's own.
        config: pytest's configuration.
        waits: Whether outputs wait for review.
        hidden: Number of failed tests that pytest's section FAILURES leaves out.
    """
    lines = summary_lines(
        report.summary,
        width=terminal_width(reporter),
        verbose=config.get_verbosity(),
        command=report.command,
        waits=waits,
        hidden=hidden,
        encoding=output_encoding(),
    )
    if lines:
        reporter.write_sep("=", "model comparison")
    for line in lines:
        write_parts(line, reporter)


def write_parts(line: Styled, writer: Any) -> None:
    """Write a line with a terminal reporter or writer of pytest."""
    for text, markup in line.parts():
        writer.write(text, **markup)
    writer.line("")


def show_faults(faults: Iterable[str], config: pytest.Config) -> None:
    """Say why the run failed."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if reporter is None:
        return
    columns = terminal_width(reporter) if reporter.isatty else None
    for line in fault_lines(faults, columns=columns, encoding=output_encoding()):
        write_parts(line, reporter)


def output_encoding() -> str:
    """Encoding of what pytest writes."""
    return getattr(sys.stdout, "encoding", None) or "utf-8"
