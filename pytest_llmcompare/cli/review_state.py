"""A review of pending outputs: which comes next, what was decided, what can be taken back. Pure.

Equal drifts stand next to each other, so that one decision can settle the rest of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from pytest_llmcompare.baselines.pending import Entry
from pytest_llmcompare.judgement import Verdict
from pytest_llmcompare.records import CaseKey

Alike = tuple[str, str, str, str]


class Decision(Enum):
    """What is decided about an output."""

    ACCEPT = "accept"
    REJECT = "reject"
    SKIP = "skip"


class Review:
    """A review in progress.

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
        self._steps: list[dict[CaseKey, Decision | None]] = []  # what was decided about these before

    @property
    def current(self) -> Entry | None:
        """The first output that nothing was decided about."""
        return next((entry for entry in self.entries if entry.key not in self.decisions), None)

    @property
    def left(self) -> int:
        """How many outputs nothing was decided about."""
        return len(self.entries) - len(self.decisions)

    @property
    def place(self) -> str:
        """Where the current output stands: `[3/17]`."""
        return f"[{min(len(self.decisions) + 1, len(self.entries))}/{len(self.entries)}]"

    @property
    def rest(self) -> list[Entry]:
        """The current output and those after it that changed in the same way."""
        return [] if self.current is None else self.alike_to(self.current)

    def alike_to(self, entry: Entry) -> list[Entry]:
        """This output, and the undecided ones that changed in the same way."""
        kind = alike(entry)
        return [
            other
            for other in self.entries
            if other is entry or (other.key not in self.decisions and alike(other) == kind)
        ]

    def decide(self, decision: Decision, entry: Entry | None = None, *, whole_group: bool = False) -> None:
        """Decide about an output, also another way than before, or with it about the rest of those alike.

        Args:
            decision: What is decided.
            entry: The output; by default the current one.
            whole_group: Whether the undecided ones that changed in the same way are meant, too.
        """
        entry = entry or self.current
        if entry is None:
            return
        keys = [one.key for one in (self.alike_to(entry) if whole_group else [entry])]
        before = {key: self.decisions.get(key) for key in keys if self.decisions.get(key) is not decision}
        self.decisions.update(dict.fromkeys(before, decision))
        if before:
            self._steps.append(before)

    @property
    def can_undo(self) -> bool:
        """Whether there is a decision to take back."""
        return bool(self._steps)

    def undo(self) -> bool:
        """Take back the last decision; whether there was one."""
        if not self._steps:
            return False
        for key, before in self._steps.pop().items():
            if before is None:
                del self.decisions[key]
            else:
                self.decisions[key] = before
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
