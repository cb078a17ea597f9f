"""Baselines from a plugin's source, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_llmcompare.baselines.store import BaselineSet
from pytest_llmcompare.errors import HookError
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.records import Baseline, Case, GroupKey

EXPECTED = "a dict from case.key to a text, a Generation or a Baseline"


@dataclass(frozen=True)
class GivenBaselines:
    """A source of baselines that a plugin opened.

    Attributes:
        title: Name for the header and messages.
        given: The plugin's source: an object with `load(group, cases)`.
        guarded: Runs the plugin's code; an error names the plugin.
        wrong: Makes the error for a value that the plugin must not return.
    """

    title: str
    given: Any
    guarded: Callable[[Callable[[], Any]], Any]
    wrong: Callable[[str], HookError]

    @property
    def pinned(self) -> str:
        """The version that the source resolves to, if the plugin names one."""
        return str(getattr(self.given, "pinned", ""))

    @property
    def copying(self) -> str:
        """The command that copies its baselines into files, if the plugin names one."""
        return str(getattr(self.given, "copying", ""))

    def load(self, group: GroupKey, cases: Sequence[Case]) -> BaselineSet:
        """The baselines of a group.

        Raises:
            HookError: The plugin raised, or returned something that the hook does not allow.
        """
        given = self.guarded(lambda: self.given.load(group, cases))
        if not isinstance(given, Mapping):
            raise self.wrong(f"gave baselines whose load returned {type(given).__name__}, expected {EXPECTED}.")
        by_key = {case.key: case for case in cases}
        baselines = {}
        for key, value in given.items():
            case = by_key.get(key)
            if case is None:
                raise self.wrong(f"gave a baseline for {key!r}, which is not the key of any case.")
            baselines[case.key.row] = self.baseline(case, value)
        return BaselineSet(baselines=baselines, lacking=f"{self.title} has no baseline of this case")

    def baseline(self, case: Case, value: object) -> Baseline:
        """A value from the plugin as a baseline; without hashes it counts as recorded for this case."""
        if isinstance(value, Baseline):
            return replace(value, row=case.key.row)
        if not isinstance(value, str):
            raise self.wrong(f"gave baselines whose load returned {type(value).__name__} values, expected {EXPECTED}.")
        generation = value if isinstance(value, Generation) else Generation(value)
        return Baseline(case.key.row, generation, case.input_hash, case.settings_hash)
