"""The end of a review, on the terminal and in the browser: what was decided is done, and told."""

from __future__ import annotations

import contextlib
from pathlib import Path

from pytest_llmcompare.review import Decision, Review
from pytest_llmcompare.settling import Outcome, settle

from .accept import show


def carried_out(root: Path, review: Review) -> Outcome:
    """Do what was decided."""
    return settle(root, review.decided(Decision.ACCEPT), review.decided(Decision.REJECT))


def close(review: Review, outcome: Outcome) -> int:
    """Print what became of it; the exit code."""
    left = len(review.entries) - len(outcome.accepted) - len(outcome.rejected)
    with contextlib.suppress(OSError):  # the terminal may have gone
        show(outcome)
        print(f"{len(outcome.rejected):,} rejected. {left:,} left for another time.", flush=True)
    return 1 if outcome.faults else 0
