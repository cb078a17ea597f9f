"""The HTML report: one file that holds its data, style and script and makes no network request. Pure.

The data is JSON in a script element that browsers do not run; the page inserts it as text only. The parts of the page
are in the folder `page`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from itertools import accumulate

from pytest_llmcompare.judgement import ACCEPTED, NO_VERDICT, WORST_FIRST, AssertionResult, Judgement, Look, Verdict
from pytest_llmcompare.text import count, number

from .assertion_lines import assertion_lines
from .charts import charts
from .document import ReportData
from .messages import ENDS, budget_sentence, where
from .restored import judgement_of, rate_of
from .text_diff import Range, word_changes

MOST_REASON = 160  # characters of a reason in a cell
MARK = re.compile(r"(/\*[A-Z]+\*/)")

SHARED = ("text.js", "state.js", "header.js", "grid.js", "panel.js", "keys.js")
"""In this order: each uses those before it."""

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)
"""Content security policy of a page in a file, which has no headers that could name its own script."""

TARGET = "target"
FACTS = ("verdict", "margin", "movement", "tokens", "finish reason", "assertions")
"""Facts of cases, in the order in which the page offers them; `verdict` is only to sort by."""

CASE_NOT_SHOWN = (
    *("judgement", "input_hash", "settings_hash", "differs", "passed", "assertions"),
    *("folder", "table"),  # the page takes them from the table
)
OUTPUT_NOT_SHOWN = ("token_ids", "margins", "path", "environment", "verified", "unverified")
"""Keys that the page does not show; with them the file would be several times as large."""


def html_report(document: ReportData) -> str:
    """Write a report as one HTML page."""
    style, script = page_part("report.css"), script_of(*SHARED, "start.js")
    data = slim_document(document)
    return assembled(style=style, script=script, policy=POLICY, data=data, charts=charts(document))


def slim_document(document: ReportData) -> ReportData:
    """Prepare a report for the page: drop keys that it does not show, and write its sentences."""
    data = {**document, "tables": [slim(table) for table in document["tables"]]}
    for part in ("groups", "equal_drifts"):
        data.pop(part)
    data["budgets"] = [{"text": _budget_line(check), "failed": check["failed"]} for check in document["budgets"]]
    data["pairs"] = [_pair_line(pair) for pair in document["pairs"]]
    data["columns"] = columns_of(data["tables"])
    data["identity_items"] = identity_items(document)
    return data


def identity_items(document: ReportData) -> list[tuple[str, str]]:
    """What tells the run from others, as names and values; reports of earlier versions have the command alone."""
    items = [*document.get("identity", {}).items(), ("command", document["command"])]
    for group in document["groups"]:
        then, now = group.get("baseline_environment", {}), group.get("environment", {})
        facts = [f"{name} {_then_and_now(then.get(name), now.get(name))}" for name in {**now, **then}]
        if facts:
            items.append((f"{group['table']}/{group['model']}", ", ".join(facts)))
    items += [("MLflow", " ".join(filter(None, place.values()))) for place in document.get("mlflow", ())]
    return items


def _then_and_now(then: str | None, now: str | None) -> str:
    """A fact of the environment, and what it was when the baselines were recorded."""
    if then is None or now is None or then == now:
        return str(now if now is not None else f"{then} (baselines)")
    return f"{now} (baselines: {then})"


def columns_of(tables: Sequence[ReportData]) -> list[dict[str, str]]:
    """The columns to choose from: those of rows, then those of cases that any case has."""
    rows = [row for table in tables for row in table["rows"]]
    own = dict.fromkeys(name for row in rows for name in row["columns"])
    facts = dict.fromkeys(name for row in rows for case in row["cases"] if case for name in case["facts"])
    ordered = [name for name in FACTS if name in facts]
    return [{"name": name, "of": "row"} for name in own] + [{"name": name, "of": "case"} for name in ordered]


def _budget_line(check: ReportData) -> str:
    rate = rate_of(check["drifted"])
    text = budget_sentence(rate, check["percent"], over=check["failed"])
    return f"{check['model']}: {text}" if rate.total else text


def _pair_line(pair: ReportData) -> str:
    agreement, targets = pair["agreement"], pair["targets"]
    line = f"{pair['first']} / {pair['second']}: {agreement['count']:,} of {count(agreement['total'], 'text')} alike"
    if targets is None:
        return line
    names = {"better": f"{pair['second']} is better", "worse": f"{pair['first']} is better"}
    better = names.get(targets["finding"], targets["finding"])
    return f"{line}; on targets: {better} (McNemar p {targets['p_value']:.3f})"


def script_of(*names: str) -> str:
    """Join files of the page to one script."""
    scripts = "\n".join(page_part(name) for name in names)
    return f'(() => {{\n"use strict";\n{scripts}\n}})();'


def assembled(
    *, style: str, script: str, policy: str, data: ReportData, charts: str = "", further: str = "", keys: str = ""
) -> str:
    """Put a page together.

    Args:
        style: Style sheet.
        script: Script.
        policy: Content security policy.
        data: Data to show.
        charts: HTML of the histograms.
        further: HTML of more elements.
        keys: HTML of more items in the list of keys.
    """
    parts = {
        "/*POLICY*/": policy,
        "/*STYLE*/": style,
        "/*KEYS*/": keys,
        "/*CHARTS*/": charts,
        "/*FURTHER*/": further,
        "/*WORDS*/": embedded(words()),
        "/*DATA*/": embedded(data),
        "/*SCRIPT*/": script,
    }
    pieces = MARK.split(page_part("report.html"))  # at once, so that marks inside of a part stay text
    return "".join(parts.get(piece, piece) for piece in pieces)


def slim(table: ReportData) -> ReportData:
    """Prepare a table for the page."""
    return {**table, "rows": [slim_row(row) for row in table["rows"]]}


def slim_row(row: ReportData) -> ReportData:
    """Prepare a row for the page: its cases, and its columns with the target first."""
    target = next((case["target"] for case in row["cases"] if case and case["target"] is not None), None)
    own = {
        f"{name} (table)" if name in (TARGET, *FACTS) else name: text for name, text in row.get("columns", {}).items()
    }
    columns = {**({} if target is None else {TARGET: target}), **own}
    return {**row, "columns": columns, "cases": [case and slim_case(case) for case in row["cases"]]}


def slim_case(case: ReportData) -> ReportData:
    """Prepare a case for the page: its evidence, the words in which its texts differ, log-probs of three digits."""
    output, baseline, judged = case["candidate"], case["baseline"], case["judgement"]
    slim = {key: value for key, value in case.items() if key not in CASE_NOT_SHOWN}
    if results := case.get("assertions"):
        slim["assertions"] = results
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
    return {
        "verdict": 0 if case["verdict"] is None else Verdict(case["verdict"]).severity,
        "margin": judged.get("margin"),
        "movement": (judged.get("likelihood") or {}).get("rms"),
        "tokens": None if output.get("token_ids") is None else len(output["token_ids"]),
        "finish reason": output.get("stop") or None,
        "assertions": f"{holding} of {len(assertions)} hold" if assertions else None,
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


def _change(judged: Judgement) -> str:
    return " → ".join(text if text in ENDS else f"'{text}'" for text in (judged.baseline_token, judged.candidate_token))


def _in_utf16(text: str, ranges: Sequence[Range]) -> Sequence[Range]:
    """Ranges of code points as JavaScript counts: a character beyond U+FFFF has two units."""
    if text.isascii() or max(text) < "\U00010000":
        return ranges
    units = [*accumulate((1 + (char > "\uffff") for char in text), initial=0)]
    return [(units[start], units[end]) for start, end in ranges]


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
        for kind, look in _looks()
    ]


def _looks() -> list[tuple[str, Look]]:
    """Kinds of cases, as the script and the style sheet call them, with their looks."""
    return [*((str(verdict), verdict.look) for verdict in WORST_FIRST), ("none", NO_VERDICT), ("accepted", ACCEPTED)]


def embedded(data: ReportData | list[ReportData]) -> str:
    r"""Write data as JSON for a script element: nothing in it opens or closes a tag or a comment.

    It is ASCII, so the line separators U+2028 and U+2029 are escaped, too.
    """
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


@cache
def page_part(name: str) -> str:
    """Read a file of the page; a style sheet gets the colours of verdicts where it has a mark for them."""
    colours = " ".join(f"--{kind}: light-dark({', '.join(look.css)});" for kind, look in _looks())
    return files(__package__).joinpath("page", name).read_text(encoding="utf-8").replace("/*COLOURS*/", colours)
