"""What plugins may add to a run, for those who know nothing of pytest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pytest_llmcompare.generation import Generation
from pytest_llmcompare.judgement import Judgement
from pytest_llmcompare.records import Baseline, Case, GroupKey, GroupResult

if TYPE_CHECKING:
    from pytest_llmcompare.models.spec import ModelSpec


class Given(NamedTuple):
    """What a plugin gave, and whose it is, for messages about it."""

    value: Any
    source: str


class Extensions(Protocol):
    """What plugins add for the tests of one folder.

    Whatever a plugin does wrong in them is a `HookError` that names it, unless they say otherwise.
    """

    @property
    def loads_models(self) -> bool:
        """Whether there is anybody to ask for models of another kind."""

    def load_table(self, source: Any, base: Path) -> Given | None:
        """The rows of a table, as a list or a pandas DataFrame; None where nobody knows the source."""

    def load_model(self, spec: ModelSpec) -> Given | None:
        """A model of another kind; None where nobody knows the kind."""

    def judge(self, case: Case, baseline: Baseline, candidate: Generation, judgement: Judgement) -> Judgement:
        """The verdict on an output, by default ours; `error` with the reason where a plugin does wrong."""

    def metrics(self, table: str, model: str) -> Given:
        """A list of further MLflow metrics of a table."""

    def group_finished(self, result: GroupResult) -> str:
        """Tell that a group is evaluated; what went wrong in that."""


class Progress(Protocol):
    """Told how a group proceeds."""

    def begin(self, key: GroupKey, total: int) -> None:
        """A group of `total` cases starts."""

    def step(self, generation: Generation | None) -> None:
        """One more case is done; None where it failed."""

    def end(self) -> None:
        """The group is done."""

    def say(self, text: str) -> None:
        """Something that takes a while begins."""
