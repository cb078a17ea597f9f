"""The Markdown report for pull requests and step summaries of CI: the verdicts, then the differences. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_llmcompare.judgement import WORST_FIRST, AssertionResult, Finding, Likelihood, Verdict, look_of
from pytest_llmcompare.text import count, cut, duration, number, percent, share

from .assertion_lines import assertion_lines, broken
from .markdown_cases import in_full, row_name
from .markdown_text import block, code, markdown_table
from .messages import budget_sentence, read_the_same, short_place
from .report_data import ReportData
from .restored_records import judgement_of, rate_of
from .threshold_lines import FAILED, OK

NOTHING_MOVED = Likelihood(0.0, 0.0, 0.0, 0, 0.0)

MOST_BYTES = 1024 * 1024
"""Size limit of GitHub for the summary of a step; a larger one is not shown at all."""

COMMENT = 65_536 - 4_096
"""Characters that a report in a file may have: GitHub's limit for a comment, less room for the text around it."""

CELL, TOKEN = 60, 24  # columns of a text in a table
MOST_ROWS = 50  # of a side-by-side table
MOST_LINES = 200  # of failed assertions
RESERVE = 200  # bytes for the line on omitted parts


def markdown_file(data: ReportData) -> str:
    """Write a report as a Markdown file, short enough for a comment on a pull request."""
    return markdown_report(data, most=COMMENT, unit="characters")


def markdown_report(data: ReportData, *, most: int = MOST_BYTES, unit: str = "bytes") -> str:
    """Write a report as Markdown.

    Args:
        data: The report.
        most: Size limit; parts at the end that do not fit are left out, with a line that says so.
        unit: What it counts: `bytes` of UTF-8, or `characters`.
    """
    parts = list(sections(data))
    taken, kept = RESERVE, 0
    for part in parts:
        taken += len(part.encode("utf-8") if unit == "bytes" else part) + 2
        if taken > most:
            break
        kept += 1
    if left_out := len(parts) - kept:
        line = f"*{count(left_out, 'more part')} of this report left out: it may have {most:,} {unit} here.*"
        parts = [*parts[:kept], line]
    return "\n\n".join(parts) + "\n"


def sections(data: ReportData) -> Iterator[str]:
    """Yield the parts in order; each can be read without the next."""
    yield f"## Model comparison: {data['outcome']}"
    yield f"**{data['sentence'][:1].upper()}{data['sentence'][1:]}.**"
    if texts := [f"{data[key]}." for key in ("texts", "assertions") if data.get(key)]:
        yield " ".join(texts)
    yield from model_verdicts(data)
    yield from gates(data)
    yield from fault_lines(data)
    yield from budgets(data)
    yield from commands(data)
    if data["models"]:
        yield models_table(data["models"])
    for verdict in (verdict for verdict in WORST_FIRST if verdict.severity >= Verdict.MISSING.severity):
        yield from in_full(verdict, data)
    cases = [case for table in data["tables"] for row in table["rows"] for case in row["cases"] if case]
    yield from broken_assertions(cases)
    yield from near_ties([case for case in cases if case["verdict"] == Verdict.NEAR_TIE])
    yield from shifts([case for case in cases if case["verdict"] == Verdict.SHIFTED and not case["accepted"]])
    for table in data["tables"]:
        yield from side_by_side(table)
    yield from pairs(data["pairs"])
    yield from note_lines(data)
    yield from mlflow_addresses(data)


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
        yield markdown_table(heads, [threshold_cells(gate) for gate in ordered])


def threshold_cells(gate: ReportData) -> list[str]:
    """Return the cells of a threshold."""
    cases = f"{gate['cases']:,}" + (f" of {gate['total']:,}" if gate["cases"] != gate["total"] else "")
    names = [code(gate["table"]), code(gate["model"])]
    result = OK if gate["passed"] else f"**{FAILED}**"
    return [result, code(gate["metric"]), code(gate["shown"]), code(gate["wanted"]), *names, cases]


def passed_of(expect: ReportData | None) -> str:
    """How many outputs pass their assertions: `22 of 30`; empty for none."""
    return f"{expect['passed']:,} of {expect['cases']:,}" if expect else ""


def models_table(models: list[ReportData]) -> str:
    """Return a table with a line per model, without empty columns."""
    columns = {
        "cases": [f"{line['cases']:,}" for line in models],
        **{verdict.look.label: [numbered(line["verdicts"].get(verdict)) for line in models] for verdict in WORST_FIRST},
        "not compared": [numbered(line["not_compared"]) for line in models],
        "accepted": [numbered(line["accepted"]) for line in models],
        "drift rate": ["" if line["drift_rate"] is None else percent(line["drift_rate"]) for line in models],
        "expect": [passed_of(line.get("expect")) for line in models],
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
        yield f"Accept all of today's outputs as baselines{of(data)}:"
        yield block([data["accept"]])


def of(data: ReportData) -> str:
    """How many outputs there are to accept: `, 3 (1 drifted, 2 shifted)`; reports of earlier versions do not say it."""
    return f", {data['accept_counts']}" if data.get("accept_counts") else ""


def broken_assertions(cases: list[ReportData]) -> Iterator[str]:
    """Yield the assertions that do not hold, below the names of their cases."""
    lines, outputs = list[str](), 0
    for case in cases:
        results = [AssertionResult(**result) for result in case.get("assertions", ())]
        if broken(results):
            outputs += 1
            lines += [case["name"], *assertion_lines(results)]
    if outputs:
        yield f"### {count(outputs, 'output')} with failed assertions"
        yield block([*lines[:MOST_LINES], *(["..."] if len(lines) > MOST_LINES else [])])


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


def mlflow_addresses(data: ReportData) -> Iterator[str]:
    """Yield where MLflow has the runs, if a server shows them; reports of earlier versions do not have it."""
    served = [place["address"] for place in data.get("mlflow", ()) if not place["command"]]
    if served:
        yield "The runs in MLflow: " + ", ".join(map(code, served))


def shifts(cases: list[ReportData]) -> Iterator[str]:
    """Yield a table of cases with silent drift."""
    if cases:
        most = max(
            (judgement_of(case["judgement"]).likelihood or NOTHING_MOVED for case in cases), key=lambda moved: moved.rms
        )
        moved = [(case, case["judgement"]["likelihood"] or {}) for case in cases]
        rows = [[code(case["name"]), *(number(by.get(key)) for key in ("rms", "worst", "band"))] for case, by in moved]
        yield f"### {Verdict.SHIFTED.look.sign} {len(cases):,} shifted"
        yield f"{read_the_same(len(cases), most)}."
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
