"""The grid of a comparison as HTML for notebooks: static, without script, every text of a model escaped. Pure."""

from __future__ import annotations

import html
from collections.abc import Sequence

from pytest_llmcompare.comparison.summary import Cell, Summary, Table, TableRow
from pytest_llmcompare.judgement import ThresholdResult
from pytest_llmcompare.text import count, disarm, number

from .text_diff import Range, word_changes

MOST_ROWS = 100
"""Rows that are shown; a notebook keeps its output in its file."""

CELL = "text-align:left;vertical-align:top;white-space:pre-wrap;overflow-wrap:anywhere;max-width:32em"
ADDED = "text-decoration:underline;font-weight:bold"
MUTED = "opacity:.7;font-size:90%"


def grid_html(summary: Summary, gates: Sequence[tuple[str, ThresholdResult]] = ()) -> str:
    """The prompts with the texts of all models side by side; words that differ from the baseline are underlined.

    Args:
        summary: The comparison.
        gates: Thresholds with the names of their models.
    """
    parts = [_table(table) for table in summary.tables]
    lines = [*(_gate_line(model, gate) for model, gate in gates), *summary.notes]
    parts += [f'<p style="{MUTED}">{_text(line)}</p>' for line in lines]
    return f"<div>{''.join(parts)}</div>"


def _table(table: Table) -> str:
    """One prompt table."""
    heads = "".join(f'<th scope="col" style="{CELL}">{_text(name)}</th>' for name in ("", *table.models))
    rows = "".join(map(_row, table.rows[:MOST_ROWS]))
    left = len(table.rows) - MOST_ROWS
    more = f'<p style="{MUTED}">{count(left, "more row")}: see the frame `outputs`.</p>' if left > 0 else ""
    caption = f"<caption>{_text(table.name)}</caption>"
    return f"<table>{caption}<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>{more}"


def _row(row: TableRow) -> str:
    """The prompt, and the text of each model."""
    name = f'<div style="{MUTED}">{_text(str(row.row))}</div>'
    cells = "".join(f'<td style="{CELL}">{_cell(cell)}</td>' for cell in row.cells)
    return f'<tr><th scope="row" style="{CELL};font-weight:normal">{name}{_text(row.input)}</th>{cells}</tr>'


def _cell(cell: Cell | None) -> str:
    """A text with its verdict, its target and the assertions that do not hold."""
    if cell is None:
        return ""
    result, lines = cell.result, list[str]()
    if cell.verdict is not None:
        lines.append(f"{cell.verdict.look.sign} {cell.verdict.look.label}".strip())
    if result.target is not None and cell.text is not None:
        on_target = cell.text.strip() == result.target.strip()
        lines.append("on target" if on_target else f"target: {result.target}")
    lines += [f"expect failed: {one.text}" for one in result.assertions if not one.passed]
    if cell.text is None and result.judgement is not None:
        lines.append(result.judgement.reason)
    shown = "".join(f'<div style="{MUTED}">{_text(line)}</div>' for line in lines)
    return f"{_changed(result.baseline_text, cell.text or '')}{shown}"


def _changed(baseline: str | None, text: str) -> str:
    """A text in which the words that the baseline lacks are underlined."""
    ranges: list[Range] = [] if baseline is None or baseline == text else word_changes(baseline, text)[1]
    parts, at = list[str](), 0
    for start, end in ranges:
        parts += [_text(text[at:start]), f'<ins style="{ADDED}">{_text(text[start:end])}</ins>']
        at = end
    return "".join([*parts, _text(text[at:])])


def _gate_line(model: str, gate: ThresholdResult) -> str:
    """A threshold, as a sentence."""
    value = "no value" if gate.value is None else number(gate.value)
    return f"{'ok' if gate.passed else 'FAILED'}: {model}: {gate.metric} is {value}, wanted {gate.wanted}"


def _text(text: str) -> str:
    """A text that acts in no page: markup is escaped, and so are characters that are not seen."""
    return html.escape("\n".join(map(disarm, text.split("\n"))), quote=True)
