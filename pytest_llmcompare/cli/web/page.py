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
from pytest_llmcompare.reports.html import SHARED, assembled, page_part, script_of
from pytest_llmcompare.reports.page_data import slim_document
from pytest_llmcompare.reports.report import Report
from pytest_llmcompare.reports.report_data import ReportData, report_data
from pytest_llmcompare.settings import Settings

SCRIPTS = (*SHARED, "review.js", "start.js")
STYLES = ("report.css", "review.css")
KEYS = "".join(
    f"<div><dt>{' '.join(f'<kbd>{key}</kbd>' for key in keys)}</dt><dd>{what}</dd></div>\n    "
    for keys, what in (
        ("aA", "accept; all that are alike, once they were shown"),
        ("rR", "reject; all that are alike"),
        ("sS", "skip; all that are alike"),
        ("u", "take the last decision back"),
        ("bn", "case before, case after it in the order of the review"),
        ("g", "go to a case by its number or a part of its name"),
        ("m", "sort by margin; again: those that are alike together"),
    )
)


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
            keys=KEYS,
        )

    def result(self, applied: Applied) -> dict[str, Any]:
        """Return what the page shows of the result: the fate of each output, faults, written files."""
        fates = dict.fromkeys(applied.accepted, "accepted") | dict.fromkeys(applied.rejected, "rejected")
        fates |= dict.fromkeys(applied.refused, "refused")
        left = len(self._keys) - len(fates)
        counts = [(len(applied.refused), "refused"), (left, "left for another time")]
        further = [f"{number:,} {fate}" for number, fate in counts if number]
        done = [f"{len(applied.accepted):,} accepted", f"{len(applied.rejected):,} rejected", *further]
        return {
            "sentence": f"{', '.join(done)}.",
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
    names = tuple(dict.fromkeys(result.key.group.model for result in results))
    declared: dict[GroupKey, list[RowKey]] = {}
    for result in results:
        declared.setdefault(result.key.group, []).append(result.key.row)
    summary = summarize(results, (), Settings(), declared=declared, notes=notes, models=names)
    report = Report(summary, accepting=lambda _: "")
    whole = report_data(report)
    models = [{**model, "drift_rate": None} for model in whole["models"]]
    sentence = f"{len(results):,} pending: {report.counts}"
    data = slim_document({**whole, "sentence": sentence, "models": models, "pairs": []})
    numbers = {result.key: number for number, result in enumerate(results)}
    cells = iter(summary.cells)
    for table in data["tables"]:
        for row in table["rows"]:
            row["cases"] = [case and {**case, "entry": numbers[next(cells).key]} for case in row["cases"]]
    return data


def hash_source(inline: str) -> str:
    """Return how a content security policy names a style or script in the page: by its hash."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(inline.encode('utf-8')).digest()).decode('ascii')}'"
