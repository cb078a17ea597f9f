"""The terminal report at the end of a run: side-by-side tables, a line per model, commands to go on. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator

from pytest_llmcompare.comparison.summary import Summary, Table
from pytest_llmcompare.judgement import ACCEPTED, Verdict
from pytest_llmcompare.text import count, disarm, encodable, width

from .assertion_lines import assertion_count
from .messages import open_counts
from .mlflow_pages import page_address, ui_command
from .model_sentences import cached_answers, verdict_lines
from .model_table import model_table_lines, pair_lines
from .side_by_side import FAILS, grid_lines, rows_shown
from .style import Page, Styled
from .terminal_findings import (
    MOST_NAMED,
    alike_lines,
    broken_assertion_lines,
    budget_lines,
    near_tie_lines,
    shift_lines,
)
from .threshold_lines import threshold_blocks

REVIEW = "llmcompare review"
FAILED = "model comparison failed:"


def summary_lines(
    summary: Summary,
    *,
    width: int,
    verbose: int,
    command: str,
    waits: bool = True,
    hidden: int = 0,
    encoding: str = "utf-8",
) -> list[Styled]:
    """Return the report as lines with the markup that `TerminalWriter.line` takes.

    Args:
        summary: The run.
        width: Columns of the terminal.
        verbose: pytest's verbosity: below 0 only model verdicts, the models and the drift budget, above 0 every row of
            every table, all thresholds, and remarks.
        command: The pytest command of this run without options that update or prune.
        waits: Whether outputs are pending.
        hidden: Number of failed tests that pytest's section FAILURES leaves out.
        encoding: Encoding of the output.
    """
    page = Page(width, encoding)
    models = model_lines(summary, page)
    budgets = list(budget_lines(summary.budgets, page, every=verbose > 0))
    changes = list(verdict_lines(summary.model_verdicts, page, every=verbose > 0))
    if verbose < 0:
        rest = hidden_lines(hidden, page, "above: without -q a table shows their texts")
        return [*separated(block for block in (changes, models, budgets, rest) if block)]
    tables = [list(grid_lines(table, page, every_row=verbose > 0)) for table in summary.tables]
    blocks = [
        changes,
        *threshold_blocks(summary.gates, page, every=verbose > 0),
        *tables[:-1],
        [
            *(tables[-1] if tables else ()),
            *legend(summary.tables, page, every_row=verbose > 0),
            *hidden_lines(hidden, page, "above: their texts are in this table; -v shows each in full"),
        ],
        [*alike_lines(summary, page)],
        [*near_tie_lines(summary, page)],
        [*broken_assertion_lines(summary, page, every=verbose > 0)],
        models,
        [*shift_lines(summary, page)],
        [*pair_lines(summary.tables, page, every=verbose > 0)],
        budgets,
        [*note_lines(summary, page, every=verbose > 0)],
        [*next_lines(summary, page, command, waits=waits), *mlflow_lines(summary, page)],
    ]
    return [*separated(block for block in blocks if block)]


def model_lines(summary: Summary, page: Page) -> list[Styled]:
    """The table of models, and how many answers are from the cache, differ in their text, and pass their assertions."""
    counts = (summary.texts, assertion_count(summary.models))
    lines = [*model_table_lines(summary.models, page), *cached_answer_lines(summary, page)]
    return [*lines, *(page.line(text) for text in counts if text)]


def hidden_lines(hidden: int, page: Page, instead: str) -> list[Styled]:
    """Say how many failed tests pytest's section FAILURES leaves out, and where their texts are instead."""
    return page.wrapped(f"{count(hidden, 'failure')} not listed {instead}") if hidden else []


def separated(blocks: Iterable[list[Styled]]) -> Iterator[Styled]:
    """Yield blocks with an empty line between them."""
    for at, block in enumerate(blocks):
        if at:
            yield Styled("")
        yield from block


def legend(tables: Iterable[Table], page: Page, *, every_row: bool) -> Iterator[Styled]:
    """Yield a line that explains the signs in the tables."""
    rows = [row for table in tables for row in rows_shown(table, every_row=every_row)]
    cells = [cell for row in rows for cell in row.cells if cell is not None]
    occurring = {cell.verdict for cell in cells if not cell.accepted}
    looks = [verdict.look for verdict in Verdict if verdict in occurring]
    looks += [ACCEPTED] if any(cell.accepted for cell in cells) else []
    meanings = [f"{page.sign(look.sign)} {look.meaning}" for look in looks]
    meanings += [f"{page.sign(FAILS)} fails an assertion"] if any(cell.fails_assertion for cell in cells) else []
    if meanings:
        yield page.line("   ".join(meanings))


