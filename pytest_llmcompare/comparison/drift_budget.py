"""The drift budget: which share of each model's cases may drift before the run fails. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from pytest_llmcompare.judgement import COMPARED, Verdict
from pytest_llmcompare.records import CaseKey, CaseResult
from pytest_llmcompare.settings import FILE, Settings

from .statistics import Rate, rate


class Seen(Protocol):
    """A case as its tests found it."""

    @property
    def key(self) -> CaseKey:
        """Name of the case."""

    @property
    def verdict(self) -> Verdict | None:
        """The worst verdict of its tests; None where none of them compared."""

    @property
    def accepted(self) -> bool:
        """Whether today's output becomes the baseline."""

    @property
    def result(self) -> CaseResult:
        """What the verdict is from."""


@dataclass(frozen=True)
class BudgetCheck:
    """One model against the budget.

    Attributes:
        model: Its name; empty for a run in which no case of any model could be held against the budget.
        budget: Percentage of cases that may drift.
        origin: Where the budget was given.
        rate: Cases that drifted, of those that could.
        drifted: Those cases.
    """

    model: str
    budget: float
    origin: str
    rate: Rate
    drifted: tuple[CaseResult, ...] = ()

    @property
    def fails(self) -> bool:
        """Whether the run fails: too many drifted, or a budget that was given for this run was not looked at."""
        if not self.rate.total:
            return self.origin != FILE
        # As decimal fractions, so that 7 of 100 cases are within a budget of 7 %.
        return 100 * self.rate.count > Fraction(str(self.budget)) * self.rate.total


def check_budget(cells: Mapping[CaseKey, Seen], settings: Settings, *, whole: bool) -> tuple[BudgetCheck, ...]:
    """Hold each model against the budget, if there is one.

    Args:
        cells: The cases of the run.
        settings: Settings of the run.
        whole: Whether the run came to its end; else nothing follows from what was not compared.
    """
    if settings.drift_budget is None:
        return ()
    by_model: dict[str, list[Seen]] = {}
    for key in sorted(cells):
        by_model.setdefault(key.group.model, []).append(cells[key])
    every = [checked(model, own, settings.drift_budget, settings) for model, own in by_model.items()]
    checks = tuple(check for check in every if check.rate.total)
    excused = not whole or any(cell.accepted for cell in cells.values())
    if checks or excused:
        return checks
    nothing = checked("", (), settings.drift_budget, settings)
    return (nothing,) if cells or nothing.fails else ()  # a suite without comparisons may share the file


def checked(model: str, cells: Collection[Seen], budget: float, settings: Settings) -> BudgetCheck:
    """One model against the budget; what is accepted has not drifted."""
    comparable = [cell for cell in cells if cell.verdict in COMPARED]
    drifted = tuple(cell.result for cell in comparable if cell.verdict is Verdict.DRIFTED and not cell.accepted)
    origin = settings.origins.get("drift_budget", "")
    return BudgetCheck(model, budget, origin, rate(len(drifted), len(comparable)), drifted)
