"""What numerical noise amounts to: how far likelihoods and margins move although nothing changed. Pure.

The noise of a sum grows with what is summed, so the limits follow the precision and the largest score (logit). Another
version of a library, or another device, adds up in another order. What justifies each number stands in
`docs/verdicts.md`, and `benchmarks/noise.py` measures it again.
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
    """Compare log-probabilities (nats) of the same tokens.

    Args:
        then: Those of the baseline, or None where they are not known.
        now: Today's, at least for the first tokens; or None.
        band: Largest root mean square that counts as noise.
        most: How many tokens to compare; None compares what both have.

    Returns:
        None where there is nothing to compare. A NaN gives an `rms` of NaN.
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
"""The part of an environment that is the model's own; all others decide how its numbers are added up."""


@dataclass(frozen=True)
class Precision:
    """How coarse a format is, and how much of that shows.

    Attributes:
        step: Distance of 1 from the next number (`torch.finfo(dtype).eps`).
        tie: Margin, in steps of the largest score, that noise may decide.
        least_tie: Margin (nats) that it may decide however small the scores.
        band: Likelihood drift (rms), in steps of the largest score, that noise amounts to.
        least_band: The same (nats) however small the scores.
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
"""How many times wider the band is where versions or the device are not those of the baseline."""

USUAL_SCALE = 32.0
"""Largest score (logit) of a usual model."""

TOKEN_BAND = 5e-5
"""Nats by which the log-probability of one token moves between a batch and one by one, or between one pass and many; in
float32 at most 1.4e-5 was seen."""


@dataclass(frozen=True)
class Limits:
    """What counts as noise for one case.

    Attributes:
        tolerance: Largest margin (nats) that counts as a tie.
        band: Largest likelihood drift (rms, nats) that says nothing.
    """

    tolerance: float
    band: float


def limits(now: Environment, then: Environment, scale: float | None, tolerance: float | None = None) -> Limits:
    """What counts as noise between two environments.

    Args:
        now: Environment of the candidate.
        then: Environment of the baseline.
        scale: Largest score (logit) by magnitude; None where it is not known.
        tolerance: Margin (nats) that the user chose; None takes that of the coarser of the two precisions.
    """
    precision = max((precision_of(now), precision_of(then)), key=lambda found: found.step)
    elsewhere = 1 if numerics(now) == numerics(then) else ELSEWHERE
    unit = precision.step * (USUAL_SCALE if scale is None else scale)
    usual = max(precision.least_tie, precision.tie * unit)
    return Limits(
        tolerance=usual if tolerance is None else tolerance,
        band=elsewhere * max(precision.least_band, precision.band * unit),
    )


def unsure(best: float) -> float:
    """Margin (nats) of a choice in float32 that shortcuts may have decided, so that it is made again without them.

    Padding, batches and reading many tokens at once move margins by 4e-5 at most. It is narrower than the tolerance of
    a verdict, which also has to hold between machines.

    Args:
        best: Score (logit) of the best token; the precision of a large one counts, too.
    """
    return max(1e-4, 4e-6 * abs(best))


def precision_of(environment: Environment) -> Precision:
    """The precision that an environment names; one that is not known is taken for the coarsest."""
    return PRECISIONS.get(dict(environment).get("dtype", ""), PRECISIONS[COARSEST])


def numerics(environment: Environment) -> tuple[tuple[str, str], ...]:
    """What of an environment decides how numbers are added up."""
    return tuple(pair for pair in environment if pair[0] != WEIGHTS)
