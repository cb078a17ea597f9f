"""What the HTML page shows of a report: its sentences, the columns to choose from, the words that differ. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate

from pytest_llmcompare.judgement import ACCEPTED, NO_VERDICT, WORST_FIRST, AssertionResult, Judgement, Look, Verdict
from pytest_llmcompare.text import number

from .assertion_lines import assertion_lines
from .messages import ENDS, where
from .page_header import header_of
from .report_data import ReportData
from .restored_records import judgement_of
from .text_diff import Range, word_changes

MOST_REASON = 160  # characters of a reason in a cell

TARGET = "target"
FACTS = ("verdict", "margin", "movement", "tokens", "seconds", "finish reason", "assertions")
"""Facts of cases, in the order in which the page offers them; `verdict` is only to sort by."""

CASE_NOT_SHOWN = (
    *("judgement", "input_hash", "settings_hash", "differs", "passed", "assertions", "seconds", "token_count"),
    *("metrics", "folder", "table"),  # the page takes the last two from the table
)
OUTPUT_NOT_SHOWN = ("token_ids", "margins", "path", "environment", "verified", "unverified")
"""Keys that the page does not show; with them the file would be several times as large."""


def slim_document(document: ReportData) -> ReportData:
    """Prepare a report for the page: what it shows of each case, and its sentences."""
    metrics = dict.fromkeys(name for case in _cases(document["tables"]) for name in case.get("metrics", ()))
    tables = [slim(table, metrics) for table in document["tables"]]
    return {"header": header_of(document), "tables": tables, "columns": columns_of(tables)}


def columns_of(tables: Sequence[ReportData]) -> list[dict[str, str]]:
    """The columns to choose from: those of rows, then those of cases that any case has, metrics last."""
    own = dict.fromkeys(name for table in tables for row in table["rows"] for name in row["columns"])
    facts = dict.fromkeys(name for case in _cases(tables) for name in case["facts"])
    ordered = [*(name for name in FACTS if name in facts), *(name for name in facts if name not in FACTS)]
    return [{"name": name, "of": "row"} for name in own] + [{"name": name, "of": "case"} for name in ordered]


def slim(table: ReportData, metrics: Collection[str] = ()) -> ReportData:
    """Prepare a table for the page.

    Args:
        table: The table.
        metrics: Names of the metrics that any output has.
    """
    return {**table, "rows": [slim_row(row, metrics) for row in table["rows"]]}


def slim_row(row: ReportData, metrics: Collection[str] = ()) -> ReportData:
    """Prepare a row for the page: its cases, and its columns with the target first."""
    target = next((case["target"] for case in row["cases"] if case and case["target"] is not None), None)
    own = {
        f"{name} (table)" if name in (TARGET, *FACTS) or name in metrics else name: text
        for name, text in row.get("columns", {}).items()
    }
    columns = {**({} if target is None else {TARGET: target}), **own}
    return {**row, "columns": columns, "cases": [case and slim_case(case) for case in row["cases"]]}


def slim_case(case: ReportData) -> ReportData:
    """Prepare a case for the page: its evidence, the words in which its texts differ, log-probs of three digits."""
    output, baseline, judged = case["candidate"], case["baseline"], case["judgement"]
    slim = {key: value for key, value in case.items() if key not in CASE_NOT_SHOWN}
    if results := case.get("assertions"):
        slim["assertions"] = [[one["passed"], f"{one['text']} ({one['why']})".removesuffix(" ()")] for one in results]
        slim["broken"] = [line.strip() for line in assertion_lines([AssertionResult(**result) for result in results])]
    slim["facts"] = {name: value for name, value in facts_of(case).items() if value is not None}
    if judged is not None:
        restored = judgement_of(judged)
        slim |= {"why": why(restored), "evidence": evidence_items(restored), "reason": restored.reason}
    if output is None:
        return slim
    slim["candidate"] = {key: value for key, value in output.items() if key not in OUTPUT_NOT_SHOWN}
    if output["logprobs"] is not None:
        slim["candidate"]["logprobs"] = [None if value is None else round(value, 3) for value in output["logprobs"]]
    return {**slim, "changes": changes(baseline, output["text"])}


def facts_of(case: ReportData) -> dict[str, float | str | None]:
    """What the page can show and sort of a case, by name; None if it is unknown."""
    output, judged = case["candidate"] or {}, case["judgement"] or {}
    assertions = case.get("assertions", ())
    holding = sum(one["passed"] for one in assertions)
    metrics = case.get("metrics", {})
    return {
        "verdict": 0 if case["verdict"] is None else Verdict(case["verdict"]).severity,
        "margin": judged.get("margin"),
        "movement": (judged.get("likelihood") or {}).get("rms"),
        "tokens": None if output.get("token_ids") is None else len(output["token_ids"]),
        "seconds": case.get("seconds"),
        "finish reason": output.get("stop") or None,
        "assertions": f"{holding} of {len(assertions)} hold" if assertions else None,
        **{f"{name} (metric)" if name in FACTS else name: value for name, value in metrics.items()},
    }


def changes(baseline: str | None, candidate: str) -> ReportData | None:
    """Find the words in which two texts differ, in UTF-16 units as JavaScript counts; None if they do not differ."""
    if baseline is None or baseline == candidate:
        return None
    removed, added = word_changes(baseline, candidate)
    return {"baseline": _in_utf16(baseline, removed), "candidate": _in_utf16(candidate, added)}


def why(judged: Judgement) -> str:
    """Return the evidence of a verdict in a few words."""
    if judged.verdict in (Verdict.DRIFTED, Verdict.NEAR_TIE) and (judged.baseline_token or judged.candidate_token):
        return _change(judged) + ("" if judged.margin is None else f", margin {number(judged.margin)}")
    if judged.verdict is Verdict.SHIFTED and judged.likelihood:
        return f"{number(judged.likelihood.rms)} nats per token"
    return judged.reason.partition("\n")[0][:MOST_REASON]


def evidence_items(judged: Judgement) -> list[tuple[str, str]]:
    """Return the evidence of a verdict as names and values."""
    items = []
    if judged.position is not None:
        items.append(("first difference", where(judged)))
        items.append(("change", _change(judged)))
    if judged.margin is not None:
        tie = "" if judged.tolerance is None else f" (tie: up to {number(judged.tolerance)})"
        items.append(("margin there", f"{number(judged.margin)} nats{tie}"))
    if judged.mismatches:
        items.append(("tokens that differ", f"{judged.mismatches} of {judged.length}, along the baseline"))
    if (moved := judged.likelihood) is not None:
        noise = f"{'within' if moved.is_noise else 'beyond'} noise (up to {number(moved.band)})"
        items.append(("log-probs moved", f"{number(moved.rms)} nats per token, {noise}"))
        if not moved.is_noise:
            items.append(("worst token", f"{number(moved.worst)} nats at token {moved.position + 1}"))
    return items


def words() -> list[ReportData]:
    """Return how the page shows cases of each kind, the worst first."""
    return [
        {
            "kind": kind,
            "sign": look.sign.strip() or "·",
            "word": look.label,
            "meaning": look.meaning,
            "loud": bool(look.markup),
        }
        for kind, look in looks()
    ]


def looks() -> list[tuple[str, Look]]:
    """Kinds of cases, as the script and the style sheet call them, with their looks."""
    return [*((str(verdict), verdict.look) for verdict in WORST_FIRST), ("none", NO_VERDICT), ("accepted", ACCEPTED)]


def _cases(tables: Sequence[ReportData]) -> Iterator[ReportData]:
    """All cases of tables."""
    return (case for table in tables for row in table["rows"] for case in row["cases"] if case)


def _change(judged: Judgement) -> str:
    return " → ".join(text if text in ENDS else f"'{text}'" for text in (judged.baseline_token, judged.candidate_token))


def _in_utf16(text: str, ranges: Sequence[Range]) -> Sequence[Range]:
    """Ranges of code points as JavaScript counts: a character beyond U+FFFF has two units."""
    if text.isascii() or max(text) < "\U00010000":
        return ranges
    units = [*accumulate((1 + (char > "\uffff") for char in text), initial=0)]
    return [(units[start], units[end]) for start, end in ranges]
