"""The history of a table for the terminal: a curve per metric and a line per commit. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from pytest_llmcompare.comparison.history import BLOCKS, UNKNOWN, Commit, ModelHistory, sparkline
from pytest_llmcompare.judgement import Finding
from pytest_llmcompare.text import count, pad, width

from .style import Page, Styled
from .terminal_table import numbers_table

RATES = ("_rate", "exact_match")
"""Ends of the names of metrics that are shares."""

MARKUPS = {Finding.CHANGED.value: {"yellow": True}}
COMMIT = 9  # characters of a commit


def history_lines(models: Sequence[ModelHistory], metrics: Sequence[str], page: Page) -> Iterator[Styled]:
    """Draw the history of a table.

    Args:
        models: Its models.
        metrics: What to show of them.
        page: Width and encoding of the terminal.
    """
    folders = {model.folder for model in models}
    for at, model in enumerate(models):
        if at:
            yield page.line("")
        where = f"{model.folder}/" if len(folders) > 1 else ""
        runs = sum(commit.runs for commit in model.commits)
        times = f"{count(runs, 'run')} at {count(len(model.commits), 'commit')}"
        yield from page.wrapped(f"{page.name(where + model.model)}: {times}", bold=True)
        yield from _curves(model, metrics, page)
        yield from _table(model, metrics, page)


def _curves(model: ModelHistory, metrics: Sequence[str], page: Page) -> Iterator[Styled]:
    """Yield a sparkline per metric that has more than one value, with its first and last value."""
    if page.text(BLOCKS + UNKNOWN) != BLOCKS + UNKNOWN:
        return
    names = max(map(width, metrics), default=0)
    for metric in metrics:
        values = [value for value in model.values(metric) if value is not None]
        if len(values) > 1:
            ends = f"{shown_value(metric, values[0])} to {shown_value(metric, values[-1])}"
            room = max(page.columns - names - len(ends) - 6, 1)
            yield page.line(f"  {pad(metric, names)}  {sparkline(model.values(metric)[-room:])}  {ends}")


def _table(model: ModelHistory, metrics: Sequence[str], page: Page) -> Iterator[Styled]:
    """Yield a heading, and a line per commit."""
    runs = [commit.run for commit in model.commits]
    columns = {
        "commit": [run.commit[:COMMIT] for run in runs],
        "runs": [f"{commit.runs:,}" for commit in model.commits],
        "model": [run.finding for run in runs],
        **{metric: [shown_value(metric, run.metrics.get(metric)) for run in runs] for metric in metrics},
        "": ["failed" if run.failed else "" for run in runs],
    }
    columns = {name: cells for name, cells in columns.items() if any(cells)}
    yield from numbers_table(
        "started",
        [started(commit) for commit in model.commits],
        columns,
        page,
        give_way=("runs", *reversed(metrics[1:])),
        markups=[{"red": True} if run.failed else MARKUPS.get(run.finding, {}) for run in runs],
    )


def started(commit: Commit) -> str:
    """When the newest run of a commit started, in UTC: `2026-11-30 12:15`."""
    return datetime.fromtimestamp(commit.run.started, UTC).strftime("%Y-%m-%d %H:%M")


def shown_value(metric: str, value: float | None) -> str:
    """The value of a metric with three digits, of a share in percent; empty if it is unknown."""
    if value is None:
        return ""
    return f"{100 * value:.3g}%" if metric.endswith(RATES) else f"{value:.3g}"
