"""A group of a run: all cases of one table and one model, and what the tests that share them ask for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .declaration import Declaration
from .models.spec import ModelSpec
from .records import Case, GroupKey, RowKey
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
        first = self.cases[row]
        return {row: first} | {
            further: case
            for further, case in self.cases.items()
            if case.sample and case.row is first.row and further.variant.rpartition("#")[0] == row.variant
        }
