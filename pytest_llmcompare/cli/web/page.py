"""The page of `llmcompare review --web`: the HTML report of what is pending, with a dock to decide at. Pure."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Any

from pytest_llmcompare.comparison.summary import summarize
from pytest_llmcompare.records import CaseResult, GroupKey, RowKey
from pytest_llmcompare.reports.document import Report, ReportData, report_data
from pytest_llmcompare.reports.html import SHARED, assembled, page_part, script_of, slim_document
from pytest_llmcompare.settings import Settings

SCRIPTS = (*SHARED, "decisions.js", "dock.js", "connection.js")
STYLES = ("report.css", "dock.css")
KEYS = "".join(
    f"<div><dt><kbd>{keys[0]}</kbd> <kbd>{keys[1]}</kbd></dt><dd>{what}, all that are alike</dd></div>\n    "
    for keys, what in (("aA", "accept"), ("rR", "reject"), ("sS", "skip"))
)
UNDO = "<div><dt><kbd>u</kbd></dt><dd>take the last decision back</dd></div>\n    "


class ReviewPage:
    """The page of a review.

    Args:
        results: What is pending, in the order of the review.
        alike: A number for each; equal where outputs changed in the same way.
        against: What each was compared with, where that is not the files; else empty.
        notes: What the user should know.
    """

    def __init__(
        self, results: Sequence[CaseResult], alike: Sequence[int], against: Sequence[str], notes: Sequence[str] = ()
    ) -> None:
        self.data = {**pending_document(results, notes), "alike": list(alike), "against": list(against)}
        self.style = "\n".join(map(page_part, STYLES))
        self.script = script_of(*SCRIPTS)
        self.policy = (
            f"default-src 'none'; style-src {source_of(self.style)}; script-src {source_of(self.script)}; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'"
        )

    def draw(self, state: dict[str, Any]) -> tuple[str, str]:
        """The page at a state of the review, and the policy that the browser is to hold it to."""
        page = assembled(
            style=self.style,
            script=self.script,
            policy=self.policy,
            data={**self.data, "state": state},
            further=page_part("dock.html"),
            keys=KEYS + UNDO,
        )
        return page, self.policy


def pending_document(results: Sequence[CaseResult], notes: Sequence[str]) -> ReportData:
    """A report of what is pending; each case has the number of its entry.

    It has no commands to accept with, no drift rates and no comparison of models: what passed is not in it.
    """
    models = tuple(dict.fromkeys(result.key.group.model for result in results))
    declared: dict[GroupKey, list[RowKey]] = {}
    for result in results:
        declared.setdefault(result.key.group, []).append(result.key.row)
    summary = summarize(results, (), Settings(), declared=declared, notes=notes, models=models)
    data = slim_document(report_data(Report(summary, accepting=lambda _: "")))
    numbers = {result.key: number for number, result in enumerate(results)}
    cells = iter(summary.cells)
    for table in data["tables"]:
        for row in table["rows"]:
            row["cases"] = [case and {**case, "entry": numbers[next(cells).key]} for case in row["cases"]]
    models_alone = [{**model, "drift_rate": None} for model in data["models"]]
    sentence = f"{len(results):,} pending: {data['sentence'].partition(': ')[2]}"
    return {**data, "sentence": sentence, "models": models_alone, "pairs": []}


def source_of(inline: str) -> str:
    """How a content security policy names a style or script that stands in the page."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(inline.encode('utf-8')).digest()).decode('ascii')}'"
