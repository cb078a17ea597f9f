"""A line per model: how many cases, which verdicts, how fast. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pytest_llmcompare.comparison.summary import ModelLine
from pytest_llmcompare.judgement import Verdict
from pytest_llmcompare.text import duration, pad, rate, share, width

from .style import Page, Styled, markup_of

HEADING = "model"
LEAST_NAME = 16  # columns of a model's name; columns of less weight give way to it
GAP = "  "

ALWAYS = (Verdict.IDENTICAL, Verdict.DRIFTED)
"""Verdicts that have a column even if no model has such a case."""
GIVE_WAY = ("tokens", "time", "tok/s", "drift rate", "cases")
"""Columns that are left out on a narrow terminal, the first one first."""


def scoreboard_lines(lines: Sequence[ModelLine], page: Page) -> Iterator[Styled]:
    """A heading and a line per model."""
    if not lines:
        return
    wanted = max(width(page.text(text)) for text in (HEADING, *(line.model for line in lines)))
    columns = columns_of(lines)
    for heading in GIVE_WAY:
        if page.columns - taken(columns) < min(wanted, LEAST_NAME):
            columns.pop(heading, None)
    names = min(wanted, max(page.columns - taken(columns), 1))
    heads = {heading: heading for heading in columns}
    yield page.line(joined(page.name(HEADING, names), names, columns, heads), bold=True)
    for at, line in enumerate(lines):
        cells = {heading: column[at] for heading, column in columns.items()}
        yield page.line(joined(page.name(line.model, names), names, columns, cells), **markup_of(list(line.counts)))


def joined(name: str, names: int, columns: Mapping[str, Sequence[str]], cells: Mapping[str, str]) -> str:
    """One line: the name to the left, numbers to the right of their columns."""
    return pad(name, names) + "".join(GAP + cells[head].rjust(span(head, columns[head])) for head in columns)


def span(heading: str, column: Sequence[str]) -> int:
    """Width of a column."""
    return max(map(len, (heading, *column)))


def taken(columns: Mapping[str, Sequence[str]]) -> int:
    """Width of all columns but the name's."""
    return sum(len(GAP) + span(heading, column) for heading, column in columns.items())


def columns_of(lines: Sequence[ModelLine]) -> dict[str, list[str]]:
    """Cells by heading; columns in which no model has anything to say are left out."""
    shown = [verdict for verdict in Verdict if verdict in ALWAYS or any(line.counts.get(verdict) for line in lines)]
    columns = {"cases": [f"{line.cases:,}" for line in lines]}
    columns |= {verdict.look.label: [f"{line.counts.get(verdict, 0):,}" for line in lines] for verdict in shown}
    columns["accepted"] = [f"{line.accepted:,}" if line.accepted else "" for line in lines]
    columns["not compared"] = [f"{line.counts[None]:,}" if line.counts.get(None) else "" for line in lines]
    columns["drift rate"] = [share(line.counts.get(Verdict.DRIFTED, 0), line.comparable) for line in lines]
    columns["tokens"] = [f"{line.tokens:,}" if line.tokens else "" for line in lines]
    columns["time"] = [duration(line.seconds) if line.seconds else "" for line in lines]
    columns["tok/s"] = [rate(line.tokens, line.seconds) for line in lines]
    return {heading: cells for heading, cells in columns.items() if any(cells)}
