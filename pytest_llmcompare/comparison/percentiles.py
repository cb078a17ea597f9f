"""Percentiles of the times that a model took for its cases. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable

PERCENTILES = (50, 90, 99)


def percentiles(seconds: Iterable[float]) -> dict[str, float]:
    """The times that 50, 90 and 99 % of the cases do not exceed, as `p50`, `p90` and `p99`; empty without cases.

    Each is the time of a case (nearest rank), not a value between two.
    """
    ordered = sorted(seconds)
    if not ordered:
        return {}
    return {f"p{percent}": ordered[math.ceil(percent / 100 * len(ordered)) - 1] for percent in PERCENTILES}
