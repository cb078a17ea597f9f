"""The Markdown report for pull requests and step summaries of CI: the outcome, then the differences. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from pytest_llmcompare.judgement import WORST_FIRST, Finding, Verdict, look_of
from pytest_llmcompare.text import count, cut, disarm, duration, escape, number, percent, share

from .document import ReportData, case_result, judgement_of, rate_of
from .gates import FAILED, OK
from .messages import budget_sentence, failure_lines, short_place


def code(text: str) -> str:
    """Format text as a code span on one line."""
    shown = escape(text)
    if not shown.strip():
        return f"`{shown}`" if shown else ""
    marks = "`" * (longest(shown) + 1)
    pad = " " if shown[0] in "` " or shown[-1] in "` " else ""
    return f"{marks}{pad}{shown}{pad}{marks}"


def block(lines: Iterable[str]) -> str:
    """Format lines as a code block; each is escaped for a terminal, too, in case the file is printed there."""
    shown = [disarm(line) for line in lines]
    marks = "`" * max(3, longest("\n".join(shown)) + 1)
    return "\n".join([f"{marks}text", *shown, marks])


def longest(text: str) -> int:
    """Length of the longest run of backticks."""
    return max(map(len, re.findall("`+", text)), default=0)


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool = False) -> str:
    """Format a table of cells that are Markdown already.

    Args:
        heads: Headings.
        rows: The cells.
        numbers: Whether to align all columns but the first to the right.
    """
    rest = "---:" if numbers else "---"
    lines = [heads, ["---", *[rest] * (len(heads) - 1)], *rows]
    # Backslashes of the text itself are doubled in code spans, so that none of them undoes this one.
    escaped = ([cell.replace("|", r"\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


MOST_BYTES = 1024 * 1024
"""Size limit of GitHub for the summary of a step; a larger one is not shown at all."""

CELL, TOKEN = 60, 24  # columns of a text in a table
MOST_ROWS = 50  # of a side-by-side table
RESERVE = 200  # bytes for the line on omitted parts


def markdown_report(data: ReportData, *, most: int = MOST_BYTES) -> str:
    """Write a report as Markdown.

    Args:
        data: The report.
        most: Size limit in bytes of UTF-8; parts at the end that do not fit are left out, with a line that says so.
    """
    parts = list(sections(data))
    taken, kept = RESERVE, 0
    for part in parts:
        taken += len(part.encode("utf-8")) + 2
        if taken > most:
            break
        kept += 1
    if left_out := len(parts) - kept:
        line = f"*{count(left_out, 'more part')} of this report left out: it may have {most:,} bytes here.*"
        parts = [*parts[:kept], line]
    return "\n\n".join(parts) + "\n"


def sections(data: ReportData) -> Iterator[str]:
    """Yield the parts in order; each stands without the next."""
    yield f"## Model comparison: {data['outcome']}"
    yield f"**{data['sentence'][:1].upper()}{data['sentence'][1:]}.**"
    if texts := data.get("texts"):
        yield f"{texts}."
    yield from model_verdicts(data)
    yield from fault_lines(data)
    yield from gates(data)
    if data["models"]:
        yield models_table(data["models"])
    yield from budgets(data)
    yield from commands(data)
    cases = [case for table in data["tables"] for row in table["rows"] for case in row["cases"] if case]
    for verdict in (verdict for verdict in WORST_FIRST if verdict.severity >= Verdict.MISSING.severity):
        yield from in_full(verdict, [case for case in cases if case["verdict"] == verdict and not case["accepted"]])
    yield from near_ties([case for case in cases if case["verdict"] == Verdict.NEAR_TIE])
    yield from shifts([case for case in cases if case["verdict"] == Verdict.SHIFTED and not case["accepted"]])
    for table in data["tables"]:
        yield from side_by_side(table)
    yield from pairs(data["pairs"])
    yield from note_lines(data)


def fault_lines(data: ReportData) -> Iterator[str]:
    """Yield why the run failed; reports of earlier versions do not have it."""
    if reasons := data.get("faults"):
        yield "Why the run failed:"
        yield block(line for reason in reasons for line in reason.splitlines())


def model_verdicts(data: ReportData) -> Iterator[str]:
    """Yield whether each model changed, changed ones first; reports of earlier versions do not have it."""
    if verdicts := data.get("model_verdicts"):
        order = list(Finding)
        ordered = sorted(verdicts, key=lambda verdict: order.index(Finding(verdict["finding"])))
        yield "### Did the models change?"
        yield block(verdict["text"] for verdict in ordered)


def gates(data: ReportData) -> Iterator[str]:
    """Yield the thresholds with their values, failed ones first."""
    if ordered := sorted(data.get("gates", ()), key=lambda gate: bool(gate["passed"])):
        yield f"### {count(len(ordered), 'threshold')}, {sum(not gate['passed'] for gate in ordered):,} failed"
        heads = ["", "metric", "value", "wanted", "table", "model", "cases"]
        yield markdown_table(heads, [gate_cells(gate) for gate in ordered])


def gate_cells(gate: ReportData) -> list[str]:
    """Return the cells of a threshold."""
    cases = f"{gate['cases']:,}" + (f" of {gate['total']:,}" if gate["cases"] != gate["total"] else "")
    names = [code(gate["table"]), code(gate["model"])]
    result = OK if gate["passed"] else f"**{FAILED}**"
    return [result, code(gate["metric"]), code(gate["shown"]), code(gate["wanted"]), *names, cases]


def models_table(models: list[ReportData]) -> str:
    """Return a table with a line per model, without empty columns."""
    columns = {
        "cases": [f"{line['cases']:,}" for line in models],
        **{verdict.look.label: [numbered(line["verdicts"].get(verdict)) for line in models] for verdict in WORST_FIRST},
        "not compared": [numbered(line["not_compared"]) for line in models],
        "accepted": [numbered(line["accepted"]) for line in models],
        "drift rate": ["" if line["drift_rate"] is None else percent(line["drift_rate"]) for line in models],
        "tokens": [numbered(line["tokens"]) for line in models],
        "time": [duration(line["seconds"]) if line["seconds"] else "" for line in models],
        "level": [line["level"] for line in models],
    }
    kept = {heading: cells for heading, cells in columns.items() if any(cells)}
    rows = [[code(line["model"]), *(cells[at] for cells in kept.values())] for at, line in enumerate(models)]
    return markdown_table(["model", *kept], rows, numbers=True)


def numbered(value: int | None) -> str:
    """Format a number; empty for 0 and None."""
    return f"{value:,}" if value else ""


def budgets(data: ReportData) -> Iterator[str]:
    """Yield a sentence per model on the drift budget."""
    for check in data["budgets"]:
        rate = rate_of(check["drifted"])
        text = budget_sentence(rate, check["percent"], over=check["failed"])
        yield f"{code(check['model'])}: {text}." if rate.total else f"{text[:1].upper()}{text[1:]}."


def commands(data: ReportData) -> Iterator[str]:
    """Yield the command that accepts everything, if there is something to accept."""
    if data["accept"]:
        yield "To accept all of today's outputs as baselines:"
        yield block([data["accept"]])


def in_full(verdict: Verdict, cases: list[ReportData]) -> Iterator[str]:
    """Yield the cases of one verdict, each with its failure message."""
    if cases:
        yield f"### {verdict.look.sign} {len(cases):,} {verdict.look.label}"
    for case in cases:
        lines = failure_lines(case_result(case), case["accept"])
        yield f"**{code(case['name'])}**\n\n{block(lines)}"


def near_ties(cases: list[ReportData]) -> Iterator[str]:
    """Yield a table of near ties."""
    if cases:
        rows = []
        for case in cases:
            judged = case["judgement"]
            at = short_place(judgement_of(judged)).strip().removeprefix("@")
            change = f"{token(judged['baseline_token'])} → {token(judged['candidate_token'])}"
            rows.append([code(case["name"]), at, change, number(judged["margin"]), number(judged["tolerance"])])
        yield f"### {Verdict.NEAR_TIE.look.sign} {count(len(cases), 'near tie')}"
        yield markdown_table(["case", "at", "change", "margin (nats)", "tie up to"], rows)


def shifts(cases: list[ReportData]) -> Iterator[str]:
    """Yield a table of cases with silent drift."""
    if cases:
        moved = [(case, case["judgement"]["likelihood"] or {}) for case in cases]
        rows = [[code(case["name"]), *(number(by.get(key)) for key in ("rms", "worst", "band"))] for case, by in moved]
        yield f"### {Verdict.SHIFTED.look.sign} {len(cases):,} shifted"
        yield "The outputs are unchanged, but their log-probs moved."
        yield markdown_table(["case", "drift (nats per token)", "worst token", "noise up to"], rows)


def side_by_side(one: ReportData) -> Iterator[str]:
    """Yield the rows of a table in which models differ from each other or from their baselines."""
    rows = [row for row in one["rows"] if row["differs"]]
    if not rows or len(one["models"]) < 2:
        return
    yield f"### Side by side: {code(one['table'])}"
    cells = [[code(row_name(row)), *map(cell, row["cases"])] for row in rows[:MOST_ROWS]]
    yield markdown_table(["prompt", *map(code, one["models"])], cells)
    if len(rows) > MOST_ROWS:
        yield f"And {len(rows) - MOST_ROWS:,} more prompts with a difference."


def row_name(row: ReportData) -> str:
    """Name of a row: prompt id and variant."""
    return f"{row['prompt_id']}@{row['variant']}" if row["variant"] else str(row["prompt_id"])


def cell(case: ReportData | None) -> str:
    """Return an output with the sign of its verdict."""
    if case is None:
        return ""
    output = case["candidate"]
    text = "(no output)" if output is None else code(cut(output["text"].strip()[: 4 * CELL], CELL)) or "(no text)"
    verdict = None if case["verdict"] is None else Verdict(case["verdict"])
    return f"{look_of(verdict, accepted=case['accepted']).sign} {text}".strip()


def token(text: str) -> str:
    """Format a token as code."""
    return code(cut(text, TOKEN)) or "(end)"


def pairs(data: list[ReportData]) -> Iterator[str]:
    """Yield a table of pairs of models."""
    if data:
        yield "### Models against each other"
        yield markdown_table(["models", "same text", "alike", "better on targets"], [pair_cells(pair) for pair in data])


def pair_cells(one: ReportData) -> list[str]:
    """Return the cells of a pair of models."""
    agreement, targets = one["agreement"], one["targets"]
    names = {"better": code(one["second"]), "worse": code(one["first"])}
    better = ""
    if targets is not None:
        better = f"{names.get(targets['finding'], targets['finding'])} (McNemar p {targets['p_value']:.3f})"
    same = f"{agreement['count']:,} of {agreement['total']:,}"
    both = f"{code(one['first'])} / {code(one['second'])}"
    return [both, same, share(agreement["count"], agreement["total"]), better]


def note_lines(data: ReportData) -> Iterator[str]:
    """Yield obsolete baselines and notes."""
    if data["obsolete"]:
        gone = data["obsolete"]
        yield f"### {count(len(gone), 'obsolete baseline')}"
        yield "\n".join(f"- {code('/'.join((case['table'], case['model'], row_name(case))))}" for case in gone)
    if further := [note for note in data["notes"] if note not in data.get("faults", ())]:
        yield "### Notes"
        yield block(line for note in further for line in note.splitlines())
