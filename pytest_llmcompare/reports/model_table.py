"""The table of models in a terminal report: cases, verdicts, speed. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from pytest_llmcompare.comparison.summary import ModelLine
from pytest_llmcompare.judgement import Verdict
from pytest_llmcompare.text import duration, per_second, share

from .style import Page, Styled, markup_of
from .terminal_table import numbers_table

HEADING = "model"
LEAST_NAME = 16  # columns of a model's name, if it is that long

ALWAYS = (Verdict.IDENTICAL, Verdict.DRIFTED)
"""Verdicts that have a column even if no model has such a case."""

GIVE_WAY = ("tokens", "time", "tok/s", "drift rate", "cases")
"""Columns left out on a narrow terminal, one after the other."""


def model_table_lines(lines: Sequence[ModelLine], page: Page) -> Iterator[Styled]:
    """Yield a heading and a line per model."""
    if lines:
        names = [partial(page.name, line.model) for line in lines]
        markups = [markup_of(line.counts) for line in lines]
        yield from numbers_table(
            HEADING, names, model_columns(lines), page, give_way=GIVE_WAY, least=LEAST_NAME, markups=markups
        )


def model_columns(lines: Sequence[ModelLine]) -> dict[str, list[str]]:
    """Return cells by heading, without empty columns."""
    shown = [verdict for verdict in Verdict if verdict in ALWAYS or any(line.counts.get(verdict) for line in lines)]
    columns = {"cases": [f"{line.cases:,}" for line in lines]}
    columns |= {verdict.look.label: [f"{line.counts.get(verdict, 0):,}" for line in lines] for verdict in shown}
    columns["accepted"] = [f"{line.accepted:,}" if line.accepted else "" for line in lines]
    columns["not compared"] = [f"{line.counts[None]:,}" if line.counts.get(None) else "" for line in lines]
    columns["drift rate"] = [share(line.counts.get(Verdict.DRIFTED, 0), line.comparable) for line in lines]
    columns["tokens"] = [f"{line.tokens:,}" if line.tokens else "" for line in lines]
    columns["time"] = [duration(line.seconds) if line.seconds else "" for line in lines]
    columns["tok/s"] = [per_second(line.tokens, line.seconds) for line in lines]
    return {heading: cells for heading, cells in columns.items() if any(cells)}
