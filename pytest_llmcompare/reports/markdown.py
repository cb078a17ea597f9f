"""The Markdown report, for a pull request or the summary of a CI step: the outcome first, then what differs. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from pytest_llmcompare.judgement import WORST_FIRST, Verdict, look_of
from pytest_llmcompare.text import count, cut, disarm, duration, escape, number, percent, share

from .document import ReportData, case_result, rate_of
from .messages import FAILED, OK, budget_sentence, failure_lines


def code(text: str) -> str:
    """Text as a code span on one line."""
    shown = escape(text)
    if not shown.strip():
        return f"`{shown}`" if shown else ""
    marks = "`" * (longest(shown) + 1)
    pad = " " if shown[0] in "` " or shown[-1] in "` " else ""
    return f"{marks}{pad}{shown}{pad}{marks}"


def block(lines: Iterable[str]) -> str:
    """Lines as a code block; each is harmless on a terminal, too, where somebody may print the file."""
    shown = [disarm(line) for line in lines]
    marks = "`" * max(3, longest("\n".join(shown)) + 1)
    return "\n".join([f"{marks}text", *shown, marks])


def longest(text: str) -> int:
    """Length of the longest run of backticks."""
    return max(map(len, re.findall("`+", text)), default=0)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool = False) -> str:
    """A table of cells that are Markdown already.

    Args:
        heads: Headings.
        rows: The cells.
        numbers: Whether all columns but the first hold numbers, which stand to the right.
    """
    rest = "---:" if numbers else "---"
    lines = [heads, ["---", *[rest] * (len(heads) - 1)], *rows]
    # Backslashes of the text itself are doubled in code spans, so that none of them undoes this one.
    escaped = ([cell.replace("|", r"\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


MOST_BYTES = 1024 * 1024
"""What GitHub shows of a step's summary; of a larger one it shows nothing."""

CELL, TOKEN = 60, 24  # columns of a text in a table
MOST_ROWS = 50  # of a side-by-side table
RESERVE = 200  # bytes for the line that says what was left out


def markdown_report(document: ReportData, *, most: int = MOST_BYTES) -> str:
    """A report as Markdown text.

    Args:
        document: The report as data.
        most: Most bytes of it in UTF-8; what does not fit is left out from the end, with a line that says so.
    """
    parts = list(sections(document))
    taken, kept = RESERVE, 0
    for part in parts:
        taken += len(part.encode("utf-8")) + 2
        if taken > most:
            break
        kept += 1
    if left_out := len(parts) - kept:
        told = f"*{count(left_out, 'more part')} of this report left out: it may have {most:,} bytes here.*"
        parts = [*parts[:kept], told]
    return "\n\n".join(parts) + "\n"


def sections(document: ReportData) -> Iterator[str]:
    """The parts, in order; each can stand without the next."""
    yield f"## Model comparison: {document['outcome']}"
    yield f"**{document['sentence'][:1].upper()}{document['sentence'][1:]}.**"
    yield from faults(document)
    yield from gates(document)
    if document["models"]:
        yield scoreboard(document["models"])
    yield from budgets(document)
    yield from commands(document)
    cases = [case for one in document["tables"] for row in one["rows"] for case in row["cases"] if case]
    for verdict in (one for one in WORST_FIRST if one.severity >= Verdict.MISSING.severity):
        yield from in_full(verdict, [case for case in cases if case["verdict"] == verdict and not case["accepted"]])
    yield from near_ties([case for case in cases if case["verdict"] == Verdict.NEAR_TIE])
    yield from shifts([case for case in cases if case["verdict"] == Verdict.SHIFTED and not case["accepted"]])
    for one in document["tables"]:
        yield from side_by_side(one)
    yield from pairs(document["pairs"])
    yield from notes(document)


def faults(document: ReportData) -> Iterator[str]:
    """Why the run failed. A report that an earlier version saved doesn't say."""
    if reasons := document.get("faults"):
        yield "Why the run failed:"
        yield block(line for reason in reasons for line in reason.splitlines())


def gates(document: ReportData) -> Iterator[str]:
    """The thresholds with the values of their metrics, failed ones first."""
    if found := sorted(document.get("gates", ()), key=lambda gate: bool(gate["passed"])):
        yield f"### {count(len(found), 'threshold')}, {sum(not gate['passed'] for gate in found):,} failed"
        heads = ["", "metric", "value", "wanted", "table", "model", "cases"]
        yield table(heads, [gate_cells(gate) for gate in found])


def gate_cells(gate: ReportData) -> list[str]:
    """A line on a threshold."""
    cases = f"{gate['cases']:,}" + (f" of {gate['total']:,}" if gate["cases"] != gate["total"] else "")
    names = [code(gate["table"]), code(gate["model"])]
    result = OK if gate["passed"] else f"**{FAILED}**"
    return [result, code(gate["metric"]), code(gate["shown"]), code(gate["wanted"]), *names, cases]


def scoreboard(models: list[ReportData]) -> str:
    """A line per model; columns without a number in them are left out."""
    columns = {
        "cases": [f"{line['cases']:,}" for line in models],
        **{verdict.look.label: [numbered(line["verdicts"].get(verdict)) for line in models] for verdict in WORST_FIRST},
        "not compared": [numbered(line["not_compared"]) for line in models],
        "accepted": [numbered(line["accepted"]) for line in models],
        "drift rate": ["" if line["drift_rate"] is None else percent(line["drift_rate"]) for line in models],
        "tokens": [numbered(line["tokens"]) for line in models],
        "time": [duration(line["seconds"]) if line["seconds"] else "" for line in models],
    }
    kept = {heading: cells for heading, cells in columns.items() if any(cells)}
    rows = [[code(line["model"]), *(cells[at] for cells in kept.values())] for at, line in enumerate(models)]
    return table(["model", *kept], rows, numbers=True)


