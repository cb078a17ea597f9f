"""`llmcompare report`: a saved JSON report, drawn again."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from pytest_llmcompare.baselines import regular_file
from pytest_llmcompare.errors import ReportError, UsageError
from pytest_llmcompare.reports.document import SCHEMA_VERSION, ReportData
from pytest_llmcompare.reports.write import write_report
from pytest_llmcompare.settings import COMMAND_LINE, check_report

HOW = "Write one with pytest --llm-report=report.json"


def add(commands: Any) -> None:
    """Declare the command; `commands` is what `argparse` calls the subparsers."""
    command = commands.add_parser(
        "report",
        help="draw a saved JSON report again, as HTML or Markdown",
        description="Draw what pytest --llm-report=FILE.json saved. No model and no test runs.",
    )
    command.add_argument("saved", metavar="SAVED", help="the JSON report")
    command.add_argument("paths", nargs="+", metavar="PATH", help="where to: ends in .html, .md or .json, or is github")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    for path in options.paths:
        check_report(path)
    document = read(Path(options.saved))
    for path in options.paths:
        print(f"report: {write_report(document, path, Path.cwd())}")
    return 0


def read(path: Path) -> ReportData:
    """A saved report.

    Raises:
        UsageError: There is no report of this version in the file.
        ReportError: It cannot be read.
    """
    try:
        document = json.loads(regular_file.read(path))
    except OSError as error:
        raise ReportError(f"{path}: cannot be read: {error.strerror}.\n{HOW}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} ({COMMAND_LINE}) is no JSON report: {error}.\n{HOW}") from None
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != SCHEMA_VERSION:
        told = "no report of pytest-llmcompare" if version is None else f"a report of schema version {version}"
        raise UsageError(f"{path} ({COMMAND_LINE}) is {told}, expected schema version {SCHEMA_VERSION}.\n{HOW}")
    found: ReportData = document
    return found
