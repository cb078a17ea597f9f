"""Groups of drifts that are alike: in the token that differs first, or in both texts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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


@dataclass(frozen=True)
class EqualTexts:
    """Drifts of one model from the same text to the same other text."""

    model: str
    baseline: str
    candidate: str
    cases: tuple[CaseKey, ...]


def equal_drifts(cells: Mapping[CaseKey, Cell], order: Order) -> tuple[EqualDrifts, ...]:
    """The drifts of each model, grouped by the tokens that differ."""
    alike: dict[tuple[str, str, str], list[CaseKey]] = {}
    for key, cell in cells.items():
        judgement = cell.result.judgement
        if judgement is not None and cell.verdict is Verdict.DRIFTED and judgement.position is not None:
            change = (key.group.model, judgement.baseline_token, judgement.candidate_token)
            alike.setdefault(change, []).append(key)
    every = [EqualDrifts(*change, tuple(sorted(keys, key=order.of_case))) for change, keys in alike.items()]
    return tuple(sorted(every, key=lambda drifts: (-len(drifts.cases), order.of_case(drifts.cases[0]))))


def equal_texts(cells: Mapping[CaseKey, Cell], order: Order) -> tuple[EqualTexts, ...]:
    """The drifts of each model, grouped by both texts."""
    alike: dict[tuple[str, str, str], list[CaseKey]] = {}
    for key, cell in cells.items():
        baseline, candidate = cell.result.baseline_text, cell.text
        if cell.verdict is Verdict.DRIFTED and baseline is not None and candidate not in (None, baseline):
            alike.setdefault((key.group.model, baseline, candidate or ""), []).append(key)
    every = [EqualTexts(*texts, tuple(sorted(keys, key=order.of_case))) for texts, keys in alike.items()]
    return tuple(sorted(every, key=lambda group: (-len(group.cases), order.of_case(group.cases[0]))))
