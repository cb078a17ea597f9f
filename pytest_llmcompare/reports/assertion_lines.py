"""Lines on the assertions of a row that failed on an output. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pytest_llmcompare.comparison.summary import ModelLine
from pytest_llmcompare.judgement import AssertionResult
from pytest_llmcompare.text import count, cut, disarm

from .text_diff import CANDIDATE, single

LINE = 100  # columns of an assertion, and of why it does not hold


def assertion_text(text: str) -> str:
    """An assertion, or why it does not hold, on one line."""
    return cut(disarm(" ".join(text.split())), LINE)


def broken(results: Sequence[AssertionResult]) -> list[AssertionResult]:
    """The assertions that failed."""
    return [result for result in results if not result.passed]


def assertion_count(models: Iterable[ModelLine]) -> str:
    """How many outputs pass their assertions: `2 of 3 outputs pass all assertions of their rows`; empty for none."""
    lines = list(models)
    asserted, holding = sum(line.asserted for line in lines), sum(line.holding for line in lines)
    return f"{holding:,} of {count(asserted, 'output')} pass all assertions of their rows" if asserted else ""


def expect_failed(results: Sequence[AssertionResult]) -> str:
    """Name the first assertion that failed: `expect failed: contains: 30 days and 1 more`; empty if all hold."""
    failed = broken(results)
    more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
    return f"expect failed: {assertion_text(failed[0].text)}{more}" if failed else ""


def assertion_lines(results: Sequence[AssertionResult]) -> list[str]:
    """A line per assertion that failed: `  failed contains: 30 days (not in the output)`."""
    return [f"  failed {assertion_text(result.text)} ({assertion_text(result.why)})" for result in broken(results)]


def broken_lines(name: str, results: Sequence[AssertionResult], output: str) -> list[str]:
    """Explain a test that failed by assertions alone: which, why, and the output.

    Args:
        name: Name of the test.
        results: Results of its assertions, of which one or more failed.
        output: The output.
    """
    return [
        expect_failed(results),
        f"{name}: {len(broken(results))} of {len(results)} assertions failed on the output:",
        *assertion_lines(results),
        *single(CANDIDATE, output),
    ]
