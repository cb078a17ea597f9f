"""The state of a review: which output comes next, the decisions so far, undo. Pure.

Outputs that changed in the same way stand next to each other, so that one decision can be for all of them.
"""

from __future__ import annotations

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
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        groups: dict[ChangeKey, list[Entry]] = {}
        for entry in entries:
            groups.setdefault(change_key(entry), []).append(entry)
        self.entries = [entry for group in groups.values() for entry in group]
        self.decisions: dict[CaseKey, Decision] = {}
        self._steps: list[list[CaseKey]] = []  # the cases decided in each step, for undo

    @property
    def current(self) -> Entry | None:
        """The first output without a decision."""
        return next((entry for entry in self.entries if entry.key not in self.decisions), None)

    @property
    def place(self) -> str:
        """Position of the current output: `[3/17]`."""
        return f"[{min(len(self.decisions) + 1, len(self.entries))}/{len(self.entries)}]"

    @property
    def alike(self) -> list[Entry]:
        """The current output and those after it that changed in the same way."""
        if self.current is None:
            return []
        key = change_key(self.current)
        return [entry for entry in self.entries if entry.key not in self.decisions and change_key(entry) == key]

    def decide(self, decision: Decision, *, all_alike: bool = False) -> None:
        """Decide about the current output.

        Args:
            decision: The decision.
            all_alike: Decide the same about all outputs after it that changed in the same way.
        """
        keys = [entry.key for entry in self.alike[: None if all_alike else 1]]
        if keys:
            self.decisions.update(dict.fromkeys(keys, decision))
            self._steps.append(keys)

    def undo(self) -> bool:
        """Take the last decision back; return whether there was one."""
        if not self._steps:
            return False
        for key in self._steps.pop():
            del self.decisions[key]
        return True

    def decided(self, decision: Decision) -> list[Entry]:
        """Return the outputs with this decision."""
        return [entry for entry in self.entries if self.decisions.get(entry.key) is decision]


def change_key(entry: Entry) -> ChangeKey:
    """Return a key that is equal for outputs that changed in the same way.

    That is the model, the verdict and, if the output drifted, the token that became another one.
    """
    judgement = entry.judgement
    tokens = (judgement.baseline_token, judgement.candidate_token) if judgement.verdict is Verdict.DRIFTED else ("", "")
    return (entry.key.group.model, str(judgement.verdict), *tokens)
