"""The terminal report at the end of a run: side-by-side tables, a line per model, commands to go on. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator

from pytest_llmcompare.comparison.drift_budget import BudgetCheck
from pytest_llmcompare.comparison.summary import Cell, EqualDrifts, Summary, Table
from pytest_llmcompare.judgement import ACCEPTED, Likelihood, Verdict
from pytest_llmcompare.text import count, disarm, encodable, number, quoted, width

from .messages import budget_sentence, change, gate_blocks, headline, short_place, token
from .model_sentences import cached_answers, verdict_lines
from .model_table import model_table_lines, pair_lines
from .side_by_side import grid_lines, rows_shown
from .style import Page, Styled, wrap

MOST_WITHIN, MOST_OVER = 3, 20
"""Most drifted cases listed if the run passes, and if it fails."""


def budget_lines(checks: Iterable[BudgetCheck], page: Page, *, every: bool) -> Iterator[Styled]:
    """Yield a line per model on the drift budget, then its drifted cases.

    Args:
        checks: The models against the budget.
        page: Width and encoding of the terminal.
        every: Whether to list all drifted cases.
    """
    for check in checks:
        remarkable = check.drifted or not check.rate.total
        colour = {"red" if check.fails else "yellow": True} if remarkable else {}
        for line in wrap(encodable(disarm(sentence(check)), page.encoding), page.columns):
            yield page.line(line, **colour)
        most = len(check.drifted) if every else MOST_OVER if check.fails else MOST_WITHIN
        for result in check.drifted[:most]:
            name = f"{result.key.group.table}/{result.key.row}"
            verdict = headline(result.judgement) if result.judgement else ""
            yield page.line(encodable(f"  {page.name(name, page.columns // 2)}: {verdict}", page.encoding))
        if len(check.drifted) > most:
            yield page.line(f"  and {len(check.drifted) - most:,} more (-v shows all)")


def sentence(check: BudgetCheck) -> str:
    """Hold one model against the drift budget, in a sentence."""
    text = budget_sentence(check.rate, check.budget, over=check.fails, origin=check.origin)
    return f"{check.model}: {text}" if check.rate.total else text


MOST_EQUAL = 3  # groups of equal drifts shown
MOST_NAMED = 3  # cases named of a group
MOST_TIES = 10  # near ties shown one by one
REVIEW = "llmcompare review"
FAILED = "model comparison failed:"
TOKEN = 24  # columns of a token


def summary_lines(
    summary: Summary, *, width: int, verbose: int, command: str, waits: bool = True, encoding: str = "utf-8"
) -> list[Styled]:
    """Return the report as lines with the markup that `TerminalWriter.line` takes.

    Args:
        summary: The run.
        width: Columns of the terminal.
        verbose: pytest's verbosity: below 0 only model verdicts, the models and the drift budget, above 0 every row of
            every table, all thresholds, and remarks.
        command: The pytest command of this run without options that update or prune.
        waits: Whether outputs are pending.
        encoding: Encoding of the output.
    """
    page = Page(width, encoding)
    models = [*model_table_lines(summary.models, page), *cache_lines(summary, page)]
    models += [page.line(summary.texts)] if summary.texts else []
    budgets = list(budget_lines(summary.budgets, page, every=verbose > 0))
    changes = list(verdict_lines(summary.model_verdicts, page, every=verbose > 0))
    if verbose < 0:
        return [*separated(block for block in (changes, models, budgets) if block)]
    tables = [list(grid_lines(table, page, every_row=verbose > 0)) for table in summary.tables]
    blocks = [
        changes,
        *tables,
        [*legend(summary.tables, page, every_row=verbose > 0)],
        [*equal_drift_lines(summary.equal_drifts, page)],
        [*near_tie_lines(summary, page)],
        models,
        *gate_blocks(summary.gates, page, every=verbose > 0),
        [*shift_lines(summary, page)],
        [*pair_lines(summary.tables, page, every=verbose > 0)],
        budgets,
        [*note_lines(summary, page, every=verbose > 0)],
        [*next_lines(summary, page, command, waits=waits)],
    ]
    return [*separated(block for block in blocks if block)]


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
    if looks:
        yield page.line("   ".join(f"{page.sign(look.sign)} {look.meaning}" for look in looks))


def equal_drift_lines(drifts: Iterable[EqualDrifts], page: Page) -> Iterator[Styled]:
    """Yield a line per change that several cases share."""
    several = [group for group in drifts if len(group.cases) > 1]
    for group in several[:MOST_EQUAL]:
        tokens = f"{token(group.baseline_token, TOKEN)} -> {token(group.candidate_token, TOKEN)}"
        names = ", ".join(str(case.row) for case in group.cases[:MOST_NAMED])
        more = ", ..." if len(group.cases) > MOST_NAMED else ""
        start = encodable(f"{count(len(group.cases), 'drift')} alike: {disarm(group.model)} {tokens}", page.encoding)
        yield page.line(f"{start} in {page.name(names, max(page.columns - width(start) - 8, 12))}{more}")
    if len(several) > MOST_EQUAL:
        yield page.line(f"and {len(several) - MOST_EQUAL} more changes that several cases have in common")


def near_tie_lines(summary: Summary, page: Page) -> Iterator[Styled]:
    """Yield a line per near tie, the largest margins first."""
    judged_ties = [(cell, cell.result.judgement) for cell in summary.cells if cell.verdict is Verdict.NEAR_TIE]
    ties = sorted(((cell, judged) for cell, judged in judged_ties if judged), key=lambda tie: -(tie[1].margin or 0.0))
    for cell, judged in ties[:MOST_TIES]:
        what = "" if judged.position is None else f" {short_place(judged)}{change(judged, TOKEN)}"
        margin = "" if judged.margin is None else f" margin {number(judged.margin)}"
        limit = "" if judged.tolerance is None else f" (tie: up to {number(judged.tolerance)} nats)"
        why = f": {disarm(judged.reason)}" if judged.reason else ""
        line = f"near tie {disarm(str(cell.key))}{what}{margin}{limit}{why}"
        yield page.line(encodable(line, page.encoding))
        if cell.result.model_changed:
            for name, text in (("baseline", cell.result.baseline_text), ("candidate", cell.text)):
                yield page.line(encodable(f"  {name:<9}  {quoted(text or '', page.columns - 13)}", page.encoding))
    if len(ties) > MOST_TIES:
        yield page.line(f"and {len(ties) - MOST_TIES:,} more near ties")


def cache_lines(summary: Summary, page: Page) -> Iterator[Styled]:
    """Yield how many answers are from the answer cache, if any is."""
    if summary.cached:
        yield page.line(cached_answers(summary.cached, summary.answers))


def shift_lines(summary: Summary, page: Page) -> Iterator[Styled]:
    """Yield a paragraph per model with silent drift: the texts are equal, the log-probs are not."""
    by_model: dict[str, list[tuple[Likelihood, Cell]]] = {}
    for cell in summary.cells:
        moved = cell.result.judgement.likelihood if cell.result.judgement else None
        if cell.verdict is Verdict.SHIFTED and moved is not None and not cell.accepted:
            by_model.setdefault(cell.key.group.model, []).append((moved, cell))
    for model, shifts in by_model.items():
        most, cell = max(shifts, key=lambda shift: shift[0].rms)
        yield from paragraph(
            f"shifted: {model}: log-probs of {count(len(shifts), 'unchanged output')} moved by up to "
            f"{number(most.rms)} nats per token ({cell.key.row}); noise is at most {number(most.band)}",
            page,
        )


def note_lines(summary: Summary, page: Page, *, every: bool) -> Iterator[Styled]:
    """Yield obsolete baselines and notes, each once; `fault_lines` has the reasons why the run failed."""
    for key, rows in summary.obsolete:
        names = ", ".join(map(str, rows[:MOST_NAMED])) + (", ..." if len(rows) > MOST_NAMED else "")
        line = f"{key.table}/{key.model}: {count(len(rows), 'obsolete baseline')} ({names}), no longer in the table"
        yield from paragraph(line, page)
    for note in (*summary.further_notes, *(summary.remarks if every else ())):
        for line in note.splitlines():
            yield from paragraph(line, page)


def paragraph(text: str, page: Page) -> Iterator[Styled]:
    """Yield a text on as many lines as it needs."""
    for line in wrap(encodable(disarm(text), page.encoding), page.columns):
        yield page.line(line, yellow=True)


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
            text = encodable(disarm(line.rstrip()), encoding)
            if columns is None:
                yield Styled(text, {"red": True})
            else:
                page = Page(columns, encoding)
                yield from (page.line(part, red=True) for part in wrap(text, columns))


def next_lines(summary: Summary, page: Page, command: str, *, waits: bool) -> Iterator[Styled]:
    """Yield the commands for outputs that are not accepted yet."""
    changed = summary.open(Verdict.DRIFTED, Verdict.STALE, Verdict.SHIFTED)
    missing = summary.open(Verdict.MISSING)
    obsolete = sum(len(rows) for _, rows in summary.obsolete)
    if changed:
        yield from command_lines(f"Accept {changed + missing:,}:", f"{command} --llm-update", page)
        if waits:
            yield from command_lines("or:", REVIEW, page)
    if missing:
        yield from command_lines(f"Record {missing:,}:", f"{command} --llm-update-missing", page)
    if obsolete:
        yield from command_lines(f"Delete {obsolete:,}:", f"{command} --llm-prune", page)


def command_lines(label: str, command: str, page: Page) -> Iterator[Styled]:
    r"""Yield a command to copy, continued with `\` if it is too long; its words are never cut."""
    line = label
    for word in shlex.split(command):
        shown = encodable(disarm(shlex.quote(word)), page.encoding)
        if line.strip() and width(line) + 1 + width(shown) > page.columns - 2:
            yield Styled(f"{line} \\")
            line = " "
        line += f" {shown}"
    yield Styled(line)
