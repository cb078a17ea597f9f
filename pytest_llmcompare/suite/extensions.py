"""Protocols for what plugins add to a run and for progress, so that rooms below `run` need no pytest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pytest_llmcompare.generation import Generation
from pytest_llmcompare.judgement import Judgement, ModelVerdict
from pytest_llmcompare.records import Baseline, Case, GroupKey, GroupResult

if TYPE_CHECKING:
    from pytest_llmcompare.models.spec import ModelSpec


class Given(NamedTuple):
    """A value from a plugin, and the hook and plugin that it is from, for messages."""

    value: Any
    source: str


class Extensions(Protocol):
    """What plugins add for the tests of one folder.

    A hook that raises or returns something unexpected becomes a `HookError` that names it, unless a method says
    otherwise.
    """

    @property
    def loads_models(self) -> bool:
        """True if any plugin loads models of its own kind."""

    def load_table(self, source: Any, base: Path) -> Given | None:
        """The rows of a table, as a list or a pandas DataFrame; None if no plugin knows the source."""

    def load_model(self, spec: ModelSpec) -> Given | None:
        """A model of a kind that a plugin loads; None if no plugin knows the kind."""

    def judge(self, case: Case, baseline: Baseline, candidate: Generation, judgement: Judgement) -> Judgement:
        """The verdict on an output, by default `judgement`; `error` with the reason if a plugin's hook fails."""

    def judge_model(self, group: GroupKey, verdict: ModelVerdict) -> ModelVerdict:
        """The verdict on a model, by default `verdict`."""

    def metrics(self, table: str, model: str) -> Given:
        """The MLflow metrics that plugins add to a table, as a list."""

    def group_finished(self, result: GroupResult) -> str:
        """Call the plugins' hook for a finished group; return the message of its error, empty if none failed."""


class Progress(Protocol):
    """Shows how the evaluation of a group proceeds."""

    def begin(self, key: GroupKey, total: int) -> None:
        """Start a group of `total` cases."""

    def step(self, generation: Generation | None) -> None:
        """Count one more case; `generation` is None if it failed."""

    def end(self) -> None:
        """End the group."""

    def say(self, text: str) -> None:
        """Show a step that takes a while, such as `loading gpt2-large`."""

    def announce(self, text: str) -> None:
        """Show what is about to be done, in a line that stays."""

    def ask_many(self, at_once: int) -> None:
        """Note that cases are asked from now on, `at_once` of them at a time."""
