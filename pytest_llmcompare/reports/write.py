"""Report files: the ending of a path gives the format, and writing is atomic."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from pytest_llmcompare.baselines.atomic_write import replace
from pytest_llmcompare.errors import ReportError
from pytest_llmcompare.settings import GITHUB, STEP_SUMMARY

from .html import html_report
from .markdown import MOST_BYTES, markdown_file, markdown_report
from .report_data import ReportData, json_report

WRITERS: Mapping[str, Callable[[ReportData], str]] = {
    ".html": html_report,
    ".json": json_report,
    ".md": markdown_file,
}


def write_reports(
    draw: Callable[[], ReportData], targets: Sequence[str], folder: Path, fail: Callable[[str], None]
) -> list[str]:
    """Write reports. If one cannot be written, the others are written, and say so.

    Args:
        draw: Returns the report as data, with all faults so far.
        targets: Paths, or `github`, which is appended to and therefore comes last, when all faults are known.
        folder: Base of relative paths.
        fail: Called with the reason why a report could not be written.

    Returns:
        Where the reports are, to show.
    """
    document = draw()
    written: dict[str, str] = {}
    for target in sorted(dict.fromkeys(targets), key=lambda target: target == GITHUB):
        try:
            written[target] = write_report(document, target, folder)
        except ReportError as error:
            fail(str(error))
            document = draw()
            for earlier in written:
                with suppress(ReportError):  # then the earlier version stays
                    write_report(document, earlier, folder)
    return [written[target] for target in dict.fromkeys(targets) if target in written]


def write_report(document: ReportData, where: str, folder: Path) -> str:
    """Write a report.

    Args:
        document: The report as data.
        where: A path, or `github`.
        folder: Base of a relative path.

    Returns:
        Where the report is, to show.

    Raises:
        ReportError: It cannot be written there.
    """
    if where == GITHUB:
        return append_to_summary(document)
    path = folder / where
    text = WRITERS[path.suffix.lower()](document)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace({path: text.encode("utf-8")})
    except OSError as error:
        raise ReportError(_write_fault(f"--llm-report={where}", error)) from error
    return where


def append_to_summary(document: ReportData) -> str:
    """Append a report to the step summary of a GitHub workflow.

    Raises:
        ReportError: There is no room for it, or it cannot be written.
    """
    path = Path(os.environ.get(STEP_SUMMARY, ""))
    try:
        taken = path.stat().st_size if path.exists() else 0
        text = markdown_report(document, most=MOST_BYTES - taken - 1)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"\n{text}" if taken else text)
    except OSError as error:
        raise ReportError(_write_fault(f"--llm-report={GITHUB}", error)) from error
    return "the summary of this step"


def _write_fault(option: str, error: OSError) -> str:
    """Explain why a report was not written, and what to do."""
    return (
        f"{option} was not written: {error.filename}: {error.strerror}.\n"
        "The rest of the run is complete. Name a path that can be written."
    )
