"""A group of a run: all cases of one table and one model, and what the tests that share them ask for."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pytest_llmcompare.models.spec import ModelSpec
from pytest_llmcompare.records import Case, GroupKey, RowKey

from .marker import Declaration
from .thresholds import Threshold

if TYPE_CHECKING:
    from .extensions import Extensions


@dataclass
class Group:
    """All cases of one table and one model, and what the tests that share them ask for.

    Attributes:
        key: Name of the group.
        spec: The model.
        declaration: The table.
        owner: The first test that declared it.
        cases: Every case of the table, by row.
        extensions: What plugins add to it.
        metrics: MLflow metrics that any of its tests asks for.
        thresholds: What any of its tests wants metrics to reach.
        selected: Rows that selected tests need, in order; all of them for a test on the whole table.
    """

    key: GroupKey
    spec: ModelSpec
    declaration: Declaration
    owner: str
    cases: dict[RowKey, Case]
    extensions: Extensions
    metrics: list[Any] = field(default_factory=list)
    thresholds: list[Threshold] = field(default_factory=list)
    selected: dict[RowKey, Case] = field(default_factory=dict)

    @property
    def asked(self) -> list[tuple[GroupKey, RowKey | None]]:
        """What tests of single cases are parametrised by: further samples belong to the test of the first."""
        return [(self.key, row) for row, case in self.cases.items() if not case.sample]

    def samples(self, row: RowKey) -> dict[RowKey, Case]:
        """A case with its further samples, in order."""
        return {row: self.cases[row]} | self._further.get(row, {})

    @cached_property
    def _further(self) -> dict[RowKey, dict[RowKey, Case]]:
        """Further samples by the row of the first; in one pass, because tables may have thousands of rows."""
        found: dict[RowKey, dict[RowKey, Case]] = {}
        for row, case in self.cases.items():
            if case.sample:
                first = RowKey(row.prompt_id, row.variant.rpartition("#")[0])
                found.setdefault(first, {})[row] = case
        return found
