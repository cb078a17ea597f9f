"""Limits of numerical noise: how far log-probs and margins move although nothing changed. Pure.

Rounding errors grow with the numbers that are summed, so the limits follow the precision and the largest logit, and the
noise that was measured when recording. Another kind of device sums in another order. `docs/measurements.md` gives the
measurement behind each number; `benchmarks/noise.py` and `benchmarks/verdicts.py` repeat it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_llmcompare.generation import Environment
from pytest_llmcompare.judgement import Likelihood

from .environments import SERVER, lowers_matmul, rounds_activations, same_device, same_numerics
from .measured_noise import MeasuredNoise


def likelihood_drift(
    then: Sequence[float] | None,
    now: Sequence[float] | None,
    band: float,
    most: int | None = None,
    *,
    as_read: bool = False,
) -> Likelihood | None:
    """Compare log-probs (nats) of the same tokens.

    Args:
        then: Log-probs of the baseline; None if unknown.
        now: Today's log-probs, at least of the first tokens; None if unknown.
        band: Largest root mean square that counts as noise.
        most: Number of tokens to compare; None compares all that both have.
        as_read: Whether both are log-probs as read.

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
        rms=root_mean_square([difference * difference for difference in differences]),
        mean=sum(differences) / count,
        worst=differences[position],
        position=position,
        band=band,
        tokens=count,
        as_read=as_read,
    )


def root_mean_square(squares: Sequence[float]) -> float:
    """Root of the mean of squares; 0 if there are none."""
    return math.sqrt(sum(squares) / len(squares)) if squares else 0.0


def uncertainty(logprobs: Sequence[float]) -> float:
    """Mean of (1 - p)² over tokens of probability p: log-probs of unlikely tokens move most, roughly by this factor."""
    return sum((1 - math.exp(min(0.0, value))) ** 2 for value in logprobs) / max(1, len(logprobs))


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
"""Factor of the band on another kind of device, whose noise has not been measured, or behind another server.

Other instruction sets, attention and versions stay within the band, so they widen nothing.
"""

USUAL_SCALE = 32.0
"""Largest logit of a usual model."""

UNMEASURED_NOISE = 1.7e-5
"""Noise (nats, root mean square) of a case where it was not measured; 1.4e-5 was the largest seen of a token."""

ROUNDED_BAND = 1e-2
"""Smallest band (nats) of a case of a model with quantised activations: one that is rounded to another number moves
log-probs a hundred times further than float32 does, and noise that was measured may hold none."""

CASE_NOISE = 10
"""Noise of a single case, which has few tokens, in units of the noise of all tokens together."""


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
    elsewhere = _factor(now, then)
    measured = MeasuredNoise.read(then) or MeasuredNoise.read(now)
    if measured and measured.band is not None and measured.tie is not None:
        return Limits(elsewhere * measured.tie if tolerance is None else tolerance, elsewhere * measured.band)
    precision = max((precision_of(now), precision_of(then)), key=lambda precision: precision.step)
    unit = precision.step * (USUAL_SCALE if scale is None else scale)
    usual = max(precision.least_tie, precision.tie * unit)
    least_band = max(precision.least_band, ROUNDED_BAND if rounds_activations(now, then) else 0.0)
    return Limits(
        tolerance=usual if tolerance is None else tolerance,
        band=elsewhere * max(least_band, precision.band * unit, CASE_NOISE * measured.rms if measured else 0.0),
    )


def read_band(now: Environment, then: Environment, scale: float | None) -> float:
    """Largest rms of differences (nats) that is noise between two readings, in which all weights are in float32."""
    if lowers_matmul(now) or lowers_matmul(then):
        return limits(now, then, scale).band
    precision = PRECISIONS["float32"]
    least = ROUNDED_BAND if rounds_activations(now, then) else precision.least_band
    usual = max(least, precision.band * precision.step * (USUAL_SCALE if scale is None else scale))
    measured = MeasuredNoise.read(then) or MeasuredNoise.read(now)
    return _factor(now, then) * max(usual, CASE_NOISE * measured.rms if measured else 0.0)


def stored_band(then: Environment, now: Environment) -> float:
    """Largest rms of differences (nats) for which a baseline file keeps the log-probs that it has."""
    measured = MeasuredNoise.read(then) or MeasuredNoise.read(now)
    return max(1e-6, 3 * (measured.rms if measured else UNMEASURED_NOISE))


def _factor(now: Environment, then: Environment) -> int:
    """How many times wider bands are between two environments."""
    if SERVER in dict(now) or SERVER in dict(then):
        return 1 if same_numerics(now, then) else ELSEWHERE
    return 1 if same_device(now, then) else ELSEWHERE


def unsure(best: float) -> float:
    """Return the margin (nats) in float32 up to which a shortcut may have changed a choice, which is then made again.

    Padding, batches and one forward pass over many tokens move margins by 4e-5 at most. The margin is narrower than
    the tolerance of a verdict, which also holds between machines.

    Args:
        best: Logit of the best token; a large one is less precise.
    """
    return max(1e-4, 4e-6 * abs(best))


def precision_of(environment: Environment) -> Precision:
    """Precision of an environment; an unknown one, and float32 that may be multiplied in bfloat16, is the coarsest."""
    dtype = "" if lowers_matmul(environment) else dict(environment).get("dtype", "")
    return PRECISIONS.get(dtype, PRECISIONS[COARSEST])


def has_full_precision(*environments: Environment) -> bool:
    """True if all environments are known to compute in float32 or better."""
    return all(precision_of(environment).step <= PRECISIONS["float32"].step for environment in environments)
