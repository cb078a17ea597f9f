"""The drift budget: the share of each model's cases that may drift before the run fails. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction

from pytest_llmcompare.judgement import COMPARED, Verdict
from pytest_llmcompare.records import CaseKey, CaseResult
from pytest_llmcompare.settings import FILE, Settings

from .cells import Cell
from .statistics import Rate, rate


@dataclass(frozen=True)
class BudgetCheck:
    """One model against the budget.

    Attributes:
        model: Its name; empty for a run in which no case of any model could drift.
        budget: Percentage of cases that may drift.
        origin: Where the budget was given.
        rate: The cases that drifted, out of those that could.
        drifted: Results of the cases that drifted.
    """

    model: str
    budget: float
    origin: str
    rate: Rate
    drifted: tuple[CaseResult, ...] = ()

    @property
    def fails(self) -> bool:
        """True if the run fails: too many drifted, or a budget given for this run could not be checked."""
        if not self.rate.total:
            return self.origin != FILE
        # As decimal fractions, so that 7 of 100 cases are within a budget of 7 %.
        return 100 * self.rate.count > Fraction(str(self.budget)) * self.rate.total


def check_budget(cells: Mapping[CaseKey, Cell], settings: Settings, *, whole: bool) -> tuple[BudgetCheck, ...]:
    """Check each model against the budget, if there is one.

    Args:
        cells: The cases of the run.
        settings: Settings of the run.
        whole: Whether the run came to its end; otherwise a run without comparisons does not fail.
    """
    if settings.drift_budget is None:
        return ()
    by_model: dict[str, list[Cell]] = {}
    for key in sorted(cells):
        by_model.setdefault(key.group.model, []).append(cells[key])
    every = [check_model(model, own, settings.drift_budget, settings) for model, own in by_model.items()]
    checks = tuple(check for check in every if check.rate.total)
    excused = not whole or any(cell.accepted for cell in cells.values())
    if checks or excused:
        return checks
    nothing = check_model("", (), settings.drift_budget, settings)
    return (nothing,) if cells or nothing.fails else ()  # a suite without comparisons may share the file


def counts_as_drift(cell: Cell) -> bool:
    """True for a drift. If the model changed, true for every other text: noise is no explanation then."""
    other_text = cell.verdict in (Verdict.NEAR_TIE, Verdict.SHIFTED) and cell.text != cell.result.baseline_text
    return cell.verdict is Verdict.DRIFTED or (other_text and cell.result.model_changed)


def check_model(model: str, cells: Collection[Cell], budget: float, settings: Settings) -> BudgetCheck:
    """Check one model against the budget; accepted drifts do not count."""
    comparable = [cell for cell in cells if cell.verdict in COMPARED]
    drifted = tuple(cell.result for cell in comparable if counts_as_drift(cell) and not cell.accepted)
    origin = settings.origins.get("drift_budget", "")
    return BudgetCheck(model, budget, origin, rate(len(drifted), len(comparable)), drifted)
