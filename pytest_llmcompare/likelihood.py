"""How far likelihoods moved: the same tokens under two models. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .judgements import Likelihood


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
        None where there is nothing to compare. Numbers that are none give an `rms` that is none.
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
