"""A group: all cases of one table and one model, and what the tests that share it ask for."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pytest_llmcompare.errors import UsageError
from pytest_llmcompare.models.spec import ModelSpec, shown_spec
from pytest_llmcompare.records import Case, GroupKey, RowKey

from .marker import Declaration
from .row_assertions import RowAssertion
from .thresholds import Threshold

if TYPE_CHECKING:
    from .extensions import Extensions


@dataclass
class Group:
    """All cases of one table and one model, and what the tests that share it ask for.

    Attributes:
        key: Name of the group.
        spec: The model.
        declaration: The table.
        owner: The first test that declared it.
        cases: Every case of the table, by row.
        extensions: What plugins add in the folder of the first test.
        metrics: MLflow metrics that any of its tests asks for.
        thresholds: Thresholds on metrics that any of its tests sets.
        expect: Assertions on the outputs of all rows that any of its tests sets, by their texts.
        selected: Cases that selected tests need, in order; all of them for a test on the whole table.
    """

    key: GroupKey
    spec: ModelSpec
    declaration: Declaration
    owner: str
    cases: dict[RowKey, Case]
    extensions: Extensions
    metrics: list[Any] = field(default_factory=list)
    thresholds: list[Threshold] = field(default_factory=list)
    expect: dict[str, RowAssertion] = field(default_factory=dict)
    selected: dict[RowKey, Case] = field(default_factory=dict)

    def join(self, declaration: Declaration, spec: ModelSpec, owner: str) -> None:
        """Add what a further test asks of the same table and model: metrics, thresholds, an experiment.

        The experiment is the one that any of the tests names; if none does, it is named after the first of them.

        Args:
            declaration: The test's marker, which declares the same cases.
            spec: The model, as this test names it.
            owner: The test, for messages.

        Raises:
            UsageError: The same model name stands for two sources, or two tests name different experiments.
        """
        mine = self.declaration
        if self.spec != spec:
            raise UsageError(
                f"model name {spec.name!r} stands for {shown_spec(self.spec)!r} and for {shown_spec(spec)!r}. "
                f"Name one of them: NAME={shown_spec(spec)}"
            )
        if declaration.names_experiment and mine.experiment != declaration.experiment:
            if mine.names_experiment:
                raise UsageError(
                    f"experiment={declaration.experiment!r}, but {self.owner} evaluates the same table "
                    f"{declaration.table!r} in the experiment {mine.experiment!r}. Name one of the two."
                )
            self.declaration, self.owner = declaration, owner
        self.metrics.extend(metric for metric in declaration.metrics if metric not in self.metrics)
        self.expect.update({text: declaration.assertions[text] for text in declaration.expect})
        self.thresholds.extend(wanted for wanted in declaration.thresholds if wanted not in self.thresholds)

    def assertions_of(self, case: Case) -> list[RowAssertion]:
        """The assertions on a case's output: those of its row, then those of all rows, each once."""
        own = {text: self.declaration.assertions[text] for text in case.row.expect}
        return [*(own | self.expect).values()]

    @property
    def asked(self) -> list[tuple[GroupKey, RowKey | None]]:
        """The parameters of tests on single cases: one per row and variant, for any number of samples."""
        return [(self.key, row) for row, case in self.cases.items() if not case.sample]

    def samples(self, row: RowKey) -> dict[RowKey, Case]:
        """A case with its further samples, in order."""
        return {row: self.cases[row]} | self._further.get(row, {})

    @cached_property
    def _further(self) -> dict[RowKey, dict[RowKey, Case]]:
        """The samples after the first, by the row of the first."""
        further: dict[RowKey, dict[RowKey, Case]] = {}
        for row, case in self.cases.items():
            if case.sample:
                first = RowKey(row.prompt_id, row.variant.rpartition("#")[0])
                further.setdefault(first, {})[row] = case
        return further