def numbered(value: int | None) -> str:
    """A number, or nothing for none."""
    return f"{value:,}" if value else ""


def budgets(document: ReportData) -> Iterator[str]:
    """Each model against the drift budget."""
    for check in document["budgets"]:
        rate = rate_of(check["drifted"])
        told = budget_sentence(rate, check["percent"], over=check["failed"])
        yield f"{code(check['model'])}: {told}." if rate.total else f"{told[:1].upper()}{told[1:]}."


def commands(document: ReportData) -> Iterator[str]:
    """How to go on, where there is something to accept."""
    if document["accept"]:
        yield "To accept all of today's outputs as baselines:"
        yield block([document["accept"]])


def in_full(verdict: Verdict, cases: list[ReportData]) -> Iterator[str]:
    """Cases of one verdict, each with the message of its failure."""
    if cases:
        yield f"### {verdict.look.sign} {len(cases):,} {verdict.look.label}"
    for case in cases:
        lines = failure_lines(case_result(case), case["accept"])
        yield f"**{code(case['name'])}**\n\n{block(lines)}"


def near_ties(cases: list[ReportData]) -> Iterator[str]:
    """Near ties, a line each."""
    if cases:
        rows = []
        for case in cases:
            judged = case["judgement"]
            at = "" if judged["position"] is None else f"{judged['unit']} {judged['position'] + 1}/{judged['length']}"
            change = f"{token(judged['baseline_token'])} → {token(judged['candidate_token'])}"
            rows.append([code(case["name"]), at, change, number(judged["margin"]), number(judged["tolerance"])])
        yield f"### {Verdict.NEAR_TIE.look.sign} {count(len(cases), 'near tie')}"
        yield table(["case", "at", "change", "margin (nats)", "tie up to"], rows)


def shifts(cases: list[ReportData]) -> Iterator[str]:
    """Silent drift, a line each."""
    if cases:
        moved = [(case, case["judgement"]["likelihood"] or {}) for case in cases]
        rows = [[code(case["name"]), *(number(by.get(key)) for key in ("rms", "worst", "band"))] for case, by in moved]
        yield f"### {Verdict.SHIFTED.look.sign} {len(cases):,} shifted"
        yield "The outputs are unchanged; how likely the model finds them is not."
        yield table(["case", "drift (nats per token)", "worst token", "noise up to"], rows)


def side_by_side(one: ReportData) -> Iterator[str]:
    """The rows of a table in which models differ, from each other or from their baselines."""
    rows = [row for row in one["rows"] if row["differs"]]
    if not rows or len(one["models"]) < 2:
        return
    yield f"### Side by side: {code(one['table'])}"
    cells = [[code(row_name(row)), *map(cell, row["cases"])] for row in rows[:MOST_ROWS]]
    yield table(["prompt", *map(code, one["models"])], cells)
    if len(rows) > MOST_ROWS:
        yield f"And {len(rows) - MOST_ROWS:,} more prompts with a difference."


def row_name(row: ReportData) -> str:
    """Prompt id and variant."""
    return f"{row['prompt_id']}@{row['variant']}" if row["variant"] else str(row["prompt_id"])


def cell(case: ReportData | None) -> str:
    """What a model said, with the sign of its verdict."""
    if case is None:
        return ""
    said = case["candidate"]
    text = "(no output)" if said is None else code(cut(said["text"].strip()[: 4 * CELL], CELL)) or "(no text)"
    verdict = None if case["verdict"] is None else Verdict(case["verdict"])
    return f"{look_of(verdict, accepted=case['accepted']).sign} {text}".strip()


def token(text: str) -> str:
    """A token as code."""
    return code(cut(text, TOKEN)) or "(end)"


def pairs(found: list[ReportData]) -> Iterator[str]:
    """Models against each other."""
    if found:
        yield "### Models against each other"
        yield table(["models", "same text", "alike", "better on targets"], [pair(one) for one in found])


def pair(one: ReportData) -> list[str]:
    """A line on two models."""
    agreement, targets = one["agreement"], one["targets"]
    names = {"better": code(one["second"]), "worse": code(one["first"])}
    better = ""
    if targets is not None:
        better = f"{names.get(targets['finding'], targets['finding'])} (McNemar p {targets['p_value']:.3f})"
    said = f"{agreement['count']:,} of {agreement['total']:,}"
    both = f"{code(one['first'])} / {code(one['second'])}"
    return [both, said, share(agreement["count"], agreement["total"]), better]


def notes(document: ReportData) -> Iterator[str]:
    """Notes, and baselines that no row needs."""
    if document["obsolete"]:
        gone = document["obsolete"]
        yield f"### {count(len(gone), 'obsolete baseline')}"
        yield "\n".join(f"- {code('/'.join((one['table'], one['model'], row_name(one))))}" for one in gone)
    if told := [note for note in document["notes"] if note not in document.get("faults", ())]:
        yield "### Notes"
        yield block(line for note in told for line in note.splitlines())
