"""The tables of models in a terminal report: a line per model, and a line per pair of models. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_llmcompare.comparison.model_pairs import Answer, Pair, pairs_of
from pytest_llmcompare.comparison.statistics import PairedFinding
from pytest_llmcompare.comparison.summary import ModelLine, Table
from pytest_llmcompare.judgement import Verdict
from pytest_llmcompare.records import RowKey
from pytest_llmcompare.text import duration, per_second, percent, share

from .style import Page, Styled, markup_of
from .terminal_table import numbers_table

MODEL_HEADING, PAIR_HEADING, PAIR = "model", "two models", " / "
MOST_PAIRS = 10

ALWAYS = (Verdict.IDENTICAL, Verdict.DRIFTED)
"""Verdicts that have a column even if no model has such a case."""

MODEL_GIVE_WAY = ("tokens", "time", "tok/s", "drift rate", "cases", "level", "expect")
PAIR_GIVE_WAY = ("95% interval", "McNemar p", "alike")
"""Columns left out on a narrow terminal, one after the other."""


def model_table_lines(lines: Sequence[ModelLine], page: Page) -> Iterator[Styled]:
    """Yield a heading and a line per model."""
    if lines:
        names = [page.name(line.model) for line in lines]
        markups = [markup_of(line.counts) for line in lines]
        yield from numbers_table(
            MODEL_HEADING, names, model_columns(lines), page, give_way=MODEL_GIVE_WAY, markups=markups
        )


def model_columns(lines: Sequence[ModelLine]) -> dict[str, list[str]]:
    """Return cells by heading, without empty columns."""
    shown = [verdict for verdict in Verdict if verdict in ALWAYS or any(line.counts.get(verdict) for line in lines)]
    columns = {"cases": [f"{line.cases:,}" for line in lines]}
    columns |= {verdict.look.label: [f"{line.counts.get(verdict, 0):,}" for line in lines] for verdict in shown}
    columns["accepted"] = [f"{line.accepted:,}" if line.accepted else "" for line in lines]
    columns["not compared"] = [f"{line.counts[None]:,}" if line.counts.get(None) else "" for line in lines]
    columns["drift rate"] = [share(line.counts.get(Verdict.DRIFTED, 0), line.comparable) for line in lines]
    columns["expect"] = [f"{line.holding:,} of {line.asserted:,}" if line.asserted else "" for line in lines]
    columns["tokens"] = [f"{line.tokens:,}" if line.tokens else "" for line in lines]
    columns["time"] = [duration(line.seconds) if line.seconds else "" for line in lines]
    columns["level"] = [line.level for line in lines]
    columns["tok/s"] = [per_second(line.tokens, line.seconds) for line in lines]
    return {heading: cells for heading, cells in columns.items() if any(cells)}


def pairs_in(tables: Sequence[Table]) -> tuple[Pair, ...]:
    """Compare the models over all tables, each pair on the rows that both have."""
    answers: dict[str, dict[tuple[str, str, RowKey], Answer]] = {}
    for table in tables:
        for row in table.rows:
            for model, cell in zip(table.models, row.cells, strict=True):
                if cell is not None:
                    result = cell.result
                    answer = Answer.of(result.generation, result.target, result.stop_strings)
                    answers.setdefault(model, {})[table.folder, table.name, row.row] = answer
    return pairs_of(answers)


def pair_lines(tables: Sequence[Table], page: Page, *, every: bool) -> Iterator[Styled]:
    """Yield a heading and a line per pair.

    Args:
        tables: The tables of the run.
        page: Width and encoding of the terminal.
        every: Whether to show all pairs.
    """
    pairs = pairs_in(tables)
    shown = pairs if every else pairs[:MOST_PAIRS]
    if not shown:
        return
    names = [f"{page.name(pair.first)}{PAIR}{page.name(pair.second)}" for pair in shown]
    markups = [dict[str, bool]()] * len(shown)
    yield from numbers_table(PAIR_HEADING, names, pair_columns(shown), page, give_way=PAIR_GIVE_WAY, markups=markups)
    if len(pairs) > len(shown):
        yield page.line(f"and {len(pairs) - len(shown):,} more pairs (-v shows all)")


def pair_columns(pairs: Sequence[Pair]) -> dict[str, list[str]]:
    """Return cells by heading; columns on targets are left out if no row has one."""
    rates = [pair.agreement for pair in pairs]
    columns = {
        "same text": [f"{rate.count:,} of {rate.total:,}" for rate in rates],
        "alike": [share(rate.count, rate.total) for rate in rates],
        "95% interval": [f"{percent(rate.interval.low)} to {percent(rate.interval.high)}" for rate in rates],
    }
    if any(pair.targets for pair in pairs):
        columns |= {
            "on target": [on_target(pair) for pair in pairs],
            "McNemar p": [f"{pair.targets.p_value:.3f}" if pair.targets else "" for pair in pairs],
            "better": [better(pair) for pair in pairs],
        }
    return columns


def on_target(pair: Pair) -> str:
    """Matches of both with the targets: `3 / 2 of 5`."""
    if not pair.targets:
        return ""
    both = pair.targets.both
    return f"{both + pair.targets.first_only:,} / {both + pair.targets.second_only:,} of {pair.targets.total:,}"


def better(pair: Pair) -> str:
    """Return which of them is better: `first`, `second`, or why neither is."""
    if not pair.targets:
        return ""
    names = {PairedFinding.BETTER: "second", PairedFinding.WORSE: "first"}
    return names.get(pair.targets.finding, str(pair.targets.finding))
