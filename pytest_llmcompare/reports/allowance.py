"""Each model against the drift budget: one line, and what drifted below it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pytest_llmcompare.budget import BudgetCheck

from .escaping import disarm, encodable
from .formatting import headline
from .quantities import count, share, span_of
from .style import Page, Styled, wrap

MOST_WITHIN, MOST_OVER = 3, 20
"""Drifted cases that are listed where the run passes, and where it fails."""


def budget_lines(checks: Iterable[BudgetCheck], page: Page, *, every: bool) -> Iterator[Styled]:
    """What became of the budget.

    Args:
        checks: The models.
        page: What lines are made to fit.
        every: Whether all drifted cases are listed.
    """
    for check in checks:
        remarkable = check.drifted or not check.rate.total
        colour = {"red" if check.fails else "yellow": True} if remarkable else {}
        for line in wrap(encodable(disarm(sentence(check)), page.encoding), page.columns):
            yield page.line(line, **colour)
        most = len(check.drifted) if every else MOST_OVER if check.fails else MOST_WITHIN
        for result in check.drifted[:most]:
            name = f"{result.key.group.table}/{result.key.row}"
            said = headline(result.judgement) if result.judgement else ""
            yield page.line(encodable(f"  {page.name(name, page.columns // 2)}: {said}", page.encoding))
        if len(check.drifted) > most:
            yield page.line(f"  and {len(check.drifted) - most:,} more (-v shows all)")


def sentence(check: BudgetCheck) -> str:
    """Rate, interval and budget of a model."""
    budget = f"the drift budget of {check.budget:g}%"
    if not check.rate.total:
        return f"no case was compared with a baseline, so {budget} ({check.origin}) was not checked"
    drifted, total = check.rate.count, check.rate.total
    seen = f"{drifted:,} of {count(total, 'case')} drifted, {share(drifted, total)} ({span_of(check.rate.interval)})"
    return f"{check.model}: {seen}, {'over' if check.fails else 'within'} {budget}"
