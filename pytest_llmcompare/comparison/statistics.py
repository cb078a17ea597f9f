"""Confidence intervals of rates, and paired tests on pass/fail and on scores. Pure, over plain numbers.

SciPy takes most of a second to import, so it is imported only to compute: for a drift budget, or for two models.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean
from typing import Any

from pytest_llmcompare.models.warning_filters import library_warnings_ignored

CONFIDENCE = 0.95
ALPHA = 1 - CONFIDENCE
RESAMPLES = 9_999
AT_ONCE = 2_000_000  # numbers of resamples in memory at a time


class Finding(StrEnum):
    """What a paired comparison says of the second side, seen from the first."""

    BETTER = "better"
    WORSE = "worse"
    EQUAL = "equal"
    NO_WORSE = "no worse"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Interval:
    """A confidence interval of 95 %, both ends included."""

    low: float
    high: float


@dataclass(frozen=True)
class Rate:
    """A share of cases, with its Wilson interval.

    Attributes:
        count: Cases that count.
        total: All cases.
        interval: Where the rate lies for cases like these; from 0 to 1 where there are none.
    """

    count: int
    total: int
    interval: Interval

    @property
    def value(self) -> float:
        """The share, from 0 to 1; not a number where there are no cases."""
        return self.count / self.total if self.total else math.nan


@dataclass(frozen=True)
class PairedOutcomes:
    """Two sides that pass or fail the same cases, with McNemar's exact test.

    Attributes:
        both: Cases that both pass.
        first_only: Cases that only the first passes.
        second_only: Cases that only the second passes.
        neither: Cases that both fail.
        p_value: Probability of a split as uneven as this, or more, among the cases that only one passes, if neither
            side were better.
    """

    both: int
    first_only: int
    second_only: int
    neither: int
    p_value: float

    @property
    def total(self) -> int:
        """All cases."""
        return self.both + self.first_only + self.second_only + self.neither

    @property
    def finding(self) -> Finding:
        """`equal` where they pass the very same cases; `better` and `worse` of the second."""
        if not self.first_only + self.second_only:
            return Finding.EQUAL
        if self.p_value >= ALPHA:
            return Finding.INCONCLUSIVE
        return Finding.BETTER if self.second_only > self.first_only else Finding.WORSE


@dataclass(frozen=True)
class PairedScores:
    """How much higher the second side scores than the first on the same cases.

    Attributes:
        total: All cases.
        difference: Mean of second minus first.
        interval: Where the mean lies for cases like these, by bootstrap.
        p_value: Probability of a mean as far from 0, or farther, if each difference were as likely to have the other
            sign.
    """

    total: int
    difference: float
    interval: Interval
    p_value: float

    def finding(self, margin: float = 0.0) -> Finding:
        """What it says of the second side, where higher is better and less than `margin` does not count.

        Args:
            margin: Largest difference that does not matter, in units of the score.

        Returns:
            `equal`: the whole interval lies within the margin. `better`, `worse`: it lies on one side of 0, and the
            p-value is below 5 % (of a handful of cases the bootstrap alone is too sure). `no worse`: it does not reach
            below the margin. Else `inconclusive`.
        """
        low, high = self.interval.low, self.interval.high
        if -margin <= low and high <= margin:
            return Finding.EQUAL
        if self.p_value < ALPHA and (low > 0 or high < 0):
            return Finding.BETTER if low > 0 else Finding.WORSE
        return Finding.NO_WORSE if low >= -margin else Finding.INCONCLUSIVE


def rate(count: int, total: int) -> Rate:
    """A share with its Wilson interval.

    Raises:
        ValueError: More cases count than there are, or fewer than none.
    """
    if not 0 <= count <= total:
        raise ValueError(f"{count} of {total} is no share")
    if not total:
        return Rate(0, 0, Interval(0.0, 1.0))
    from scipy.stats import binomtest

    interval = binomtest(count, total).proportion_ci(CONFIDENCE, method="wilson")
    return Rate(count, total, Interval(float(interval.low), float(interval.high)))


def paired_outcomes(first: Sequence[bool], second: Sequence[bool]) -> PairedOutcomes:
    """Compare two sides that pass or fail the same cases.

    Raises:
        ValueError: Not the same number of cases.
    """
    pairs = list(zip(first, second, strict=True))
    one, other = pairs.count((True, False)), pairs.count((False, True))
    return PairedOutcomes(pairs.count((True, True)), one, other, pairs.count((False, False)), mcnemar(one, other))


def mcnemar(one: int, other: int) -> float:
    """Two-sided p-value of McNemar's exact test, given the cases that only one side and only the other passes."""
    if not one + other:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(one, one + other).pvalue)


def paired_scores(first: Sequence[float], second: Sequence[float], *, seed: int = 0) -> PairedScores:
    """Compare the scores of two sides on the same cases by bootstrap and by exchanging signs.

    Deterministic: the same scores and seed give the same numbers.

    Args:
        first: Scores of the first side, finite, one per case.
        second: Scores of the second side, in the same order.
        seed: Seed of the resampling.

    Raises:
        ValueError: Not the same number of cases, no case, or a score that is not finite.
    """
    differences = [after - before for before, after in zip(first, second, strict=True)]
    if not differences or not all(map(math.isfinite, differences)):
        raise ValueError(f"expected finite scores of one case or more, got {len(differences)}")
    mean = fmean(differences)
    return PairedScores(len(differences), mean, bootstrapped(differences, mean, seed), signed(differences, seed))


@library_warnings_ignored()
def bootstrapped(differences: Sequence[float], mean: float, seed: int) -> Interval:
    """Percentile interval of the mean; a point where all differences are the same."""
    if min(differences) == max(differences):
        return Interval(mean, mean)
    from scipy import stats

    found: Any = stats.bootstrap(
        (differences,),
        mean_of,
        vectorized=True,
        method="percentile",  # has an answer where the bias-corrected one is a division by zero
        n_resamples=RESAMPLES,
        batch=max(1, AT_ONCE // len(differences)),
        confidence_level=CONFIDENCE,
        rng=seed,
    )
    low, high = found.confidence_interval
    return Interval(min(float(low), mean), max(float(high), mean))


@library_warnings_ignored()
def signed(differences: Sequence[float], seed: int) -> float:
    """Two-sided p-value of the mean if every sign were a coin's: exact for few cases, else by resampling."""
    moved = [difference for difference in differences if difference]
    if len(moved) < 2:
        return 1.0
    from scipy import stats

    found: Any = stats.permutation_test(
        (moved,),
        mean_of,
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, AT_ONCE // len(moved)),
        rng=seed,
    )
    return min(1.0, float(found.pvalue))


def mean_of(sample: Any, axis: int) -> Any:
    """Means along an axis of an array."""
    return sample.mean(axis=axis)
