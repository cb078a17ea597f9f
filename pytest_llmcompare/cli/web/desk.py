"""A review that is open in the browser and the terminal at once, until one of them ends it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from pytest_llmcompare.cli.apply_decisions import Outcome
from pytest_llmcompare.cli.review_state import Decision, Review
from pytest_llmcompare.records import CaseKey

State = dict[str, Any]
"""What the page shows: JSON."""


class Closed(Exception):  # noqa: N818
    """Nothing can be decided any more."""


class Desk:
    """A review that waits to be ended, by the page or by the terminal.

    Attributes:
        review: The review; it may be read only after the desk is closed.
    """

    def __init__(self, review: Review) -> None:
        self.review = review
        self._changed = threading.Condition()
        self._version = 0
        self._asked = False
        self._closed = False
        self._end: State | None = None

    def decide(self, number: int, decision: Decision, whole_group: bool) -> State:
        """Decide about the entry with this number, or with it about those alike; the state after it.

        Raises:
            Closed: The review has ended.
            IndexError: There is no such entry.
        """
        with self._changed:
            self._check_open()
            if number < 0:
                raise IndexError(number)
            self.review.decide(decision, self.review.entries[number], whole_group=whole_group)
            return self._next()

    def undo(self) -> State:
        """Take the last decision back; the state after it. Raises as `decide` does."""
        with self._changed:
            self._check_open()
            self.review.undo()
            return self._next()

    def ask_to_end(self) -> None:
        """The page wants what was decided to be carried out."""
        with self._changed:
            self._asked = True
            self._changed.notify_all()

    def wait_to_end(self, seconds: float) -> bool:
        """Wait until the page wants the review to end; whether it does."""
        with self._changed:
            return self._changed.wait_for(lambda: self._asked, seconds)

    def close(self) -> Review:
        """Take no more decisions; the review as it is then."""
        with self._changed:
            self._closed = True
            return self.review

    def publish(self, outcome: Outcome, written: Sequence[str]) -> None:
        """Show what became of each entry.

        Args:
            outcome: What became of them.
            written: The files that were written, as lines.
        """
        with self._changed:
            self._end = {
                "by": "page" if self._asked else "terminal",
                "became": [fate(outcome, entry.key) for entry in self.review.entries],
                "why": [outcome.refused.get(entry.key, "") for entry in self.review.entries],
                "faults": list(outcome.faults),
                "written": list(written),
            }
            self._next()

    def state(self, after: int | None = None, seconds: float = 0.0) -> State:
        """What there is to show.

        Args:
            after: Wait for a later version than this one.
            seconds: How long to wait for it.
        """
        with self._changed:
            if after is not None:
                self._changed.wait_for(lambda: self._version != after, seconds)
            return self._state()

    def end(self, seconds: float) -> State:
        """Wait for what became of it."""
        with self._changed:
            self._changed.wait_for(lambda: self._end is not None, seconds)
            return self._state()

    def _check_open(self) -> None:
        if self._closed:
            raise Closed

    def _next(self) -> State:
        self._version += 1
        self._changed.notify_all()
        return self._state()

    def _state(self) -> State:
        decisions = [self.review.decisions.get(entry.key) for entry in self.review.entries]
        return {
            "version": self._version,
            "decisions": [decision and decision.value for decision in decisions],
            "undo": self.review.can_undo,
            "end": self._end,
        }


def fate(outcome: Outcome, key: CaseKey) -> str:
    """What became of a case, in a word."""
    if key in outcome.refused:
        return "refused"
    return "accepted" if key in outcome.accepted else "rejected" if key in outcome.rejected else "left"
