"""What a terminal report says of drifts that are alike, near ties, silent drift and the drift budget. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pytest_llmcompare.comparison.drift_budget import BudgetCheck
from pytest_llmcompare.comparison.summary import Cell, EqualDrifts, EqualTexts, Summary
from pytest_llmcompare.judgement import Likelihood, Verdict
from pytest_llmcompare.records import CaseKey
from pytest_llmcompare.text import count, disarm, encodable, number, quoted, width

from .assertion_lines import assertion_text, broken
from .marked_words import coloured, marked_words
from .messages import budget_sentence, change, headline, read_the_same, short_place, token
from .style import Page, Styled

MOST_WITHIN, MOST_OVER = 3, 20
"""Most drifted cases listed if the run passes, and if it fails."""

MOST_EQUAL = 3  # groups of equal drifts shown
MOST_NAMED = 3  # cases named of a group
MOST_ASSERTIONS = 10  # lines on assertions that failed
MOST_TIES = 10  # near ties shown one by one
TOKEN = 24  # columns of a token


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
        yield from page.wrapped(sentence(check), **colour)
        most = len(check.drifted) if every else MOST_OVER if check.fails else MOST_WITHIN
        for result in check.drifted[:most]:
            name = f"{result.key.group.table}/{result.key.row}"
            verdict = headline(result.judgement) if result.judgement else ""
            yield page.line(encodable(f"  {page.name(name)}: {verdict}", page.encoding))
        if len(check.drifted) > most:
            yield page.line(f"  and {len(check.drifted) - most:,} more (-v shows all)")


def sentence(check: BudgetCheck) -> str:
    """Hold one model against the drift budget, in a sentence."""
    text = budget_sentence(check.rate, check.budget, over=check.fails, origin=check.origin)
    return f"{check.model}: {text}" if check.rate.total else text


def alike_lines(summary: Summary, page: Page) -> Iterator[Styled]:
    """Yield a line per group of drifts: with equal texts, or else with the same change of a token."""
    texts = [group for group in summary.equal_texts if len(group.cases) > 1]
    known = {frozenset(group.cases) for group in texts}
    tokens = [group for group in summary.equal_drifts if len(group.cases) > 1 and frozenset(group.cases) not in known]
    yield from limited([equal_text_lines(group, page) for group in texts], "texts", page)
    yield from limited([equal_drift_lines(group, page) for group in tokens], "changes", page)


def limited(groups: Sequence[Sequence[Styled]], what: str, page: Page) -> Iterator[Styled]:
    """Yield the first groups, and how many more there are."""
    for lines in groups[:MOST_EQUAL]:
        yield from lines
    if len(groups) > MOST_EQUAL:
        yield page.line(f"and {len(groups) - MOST_EQUAL:,} more {what} that several cases have in common")


def equal_text_lines(group: EqualTexts, page: Page) -> list[Styled]:
    """Describe drifts with equal texts: the cases, then both texts."""
    start = f"{count(len(group.cases), 'drift')} with equal texts: {group.model} in"
    texts = marked_words(group.baseline, group.candidate, page.columns - 2, page)
    return [*page.wrapped(with_names(start, group.cases, page)), coloured(page.line(f"  {texts}"))]


def equal_drift_lines(group: EqualDrifts, page: Page) -> list[Styled]:
    """Describe drifts in which the same token became the same other one."""
    tokens = f"{token(group.baseline_token, TOKEN)} -> {token(group.candidate_token, TOKEN)}"
    start = f"{count(len(group.cases), 'drift')} alike: {group.model} {tokens} in"
    return page.wrapped(with_names(start, group.cases, page))


def with_names(start: str, cases: Sequence[CaseKey], page: Page) -> str:
    """Name the first rows of several cases, as many as the line has room for but at least one, and count the others."""
    most = min(MOST_NAMED, len(cases))
    for shown in range(most, 0, -1):
        more = f", and {len(cases) - shown:,} more" if len(cases) > shown else ""
        text = f"{start} {', '.join(str(case.row) for case in cases[:shown])}{more}"
        if width(page.name(text)) <= page.columns:
            break
    return text


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


def broken_assertion_lines(summary: Summary, page: Page, *, every: bool) -> Iterator[Styled]:
    """Yield a line per model and assertion that failed, the most frequent first, with the rows it failed on."""
    cases: dict[tuple[str, str], list[CaseKey]] = {}
    for cell in summary.cells:
        for result in broken(cell.result.assertions):
            cases.setdefault((cell.key.group.model, result.text), []).append(cell.key)
    groups = sorted(cases.items(), key=lambda item: -len(item[1]))
    for (model, text), keys in groups[: None if every else MOST_ASSERTIONS]:
        fail = "output fails" if len(keys) == 1 else "outputs fail"
        yield from page.wrapped(
            with_names(f"{model}: {len(keys):,} {fail} {assertion_text(text)} in", keys, page), red=True
        )
    if not every and len(groups) > MOST_ASSERTIONS:
        yield page.line(f"and {len(groups) - MOST_ASSERTIONS:,} more assertions that fail (-v shows all)")


def shift_lines(summary: Summary, page: Page) -> Iterator[Styled]:
    """Yield a sentence per model with silent drift: the texts are equal, the log-probs are not."""
    by_model: dict[str, list[tuple[Likelihood, Cell]]] = {}
    for cell in summary.cells:
        moved = cell.result.judgement.likelihood if cell.result.judgement else None
        if cell.verdict is Verdict.SHIFTED and moved is not None and not cell.accepted:
            by_model.setdefault(cell.key.group.model, []).append((moved, cell))
    for model, shifts in by_model.items():
        most, cell = max(shifts, key=lambda shift: shift[0].rms)
        text = read_the_same(len(shifts), most, f" in {cell.key.row}")
        yield from page.wrapped(f"{model}: {text}", yellow=True)
