"""A review of pending outputs: which comes next, what was decided, what can be taken back. Pure.

Equal drifts stand next to each other, so that one decision can settle the rest of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from .baselines.pending import Entry
from .judgements import Verdict
from .records import CaseKey

Alike = tuple[str, str, str, str]


class Decision(Enum):
    """What is decided about an output."""

    ACCEPT = "accept"
    REJECT = "reject"
    SKIP = "skip"


class Review:
    """A review under way.

    Attributes:
        entries: All outputs, in the order in which they are shown.
        decisions: What was decided so far.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        groups: dict[Alike, list[Entry]] = {}
        for entry in entries:
            groups.setdefault(alike(entry), []).append(entry)
        self.entries = [entry for group in groups.values() for entry in group]
        self.decisions: dict[CaseKey, Decision] = {}
        self._steps: list[list[CaseKey]] = []

    @property
    def current(self) -> Entry | None:
        """The first output that nothing was decided about."""
        return next((entry for entry in self.entries if entry.key not in self.decisions), None)

    @property
    def place(self) -> str:
        """Where the current output stands: `[3/17]`."""
        return f"[{min(len(self.decisions) + 1, len(self.entries))}/{len(self.entries)}]"

    @property
    def rest(self) -> list[Entry]:
        """The current output and those after it that changed in the same way."""
        current = self.current
        if current is None:
            return []
        kind = alike(current)
        return [entry for entry in self.entries if entry.key not in self.decisions and alike(entry) == kind]

    def decide(self, decision: Decision, *, whole_group: bool = False) -> None:
        """Decide about the current output, or about the rest of those that changed in the same way."""
        keys = [entry.key for entry in (self.rest if whole_group else self.rest[:1])]
        self.decisions.update(dict.fromkeys(keys, decision))
        if keys:
            self._steps.append(keys)

    def undo(self) -> bool:
        """Take back the last decision; whether there was one."""
        if not self._steps:
            return False
        for key in self._steps.pop():
            del self.decisions[key]
        return True

    def decided(self, decision: Decision) -> list[Entry]:
        """The outputs about which this was decided."""
        return [entry for entry in self.entries if self.decisions.get(entry.key) is decision]


def alike(entry: Entry) -> Alike:
    """Equal for outputs that changed in the same way: of a drift the same token became the same other one."""
    judgement = entry.judgement
    changed = (
        (judgement.baseline_token, judgement.candidate_token) if judgement.verdict is Verdict.DRIFTED else ("", "")
    )
    return (entry.key.group.model, str(judgement.verdict), *changed)
