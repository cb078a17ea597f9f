"""Failed comparisons as pytest shows them: a few lines in place of a traceback; none of them if there are many.

Imported in every pytest run, so it imports little.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmcompare.compat import hide_failure

if TYPE_CHECKING:
    from pytest_llmcompare.records import CaseResult

COMPACT = "llmcompare_compact"
"""Attribute of a report of a failed `llm_output == llm_baseline`: further lines to show, such as the user's message."""

MOST_IN_FULL = 10
"""Most failures that pytest lists without `-v`; the texts of more are only in the table, a line each."""


class CompactFailure:
    """Stands in place of the traceback of a failed comparison; to other plugins it has that traceback's attributes.

    Args:
        result: The failed case.
        more: Further lines to show.
        accept: Command that accepts the output, shown with all lines of both texts; empty for the compact form.
        traceback: What pytest would show.
    """

    def __init__(self, result: CaseResult, more: Sequence[str], accept: str, traceback: Any) -> None:
        self._result = result
        self._more = more
        self._accept = accept
        self._traceback = traceback

    def toterminal(self, writer: Any) -> None:
        """Write it with the `TerminalWriter` of pytest."""
        from pytest_llmcompare.reports.compact_failure import compact_failure, full_failure
        from pytest_llmcompare.reports.style import Page

        from .display import output_encoding, write_parts

        page = Page(writer.fullwidth, output_encoding())
        if self._accept:
            lines = full_failure(self._result, self._more, self._accept, page)
        else:
            lines = compact_failure(self._result, self._more, page, coloured=writer.hasmarkup)
        for line in lines:
            write_parts(line, writer)

    def __str__(self) -> str:
        return str(self._traceback)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # also while a copy of this is made, which has no traceback yet
            raise AttributeError(name)
        return getattr(self._traceback, name)


class Failures:
    """The failed comparisons of a run."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.reports: list[pytest.TestReport] = []

    @property
    def shows_source(self) -> bool:
        """True if the user has asked for tracebacks: `-vv`, `--tb=short`, `-l`, `--full-trace`."""
        option = self.config.option  # without the terminal plugin some are missing
        shows = getattr(option, "showlocals", False) or getattr(option, "fulltrace", False)
        return bool(self.verbosity > 1 or getattr(option, "tbstyle", "auto") != "auto" or shows)

    @property
    def verbosity(self) -> int:
        """Pytest's verbosity."""
        return int(getattr(self.config.option, "verbose", 0))

    def take(self, report: pytest.TestReport, samples: Sequence[CaseResult], accept: Callable[[str], str]) -> None:
        """Make the report of a failed comparison compact; others stay as they are."""
        more = getattr(report, COMPACT, None)
        if more is None or not report.failed or self.shows_source:
            return
        from pytest_llmcompare.judgement import severity_of

        worst = max(samples, key=lambda result: severity_of(result.judgement.verdict if result.judgement else None))
        command = accept(report.nodeid) if self.verbosity > 0 else ""
        failure = CompactFailure(worst, more, command, report.longrepr)
        report.longrepr = failure  # type: ignore[assignment]  # pytest's own class is private
        if not report.sections:  # what the test printed is shown with its failure
            self.reports.append(report)

    def hide_most(self) -> int:
        """Leave all out of pytest's list of failures if there are many; their texts are in our table.

        Returns:
            Number of failures that are hidden.
        """
        if self.verbosity > 0 or len(self.reports) <= MOST_IN_FULL:
            return 0
        for report in self.reports:
            hide_failure(report)
        return len(self.reports)
