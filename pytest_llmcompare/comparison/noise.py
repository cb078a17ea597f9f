"""Limits of numerical noise: how far log-probs and margins move although nothing changed. Pure.

Rounding errors grow with the numbers that are summed, so the limits follow the precision and the largest logit. Another
version of a library, or another device, sums in another order. `docs/verdicts.md` gives the measurement behind each
number, and `benchmarks/noise.py` repeats it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_llmcompare.generation import Environment
from pytest_llmcompare.judgement import Likelihood


def likelihood_drift(
    then: Sequence[float] | None, now: Sequence[float] | None, band: float, most: int | None = None
) -> Likelihood | None:
    """Compare log-probs (nats) of the same tokens.

    Args:
        then: Log-probs of the baseline; None if unknown.
        now: Today's log-probs, at least of the first tokens; None if unknown.
        band: Largest root mean square that counts as noise.
        most: Number of tokens to compare; None compares all that both have.

    Returns:
        None if there is nothing to compare. A NaN gives an `rms` of NaN.
    """
    if then is None or now is None:
        return None
    differences = [today - before for before, today in zip(then, now, strict=False)][:most]
    if not differences:
        return None
    position = max(range(len(differences)), key=lambda at: abs(differences[at]))
    count = len(differences)
    return Likelihood(
        rms=math.sqrt(sum(difference * difference for difference in differences) / count),
        mean=sum(differences) / count,
        worst=differences[position],
        position=position,
        band=band,
    )


WEIGHTS = "weights"
"""The entry of an environment that identifies the model; all others but `NOISE` decide how its numbers are summed."""


VERSION = "version"
"""The entry of an environment with the version of a server, which only some servers tell."""

NOISE = "noise"
"""The entry of an environment with the noise of a server: its band and its tie, such as `3.4e-04/1.7e-02`."""


@dataclass(frozen=True)
class Precision:
    """Noise limits of a number format.

    Attributes:
        step: Distance from 1 to the next number (`torch.finfo(dtype).eps`).
        tie: Largest margin that noise can decide, in steps of the largest logit.
        least_tie: Lower bound of that margin (nats), for small logits.
        band: Largest rms of log-prob differences that is noise, in steps of the largest logit.
        least_band: Lower bound of that rms (nats), for small logits.
    """

    step: float
    tie: float
    least_tie: float
    band: float
    least_band: float


PRECISIONS: Mapping[str, Precision] = {
    "float64": Precision(2**-52, tie=100, least_tie=1e-6, band=4, least_band=1e-6),
    "float32": Precision(2**-23, tie=100, least_tie=1e-3, band=4, least_band=1e-5),
    "bfloat16": Precision(2**-7, tie=4, least_tie=0.5, band=0.25, least_band=0.1),
    "float16": Precision(2**-10, tie=4, least_tie=6e-2, band=0.25, least_band=1.5e-2),
}
COARSEST = "bfloat16"
ELSEWHERE = 5
"""Factor of the band if versions or the device are not those of the baseline."""

USUAL_SCALE = 32.0
"""Largest logit of a usual model."""

TOKEN_BAND = 5e-5
"""Largest difference (nats) of a token's log-prob between a batch and a single prompt, or between one forward pass and
many; 1.4e-5 was the largest seen in float32."""


@dataclass(frozen=True)
class Limits:
    """Noise limits of one case.

    Attributes:
        tolerance: Largest margin (nats) that counts as a tie.
        band: Largest rms of log-prob differences (nats) that counts as noise.
    """

    tolerance: float
    band: float


def limits(now: Environment, then: Environment, scale: float | None, tolerance: float | None = None) -> Limits:
    """Return the noise limits between two environments.

    Args:
        now: Environment of the candidate.
        then: Environment of the baseline.
        scale: Largest logit by magnitude; None if unknown.
        tolerance: Margin (nats) that the user chose; None takes the margin of the coarser precision.
    """
    elsewhere = 1 if same_numerics(now, then) else ELSEWHERE
    if learnt := LearntNoise.read(then) or LearntNoise.read(now):
        return Limits(elsewhere * learnt.tie if tolerance is None else tolerance, elsewhere * learnt.band)
    precision = max((precision_of(now), precision_of(then)), key=lambda precision: precision.step)
    unit = precision.step * (USUAL_SCALE if scale is None else scale)
    usual = max(precision.least_tie, precision.tie * unit)
    return Limits(
        tolerance=usual if tolerance is None else tolerance,
        band=elsewhere * max(precision.least_band, precision.band * unit),
    )


@dataclass(frozen=True)
class LearntNoise:
    """Noise of a server, learnt from answers to the same questions while nothing changed.

    Attributes:
        band: Largest rms of log-prob differences (nats) that counts as noise.
        tie: Largest margin (nats) that noise can decide.
    """

    band: float
    tie: float

    @classmethod
    def from_movements(cls, rms: float, lead: float) -> LearntNoise:
        """Three times the largest movements seen, of a case's log-probs and of a top-2 margin, and not too little."""
        return cls(max(3 * rms, 3e-4), max(3 * lead, 1e-2))

    @classmethod
    def read(cls, environment: Environment) -> LearntNoise | None:
        """The noise in an environment; None if there is none, or it cannot be read."""
        band, _, tie = dict(environment).get(NOISE, "").partition("/")
        try:
            noise = cls(float(band), float(tie))
        except ValueError:
            return None
        return noise if 0 < noise.band < math.inf and 0 < noise.tie < math.inf else None

    def write(self, environment: Environment) -> Environment:
        """An environment that holds this noise."""
        others = [pair for pair in environment if pair[0] != NOISE]
        return tuple(sorted([*others, (NOISE, f"{self.band:.1e}/{self.tie:.1e}")]))


def unsure(best: float) -> float:
    """Return the margin (nats) in float32 up to which a shortcut may have changed a choice, which is then made again.

    Padding, batches and one forward pass over many tokens move margins by 4e-5 at most. The margin is narrower than
    the tolerance of a verdict, which also holds between machines.

    Args:
        best: Logit of the best token; a large one is less precise.
    """
    return max(1e-4, 4e-6 * abs(best))


def precision_of(environment: Environment) -> Precision:
    """Precision of an environment; an unknown one counts as the coarsest."""
    return PRECISIONS.get(dict(environment).get("dtype", ""), PRECISIONS[COARSEST])


def numerics(environment: Environment) -> tuple[tuple[str, str], ...]:
    """Entries of an environment that decide how numbers are summed."""
    return tuple(pair for pair in environment if pair[0] not in (WEIGHTS, NOISE))


def same_numerics(one: Environment, other: Environment) -> bool:
    """True if nothing is known to sum numbers in another order; a version that one of them lacks is unknown."""
    facts, others = dict(numerics(one)), dict(numerics(other))
    if VERSION not in facts or VERSION not in others:
        facts.pop(VERSION, None)
        others.pop(VERSION, None)
    return facts == others
