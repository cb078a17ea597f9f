"""`model:NAME`: all models are compared with the outputs of one model of this run."""

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
        outputs: Gives its outputs for a table.
    """

    name: str
    outputs: OutputsOf
    pinned: str = ""
    copying: str = ""

    @property
    def title(self) -> str:
        """Name for the header and messages."""
        return f"model:{self.name}"

    def load(self, group: GroupKey, cases: Sequence[Case]) -> BaselineSet:
        """The model's outputs for the same table.

        Raises:
            BaselineError: It does not run with that table, or failed as a whole.
        """
        if group.model == self.name:
            why = f"model {self.name!r} is the reference of this run (--llm-baseline), so it is not compared itself"
            return BaselineSet(lacking=why)
        outputs = self.outputs(dataclasses.replace(group, model=self.name))
        rows = {case.key.row: case for case in cases}
        known = {row: baseline for row, baseline in outputs.baselines.items() if row in rows}
        otherwise = sum(bool(stale_reason(rows[row], baseline)) for row, baseline in known.items())
        note = (
            f"table {group.table!r}: models {group.model!r} and {self.name!r} are asked with different examples, "
            f"decoding settings or chat templates, so {otherwise} of {len(known)} outputs are compared by their text"
        )
        return BaselineSet(
            baselines={row: _as_asked(rows[row], baseline) for row, baseline in known.items()},
            warnings=(note,) if otherwise else (),
            lacking=f"model {self.name!r} was not asked this case",
            faults={row: f"there is nothing to compare with: {why}" for row, why in outputs.failures.items()},
            of_model=self.name,
        )


def _as_asked(case: Case, baseline: Baseline) -> Baseline:
    """Another model's output as a baseline of a case; only its text if the models have different settings."""
    if not stale_reason(case, baseline):
        return baseline
    return Baseline(case.key.row, Generation(baseline.generation.text), case.input_hash, case.settings_hash)


def reference_model(source: BaselineReader) -> str:
    """Name of the model that a run compares with; empty for other sources."""
    return source.name if isinstance(source, ModelBaselines) else ""
