"""The state of a review: which output comes next, the decisions so far, undo. Pure.

Outputs that changed in the same way are next to each other, so that one decision can be for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import Enum

from pytest_llmcompare.baselines.pending import Entry
from pytest_llmcompare.judgement import Verdict
from pytest_llmcompare.records import CaseKey

ChangeKey = tuple[str, str, str, str]


class Decision(Enum):
    """A decision about a pending output."""

    ACCEPT = "accept"
    REJECT = "reject"
    SKIP = "skip"


class Review:
    """A review in progress.

    Attributes:
        entries: All outputs, in the order in which they are shown.
        decisions: The decisions so far.
        is_by_margin: Whether they are sorted by margin.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        groups: dict[ChangeKey, list[Entry]] = {}
        for entry in entries:
            groups.setdefault(change_key(entry), []).append(entry)
        self.entries = [entry for group in groups.values() for entry in group]
        self.decisions: dict[CaseKey, Decision] = {}
        self.is_by_margin = False
        self._grouped = tuple(self.entries)
        self._chosen: Entry | None = None
        self._steps: list[dict[CaseKey, Decision | None]] = []  # earlier decisions about the cases of each step

    @property
    def current(self) -> Entry | None:
        """The output that was gone to, else the first one without a decision."""
        return self._chosen or next((entry for entry in self.entries if entry.key not in self.decisions), None)

    @property
    def place(self) -> str:
        """Position of the current output: `[3/17]`."""
        return f"[{min(self._index + 1, len(self.entries))}/{len(self.entries)}]"

    @property
    def _index(self) -> int:
        """Index of the current output; the number of outputs at the end."""
        return len(self.entries) if self.current is None else self.entries.index(self.current)

    @property
    def alike(self) -> list[Entry]:
        """The current output, and those without a decision that changed in the same way."""
        current = self.current
        if current is None:
            return []
        key = change_key(current)
        others = (entry for entry in self.entries if entry.key not in self.decisions and entry is not current)
        return [current, *(entry for entry in others if change_key(entry) == key)]

    def step(self, by: int) -> bool:
        """Go this number of places on, to a decided output, too; return whether there is one."""
        index = self._index + by
        if not 0 <= index < len(self.entries):
            return False
        self._chosen = self.entries[index]
        return True

    def go(self, wanted: str) -> bool:
        """Go to the output with this number, or the next one with this text in its name; return whether it is there."""
        if wanted.isdecimal():
            return 0 < int(wanted) <= len(self.entries) and self.step(int(wanted) - 1 - self._index)
        following = [*self.entries[self._index + 1 :], *self.entries[: self._index + 1]]
        named = next((entry for entry in following if wanted and wanted in str(entry.key)), None)
        self._chosen = named or self._chosen
        return named is not None

    def sort(self) -> None:
        """Sort by margin, the largest first and outputs without one last; if they are, group them again."""
        self.is_by_margin = not self.is_by_margin
        self.entries = list(self._grouped)
        if self.is_by_margin:
            self.entries.sort(key=_margin, reverse=True)
        self._chosen = None

    def decide(self, decision: Decision, *, all_alike: bool = False) -> None:
        """Decide about the current output.

        Args:
            decision: The decision.
            all_alike: Decide the same about all outputs that changed in the same way and have no decision.
        """
        keys = [entry.key for entry in self.alike[: None if all_alike else 1]]
        if keys:
            self._steps.append({key: self.decisions.get(key) for key in keys})
            self.decisions.update(dict.fromkeys(keys, decision))
            self._chosen = None

    def undo(self) -> bool:
        """Take the last decision back; return whether there was one."""
        if not self._steps:
            return False
        for key, before in self._steps.pop().items():
            del self.decisions[key]
            if before is not None:
                self.decisions[key] = before
        self._chosen = None
        return True

    def decided(self, decision: Decision) -> list[Entry]:
        """Return the outputs with this decision."""
        return [entry for entry in self.entries if self.decisions.get(entry.key) is decision]


def _margin(entry: Entry) -> float:
    return -math.inf if entry.judgement.margin is None else entry.judgement.margin


def change_key(entry: Entry) -> ChangeKey:
    """Return a key that is equal for outputs that changed in the same way.

    That is the model, the verdict and, if the output drifted, the token that became another one.
    """
    judgement = entry.judgement
    tokens = (judgement.baseline_token, judgement.candidate_token) if judgement.verdict is Verdict.DRIFTED else ("", "")
    return (entry.key.group.model, str(judgement.verdict), *tokens)
