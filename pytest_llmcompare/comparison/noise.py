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
        rms=math.sqrt(sum(difference * difference for difference in differences) / count),
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
    """Mean square of the probability that a token was not to be chosen; its log-prob moves about in proportion."""
    return sum((1 - math.exp(min(0.0, value))) ** 2 for value in logprobs) / max(1, len(logprobs))


WEIGHTS = "weights"
"""The entry of an environment that identifies the model."""

DEVICE = "device"
SERVER = "server"
"""The entry of an environment that only served models have."""

MATMUL = "matmul"
"""The entry of an environment with torch's precision of multiplying matrices in float32, if it is not the highest."""

NUMERICS = (DEVICE, "dtype", "capability", "attention", MATMUL)
"""The entries of a local model's environment that decide how numbers are summed: the kind of device, the number format,
the instruction set of a CPU, and the implementation of attention. Versions of libraries are facts for people."""

VERSION = "version"
"""The entry of an environment with the version of a server, which only some servers tell."""

NOISE = "noise"
"""The entry of an environment with the noise that was measured when recording.

Baseline files keep it in a line of its own, and it makes no environment another one.
"""


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
    learnt = LearntNoise.read(then) or LearntNoise.read(now)
    if learnt and learnt.band is not None and learnt.tie is not None:
        return Limits(elsewhere * learnt.tie if tolerance is None else tolerance, elsewhere * learnt.band)
    precision = max((precision_of(now), precision_of(then)), key=lambda precision: precision.step)
    unit = precision.step * (USUAL_SCALE if scale is None else scale)
    usual = max(precision.least_tie, precision.tie * unit)
    return Limits(
        tolerance=usual if tolerance is None else tolerance,
        band=elsewhere * max(precision.least_band, precision.band * unit, CASE_NOISE * learnt.rms if learnt else 0.0),
    )


def read_band(now: Environment, then: Environment, scale: float | None) -> float:
    """Largest rms of differences (nats) that is noise between two readings, in which all weights are in float32."""
    if lowers_matmul(now) or lowers_matmul(then):
        return limits(now, then, scale).band
    precision = PRECISIONS["float32"]
    usual = max(precision.least_band, precision.band * precision.step * (USUAL_SCALE if scale is None else scale))
    learnt = LearntNoise.read(then) or LearntNoise.read(now)
    return _factor(now, then) * max(usual, CASE_NOISE * learnt.rms if learnt else 0.0)


def stored_band(then: Environment, now: Environment) -> float:
    """Largest rms of differences (nats) for which a baseline file keeps the log-probs that it has."""
    learnt = LearntNoise.read(then) or LearntNoise.read(now)
    return max(1e-6, 3 * (learnt.rms if learnt else UNMEASURED_NOISE))


def _factor(now: Environment, then: Environment) -> int:
    """How many times wider bands are between two environments."""
    if SERVER in dict(now) or SERVER in dict(then):
        return 1 if same_numerics(now, then) else ELSEWHERE
    return 1 if same_device(now, then) else ELSEWHERE


@dataclass(frozen=True)
class LearntNoise:
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
    def from_movements(cls, rms: float, largest: float, lead: float) -> LearntNoise:
        """Noise of a server: limits three times the largest movements seen, and not too little.

        Args:
            rms: Root mean square over all tokens (nats).
            largest: Largest rms of a case (nats).
            lead: Largest movement of a top-2 margin (nats).
        """
        return cls(rms, max(3 * largest, 3e-4), max(3 * lead, 1e-2))

    @classmethod
    def read(cls, environment: Environment) -> LearntNoise | None:
        """The noise in an environment; None if there is none, or it cannot be read."""
        try:
            numbers = [float(part) for part in dict(environment).get(NOISE, "").split("/")]
        except ValueError:
            return None
        if len(numbers) not in (1, 3) or not all(0 <= number < math.inf for number in numbers) or 0 in numbers[1:]:
            return None
        return cls(*numbers)

    def widened(self, other: LearntNoise) -> LearntNoise:
        """The larger of both, number by number."""
        limits = ((self.band, other.band), (self.tie, other.tie))
        band, tie = (max((limit for limit in pair if limit is not None), default=None) for pair in limits)
        return LearntNoise(max(self.rms, other.rms), band, tie)

    @property
    def text(self) -> str:
        """How a baseline file holds it: `1.3e-06`, with limits `4.2e-05/3.0e-04/1.0e-02`."""
        return "/".join(f"{number:.1e}" for number in (self.rms, self.band, self.tie) if number is not None)

    def write(self, environment: Environment) -> Environment:
        """An environment that holds this noise."""
        return tuple(sorted([*without_noise(environment), (NOISE, self.text)]))


def without_noise(environment: Environment) -> Environment:
    """An environment without the noise measured in it, as it identifies the model and its numerics."""
    return tuple(pair for pair in environment if pair[0] != NOISE)


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


def lowers_matmul(environment: Environment) -> bool:
    """True if a float32 checkpoint may be multiplied in a lower precision; others are read in the highest one."""
    facts = dict(environment)
    return MATMUL in facts and facts.get("dtype") == "float32"


def has_full_precision(*environments: Environment) -> bool:
    """True if all environments are known to compute in float32 or better."""
    return all(precision_of(environment).step <= PRECISIONS["float32"].step for environment in environments)


def numerics(environment: Environment) -> tuple[tuple[str, str], ...]:
    """Entries of an environment that decide how numbers are summed; for a served model, all that its server shows."""
    if SERVER in dict(environment):
        return tuple(pair for pair in environment if pair[0] not in (WEIGHTS, NOISE))
    return tuple(pair for pair in environment if pair[0] in NUMERICS)


def same_numerics(one: Environment, other: Environment) -> bool:
    """True if nothing is known to sum numbers in another order; what one of them lacks is unknown, not different.

    Of a served model this holds for the version alone.
    """
    facts, others = dict(numerics(one)), dict(numerics(other))
    if SERVER not in facts and SERVER not in others:
        return all(others.get(name, value) == value for name, value in facts.items())
    if VERSION not in facts or VERSION not in others:
        facts.pop(VERSION, None)
        others.pop(VERSION, None)
    return facts == others


def same_device(one: Environment, other: Environment) -> bool:
    """True if two environments are not known to have different kinds of devices: CPU and GPU, or two kinds of GPU."""
    kinds = {str(facts[DEVICE]).partition(":")[0] for facts in (dict(one), dict(other)) if DEVICE in facts}
    return len(kinds) < 2
