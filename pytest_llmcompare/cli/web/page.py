"""The page of `llmcompare review --web`: an HTML report of the pending outputs, with buttons to decide."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Any

from pytest_llmcompare.baselines.pending import Entry, entry_line
from pytest_llmcompare.cli.accept import written_lines
from pytest_llmcompare.cli.apply_decisions import Applied
from pytest_llmcompare.cli.review_state import ChangeKey, change_key
from pytest_llmcompare.comparison.summary import summarize
from pytest_llmcompare.records import CaseResult, GroupKey, RowKey
from pytest_llmcompare.reports.document import Report, ReportData, report_data
from pytest_llmcompare.reports.html import SHARED, assembled, page_part, script_of, slim_document
from pytest_llmcompare.settings import Settings

SCRIPTS = (*SHARED, "review.js", "start.js")
STYLES = ("report.css", "review.css")
KEYS = "".join(
    f"<div><dt><kbd>{keys[0]}</kbd> <kbd>{keys[1]}</kbd></dt><dd>{what}, all that are alike</dd></div>\n    "
    for keys, what in (("aA", "accept"), ("rR", "reject"), ("sS", "skip"))
)
UNDO = "<div><dt><kbd>u</kbd></dt><dd>take the last decision back</dd></div>\n    "


class ReviewPage:
    """The page of a review.

    Args:
        entries: The pending outputs, in the order of the review.
        notes: Notes to show.

    Attributes:
        entries: How many outputs there are.
        html: The page.
        policy: Its content security policy.
    """

    def __init__(self, entries: Sequence[Entry], notes: Sequence[str] = ()) -> None:
        self.entries = len(entries)
        self._keys = [entry.key for entry in entries]
        style, script = "\n".join(map(page_part, STYLES)), script_of(*SCRIPTS)
        self.policy = (
            f"default-src 'none'; style-src {hash_source(style)}; script-src {hash_source(script)}; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'"
        )
        changes: dict[ChangeKey, int] = {}
        data = {
            **pending_document(entries, notes),
            "review": [
                {
                    "id": hashlib.sha256(entry_line(entry).encode("utf-8", "surrogatepass")).hexdigest()[:16],
                    "change": changes.setdefault(change_key(entry), len(changes)),
                    "against": entry.against,
                }
                for entry in entries
            ],
        }
        self.html = assembled(
            style=style,
            script=script,
            policy=self.policy,
            data=data,
            further=page_part("review.html"),
            keys=KEYS + UNDO,
        )

    def result(self, applied: Applied) -> dict[str, Any]:
        """Return what the page shows of the result: the fate of each output, faults, written files."""
        fates = dict.fromkeys(applied.accepted, "accepted") | dict.fromkeys(applied.rejected, "rejected")
        fates |= dict.fromkeys(applied.refused, "refused")
        return {
            "fates": [fates.get(key, "left") for key in self._keys],
            "why": [applied.refused.get(key, "") for key in self._keys],
            "faults": list(applied.faults),
            "written": written_lines(applied),
        }


def pending_document(entries: Sequence[Entry], notes: Sequence[str]) -> ReportData:
    """Return a report of pending outputs; each case has the number of its entry.

    It has no commands for accepting, no drift rates and no comparison of models, because what passed is not in it.
    """
    results = [
        CaseResult(
            entry.key,
            entry.test,
            entry.new.generation,
            entry.judgement,
            entry.baseline,
            input=entry.prompt,
            target=entry.target,
            assertions=entry.assertions,
        )
        for entry in entries
    ]
    models = tuple(dict.fromkeys(result.key.group.model for result in results))
    declared: dict[GroupKey, list[RowKey]] = {}
    for result in results:
        declared.setdefault(result.key.group, []).append(result.key.row)
    summary = summarize(results, (), Settings(), declared=declared, notes=notes, models=models)
    report = Report(summary, accepting=lambda _: "")
    data = slim_document(report_data(report))
    numbers = {result.key: number for number, result in enumerate(results)}
    cells = iter(summary.cells)
    for table in data["tables"]:
        for row in table["rows"]:
            row["cases"] = [case and {**case, "entry": numbers[next(cells).key]} for case in row["cases"]]
    models_alone = [{**model, "drift_rate": None} for model in data["models"]]
    sentence = f"{len(results):,} pending: {report.counts}"
    return {**data, "sentence": sentence, "models": models_alone, "pairs": []}


def hash_source(inline: str) -> str:
    """Return how a content security policy names a style or script that stands in the page: by its hash."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(inline.encode('utf-8')).digest()).decode('ascii')}'"
