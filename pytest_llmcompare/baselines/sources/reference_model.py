"""`model:NAME`: what another model of this run says is what the others are compared with."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_llmcompare.baselines.store import BaselineSet
from pytest_llmcompare.comparison.judge import stale_reason
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.records import Baseline, Case, GroupKey

from .protocol import BaselineReader, OutputsOf


@dataclass(frozen=True)
class ModelBaselines:
    """The outputs of one of the models.

    Attributes:
        name: Its name.
        outputs: Gives what it says to a table.
    """

    name: str
    outputs: OutputsOf
    pinned: str = ""
    copying: str = ""

    @property
    def title(self) -> str:
        """What the header and messages call it."""
        return f"model:{self.name}"

    def load(self, group: GroupKey, cases: Sequence[Case]) -> BaselineSet:
        """What the model says to the same table.

        Raises:
            BaselineError: It is not asked that table, or failed as a whole.
        """
        if group.model == self.name:
            why = f"model {self.name!r} is what this run compares with, so it is compared with nothing itself"
            return BaselineSet(lacking=why)
        said = self.outputs(dataclasses.replace(group, model=self.name))
        rows = {case.key.row: case for case in cases}
        known = {row: baseline for row, baseline in said.baselines.items() if row in rows}
        otherwise = sum(bool(stale_reason(rows[row], baseline)) for row, baseline in known.items())
        note = (
            f"table {group.table!r}: models {group.model!r} and {self.name!r} are asked with different examples, "
            f"decoding settings or chat templates, so {otherwise} of {len(known)} outputs are compared by their text"
        )
        return BaselineSet(
            baselines={row: as_asked(rows[row], baseline) for row, baseline in known.items()},
            warnings=(note,) if otherwise else (),
            lacking=f"model {self.name!r} was not asked this case",
            faults={row: f"there is nothing to compare with: {why}" for row, why in said.failures.items()},
            of_model=self.name,
        )


def as_asked(case: Case, baseline: Baseline) -> Baseline:
    """Another model's output as a baseline of a case; the text alone where the models were not asked the same."""
    if not stale_reason(case, baseline):
        return baseline
    return Baseline(case.key.row, Generation(baseline.generation.text), case.input_hash, case.settings_hash)


def reference_model(source: BaselineReader) -> str:
    """Name of the model that a run compares with; empty where it is no model of the run."""
    return source.name if isinstance(source, ModelBaselines) else ""
