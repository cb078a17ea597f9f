"""`llmcompare report`: draw a saved JSON report again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from pytest_llmcompare.baselines import regular_file
from pytest_llmcompare.errors import ReportError, UsageError
from pytest_llmcompare.reports.report_data import SCHEMA_VERSION, ReportData
from pytest_llmcompare.reports.write import write_report
from pytest_llmcompare.settings import COMMAND_LINE, check_report

HOW = "Write one with pytest --llm-report=report.json"


@click.command(epilog="Example: llmcompare report report.json report.html report.md")
@click.argument("saved", metavar="SAVED")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
def report(saved: str, paths: Sequence[str]) -> int:
    """Draw a saved JSON report again, as HTML or Markdown.

    SAVED is what pytest --llm-report=FILE.json wrote; each PATH ends in .html, .md or .json, or is github. No model
    and no test runs.
    """
    for path in paths:
        check_report(path)
    document = read(Path(saved))
    for path in paths:
        print(f"report: {write_report(document, path, Path.cwd())}")
    return 0


def read(path: Path) -> ReportData:
    """Read a saved report.

    Raises:
        UsageError: The file holds no report of this version.
        ReportError: The file cannot be read.
    """
    try:
        document = json.loads(regular_file.read(path))
    except OSError as error:
        raise ReportError(f"{path}: cannot be read: {error.strerror}.\n{HOW}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} ({COMMAND_LINE}) is not a JSON report: {error}.\n{HOW}") from None
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != SCHEMA_VERSION:
        kind = "no report of pytest-llmcompare" if version is None else f"a report of schema version {version}"
        raise UsageError(f"{path} ({COMMAND_LINE}) is {kind}, expected schema version {SCHEMA_VERSION}.\n{HOW}")
    result: ReportData = document
    return result
