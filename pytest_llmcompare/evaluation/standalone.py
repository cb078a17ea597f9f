"""Stand-ins for an evaluation outside pytest: no plugins, and a source that holds no baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_llmcompare.baselines.store import BaselineSet
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.judgement import Judgement, ModelVerdict
from pytest_llmcompare.models.spec import ModelSpec
from pytest_llmcompare.records import Baseline, Case, GroupKey, GroupResult
from pytest_llmcompare.suite.extensions import Given

CALL = "pytest_llmcompare.compare"
"""Name that messages use in place of a test."""


class NoPlugins:
    """Extensions of a run without plugins: none."""

    loads_models = False

    def load_table(self, source: Any, base: Path) -> Given | None:
        """No plugin reads tables."""

    def load_model(self, spec: ModelSpec) -> Given | None:
        """No plugin loads models."""

    def judge(self, case: Case, baseline: Baseline, candidate: Generation, judgement: Judgement) -> Judgement:
        """The verdict as it is."""
        del case, baseline, candidate
        return judgement

    def judge_model(self, group: GroupKey, verdict: ModelVerdict) -> ModelVerdict:
        """The verdict as it is."""
        del group
        return verdict

    def metrics(self, table: str, model: str) -> Given:
        """No further metrics."""
        del table, model
        return Given([], CALL)

    def group_finished(self, result: GroupResult) -> str:
        """Nothing to notify."""
        del result
        return ""


@dataclass(frozen=True)
class NoBaselines:
    """A source that has no baselines, for models that are only compared with each other."""

    title: str = "no baselines"
    pinned: str = ""
    copying: str = ""

    def load(self, group: GroupKey, cases: Sequence[Case]) -> BaselineSet:
        """An empty set."""
        del group, cases
        return BaselineSet(lacking="no baselines were asked for")
