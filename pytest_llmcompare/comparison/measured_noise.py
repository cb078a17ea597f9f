"""Noise measured when recording: how far the log-probs of a model and table move although nothing changes. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from pytest_llmcompare.generation import Environment

from .environments import NOISE, without_noise


@dataclass(frozen=True)
class MeasuredNoise:
    """How far the log-probs of a model and table move although nothing changes, measured when recording.

    Attributes:
        rms: Root mean square of the differences over all tokens measured (nats).
        band: Largest rms of one case that counts as noise (nats); None follows the number format.
        tie: Largest margin that noise can decide (nats); None follows the number format.
    """

    rms: float
    band: float | None = None
    tie: float | None = None

    @classmethod
    def from_movements(cls, rms: float, largest: float, lead: float) -> MeasuredNoise:
        """Noise of a server; its limits are three times the largest movements seen, but not below the usual noise.

        Args:
            rms: Root mean square over all tokens (nats).
            largest: Largest rms of a case (nats).
            lead: Largest movement of a top-2 margin (nats).
        """
        return cls(rms, max(3 * largest, 3e-4), max(3 * lead, 1e-2))

    @classmethod
    def read(cls, environment: Environment) -> MeasuredNoise | None:
        """The noise in an environment; None if there is none, or it cannot be read."""
        try:
            numbers = [float(part) for part in dict(environment).get(NOISE, "").split("/")]
        except ValueError:
            return None
        if len(numbers) not in (1, 3) or not all(0 <= number < math.inf for number in numbers) or 0 in numbers[1:]:
            return None
        return cls(*numbers)

    def widened(self, other: MeasuredNoise) -> MeasuredNoise:
        """The larger of both, number by number."""
        limits = ((self.band, other.band), (self.tie, other.tie))
        band, tie = (max((limit for limit in pair if limit is not None), default=None) for pair in limits)
        return MeasuredNoise(max(self.rms, other.rms), band, tie)

    @property
    def text(self) -> str:
        """How a baseline file holds it: `1.3e-06`, with limits `4.2e-05/3.0e-04/1.0e-02`."""
        return "/".join(f"{number:.1e}" for number in (self.rms, self.band, self.tie) if number is not None)

    def write(self, environment: Environment) -> Environment:
        """An environment that holds this noise."""
        return tuple(sorted([*without_noise(environment), (NOISE, self.text)]))


def holds_noise(recorded: Iterable[Environment], environment: Environment) -> bool:
    """True if baselines were recorded in this environment, and noise was measured then."""
    return any(without_noise(one) == without_noise(environment) and MeasuredNoise.read(one) for one in {*recorded})
