"""Groups of drifts that are alike: in the token that differs first, or in both texts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from pytest_llmcompare.judgement import Verdict
from pytest_llmcompare.records import CaseKey

from .cells import Cell
from .ordering import Order


@dataclass(frozen=True)
class EqualDrifts:
    """Cases of one model in which the same token became the same other token, at any position."""

    model: str
    baseline_token: str
    candidate_token: str
    cases: tuple[CaseKey, ...]

    @staticmethod
    def change_of(cell: Cell) -> tuple[str, str] | None:
        """The tokens that differ in a drift; None if their position is unknown."""
        judgement = cell.result.judgement
        if judgement is None or judgement.position is None:
            return None
        return judgement.baseline_token, judgement.candidate_token


@dataclass(frozen=True)
class EqualTexts:
    """Drifts of one model from the same text to the same other text."""

    model: str
    baseline: str
    candidate: str
    cases: tuple[CaseKey, ...]

    @staticmethod
    def change_of(cell: Cell) -> tuple[str, str] | None:
        """Both texts of a drift; None if one is unknown or they are equal."""
        baseline, candidate = cell.result.baseline_text, cell.text
        return None if baseline is None or candidate is None or candidate == baseline else (baseline, candidate)


DriftGroup = TypeVar("DriftGroup", EqualDrifts, EqualTexts)


def drift_groups(kind: type[DriftGroup], cells: Mapping[CaseKey, Cell], order: Order) -> tuple[DriftGroup, ...]:
    """The drifts of each model, grouped by what changed into what; the largest groups first."""
    groups: dict[tuple[str, str, str], list[CaseKey]] = {}
    for key, cell in cells.items():
        if cell.verdict is Verdict.DRIFTED and (change := kind.change_of(cell)):
            before, after = change
            groups.setdefault((key.group.model, before, after), []).append(key)
    every = [kind(*texts, tuple(sorted(keys, key=order.of_case))) for texts, keys in groups.items()]
    return tuple(sorted(every, key=lambda group: (-len(group.cases), order.of_case(group.cases[0]))))