def cached_answer_lines(summary: Summary, page: Page) -> Iterator[Styled]:
    """Yield how many answers are from the answer cache, if any is."""
    if summary.cached:
        yield page.line(cached_answers(summary.cached, summary.answers))


def note_lines(summary: Summary, page: Page, *, every: bool) -> Iterator[Styled]:
    """Yield obsolete baselines and notes, each once; `fault_lines` has the reasons why the run failed."""
    for key, rows in summary.obsolete:
        names = ", ".join(map(str, rows[:MOST_NAMED])) + (", ..." if len(rows) > MOST_NAMED else "")
        text = f"{key.table}/{key.model}: {count(len(rows), 'obsolete baseline')} ({names}), no longer in the table"
        yield from page.wrapped(text, yellow=True)
    for note in (*summary.further_notes, *(summary.remarks if every else ())):
        for line in note.splitlines():
            yield from page.wrapped(line, yellow=True)


def fault_lines(faults: Iterable[str], *, columns: int | None, encoding: str) -> Iterator[Styled]:
    """Explain why the run failed, below pytest's own last line.

    Args:
        faults: The reasons.
        columns: Width of the terminal; None for a log, whose lines are not wrapped so that they can be searched.
        encoding: Encoding of the output.
    """
    reasons = [*dict.fromkeys(faults)]
    if reasons:
        yield Styled(FAILED, {"red": True, "bold": True})
    for reason in reasons:
        for line in reason.splitlines():
            if columns is None:
                yield Styled(encodable(disarm(line.rstrip()), encoding), {"red": True})
            else:
                yield from Page(columns, encoding).wrapped(line, red=True)


def next_lines(summary: Summary, page: Page, command: str, *, waits: bool) -> Iterator[Styled]:
    """Yield the commands for outputs that are not accepted yet."""
    missing = summary.open(Verdict.MISSING)
    obsolete = sum(len(rows) for _, rows in summary.obsolete)
    if summary.open(Verdict.DRIFTED, Verdict.STALE, Verdict.SHIFTED):
        yield from command_lines(f"Accept {open_counts(summary)}:", f"{command} --llm-update", page)
        if waits:
            yield from command_lines("or:", REVIEW, page)
    if missing:
        yield from command_lines(f"Record {missing:,}:", f"{command} --llm-update-missing", page)
    if held := sum(cell.is_held_back for cell in summary.cells):
        fail, write = ("fails assertions of its row", "it") if held == 1 else ("fail assertions of their rows", "them")
        sentence = f"{count(held, 'output')} {fail}: --llm-update does not write {write} while the test fails"
        yield from page.wrapped(sentence, yellow=True)
    if obsolete:
        yield from command_lines(f"Delete {obsolete:,}:", f"{command} --llm-prune", page)


def mlflow_lines(summary: Summary, page: Page) -> Iterator[Styled]:
    """Yield what opens the runs in MLflow, at the page that shows them; addresses are never cut."""
    if not summary.mlflow:
        return
    command = ui_command(summary.mlflow)
    yield from command_lines("Look in MLflow:", command, page) if command else page.wrapped("Look in MLflow:")
    for place in summary.mlflow[:MOST_NAMED]:
        yield Styled(f"  {encodable(disarm(page_address(place)), page.encoding)}")
    if len(summary.mlflow) > MOST_NAMED:
        yield page.line(f"  and {count(len(summary.mlflow) - MOST_NAMED, 'more experiment')}")


def command_lines(label: str, command: str, page: Page) -> Iterator[Styled]:
    r"""Yield a command to copy, continued with `\` if it is too long; its words are never cut."""
    first, *words = [encodable(disarm(shlex.quote(word)), page.encoding) for word in shlex.split(command)]
    line = f"{label} {first}"
    if width(line) > page.columns - (
        2 if words else 0
    ):  # a label is no part of the command, so no backslash follows it
        yield from page.wrapped(label)
        line = f"  {first}"
    for word in words:
        if width(line) + 1 + width(word) > page.columns - 2:
            yield Styled(f"{line} \\")
            line = " "
        line += f" {word}"
    yield Styled(line)
