"""Verdicts of comparisons, with their evidence. Standard library only, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """Verdict on a candidate, compared with its baseline."""

    IDENTICAL = "identical"
    NEAR_TIE = "near_tie"
    SHIFTED = "shifted"
    DRIFTED = "drifted"
    MISSING = "missing"
    STALE = "stale"
    ERROR = "error"


COMPARED = (Verdict.IDENTICAL, Verdict.NEAR_TIE, Verdict.SHIFTED, Verdict.DRIFTED)
"""Verdicts on an output that could be compared: the whole that a drift rate is a part of."""


@dataclass(frozen=True)
class Likelihood:
    """Log-probs of the baseline's tokens today, compared with those at the time of recording.

    Attributes:
        rms: Root mean square of the differences of log-probability (nats); signs would cancel in a mean.
        mean: Mean of the differences, now minus then; for drawn outputs an estimate of the divergence per token.
        worst: The difference that is largest by magnitude.
        position: Index of its token.
        band: Largest `rms` that counts as numerical noise here.
    """

    rms: float
    mean: float
    worst: float
    position: int
    band: float

    @property
    def is_noise(self) -> bool:
        """True if within the noise band; NaN is never noise."""
        return self.rms <= self.band


@dataclass(frozen=True)
class Judgement:
    """A verdict with its evidence.

    Attributes:
        verdict: The verdict.
        position: Index of the first token (or, for models without tokens, the first character) that differs.
        length: Number of the baseline's tokens (or characters).
        baseline_token: What the baseline has at `position`, as text; empty where it had ended.
        candidate_token: What the candidate has at `position`, as text; empty where it had ended.
        unit: `tok` or `char`, what `position` and `length` count.
        margin: By how much (nats) today's choice at `position` is ahead of the baseline's token, where that is known.
        mismatches: At how many of the baseline's tokens the model would choose another one, where that is known.
        tolerance: Largest margin (nats) that counts as a tie here; None where margins do not count.
        likelihood: How far likelihoods moved, where both sides know theirs.
        reason: One sentence for `stale`, `missing` and `error`: what does not fit, and how to mend it; else how
            similar texts are, where that was asked.
    """

    verdict: Verdict
    position: int | None = None
    length: int | None = None
    baseline_token: str = ""
    candidate_token: str = ""
    unit: str = "tok"
    margin: float | None = None
    mismatches: int | None = None
    tolerance: float | None = None
    likelihood: Likelihood | None = None
    reason: str = ""
