"""Cases in a Markdown report: folded away, with the prompt and both texts as a `diff`. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_llmcompare.judgement import Verdict
from pytest_llmcompare.text import count, escape

from .markdown_text import block, code, folded, html_code
from .messages import evidence, headline, reason_lines
from .report_data import ReportData
from .restored_records import case_result, judgement_of
from .text_diff import BASELINE, CANDIDATE, difference, single

MOST_OPEN = 3  # cases that are open at first
MOST_NAMED = 20  # cases named of a group with equal texts
PROMPT_LINES, PROMPT_CHARACTERS = 20, 1500  # of a prompt shown

SIGNS = {BASELINE: "- ", CANDIDATE: "+ "}
"""Signs of a `diff` in place of the labels; all other lines are of both texts."""


def in_full(verdict: Verdict, data: ReportData) -> Iterator[str]:
    """Yield the cases of one verdict; those of a model with equal texts are one part."""
    groups: dict[tuple[object, ...], list[tuple[ReportData, ReportData]]] = {}
    total = 0
    for table in data["tables"]:
        for row in table["rows"]:
            for case in row["cases"]:
                if case and case["verdict"] == verdict and not case["accepted"]:
                    groups.setdefault(_texts_of(case), []).append((row, case))
                    total += 1
    if total:
        yield f"### {verdict.look.sign} {total:,} {verdict.look.label}"
    for at, cases in enumerate(groups.values()):
        yield _one_part(cases, is_open=at < MOST_OPEN)


def _texts_of(case: ReportData) -> tuple[object, ...]:
    """Key of a group: model and both texts; a case without two texts is alone."""
    if case["baseline"] is None or case["candidate"] is None:
        return (case["name"],)
    return case["model"], case["baseline"], case["candidate"]["text"]


def _one_part(cases: list[tuple[ReportData, ReportData]], *, is_open: bool) -> str:
    """One case in full, with the names of further ones that have the same texts."""
    (row, case), *others = cases
    more = f", and {count(len(others), 'more case')} with equal texts" if others else ""
    parts = []
    if others:
        names = ", ".join(code(other["name"]) for _, other in others[:MOST_NAMED])
        parts.append(
            f"Also: {names}" + (f", and {len(others) - MOST_NAMED:,} more" if len(others) > MOST_NAMED else "")
        )
    parts += ["Prompt:", block(_prompt(row["input"])), *_texts(case)]
    if case["accept"]:
        parts.append("Accept" + (" the first of them" if others else "") + f": {code(case['accept'])}")
    return folded(f"{html_code(case['name'])}{more}", parts, is_open=is_open)


def _prompt(text: str) -> list[str]:
    """A prompt as lines, cut if it is long."""
    lines = escape_lines(text[:PROMPT_CHARACTERS])[:PROMPT_LINES]
    left_out = len(text) - len("\n".join(text[:PROMPT_CHARACTERS].split("\n")[:PROMPT_LINES]))
    return [*lines, f"… {count(left_out, 'more character')}"] if left_out > 0 else lines


def escape_lines(text: str) -> list[str]:
    """The lines of a text of a model, escaped."""
    return [escape(line) for line in text.split("\n")]


def _texts(case: ReportData) -> list[str]:
    """Evidence and both texts of a case; why there are not two, if there are not."""
    result = case_result(case)
    if case["judgement"] is None or result.generation is None:
        return [block(reason_lines(result))]
    judged = judgement_of(case["judgement"])
    if result.baseline_text is None:
        lines = single(CANDIDATE, result.generation.text)
    else:
        lines = difference(result.baseline_text, result.generation.text)
    signed = [
        next((sign for label, sign in SIGNS.items() if line.startswith(label)), "  ") + line[13:] for line in lines
    ]
    first = judged.verdict is not Verdict.DRIFTED or judged.position is None  # the headline has the reason's first line
    reasons = judged.reason.strip().splitlines()[1 if first else 0 :]
    lines = [headline(judged), *evidence(judged), *reasons]
    return [block(line.strip() for line in lines), block(signed, "diff")]


def row_name(row: ReportData) -> str:
    """Name of a row: prompt id and variant."""
    return f"{row['prompt_id']}@{row['variant']}" if row["variant"] else str(row["prompt_id"])
