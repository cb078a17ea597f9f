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


class PairedFinding(StrEnum):
    """Result of a paired comparison, for the second side."""

    BETTER = "better"
    WORSE = "worse"
    EQUAL = "equal"
    NO_WORSE = "no worse"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval, both ends included."""

    low: float
    high: float


@dataclass(frozen=True)
class Rate:
    """A share of cases, with its Wilson interval.

    Attributes:
        count: Cases that count.
        total: All cases.
        interval: Wilson interval; from 0 to 1 if there are no cases.
    """

    count: int
    total: int
    interval: Interval

    @property
    def value(self) -> float:
        """The share, from 0 to 1; NaN if there are no cases."""
        return self.count / self.total if self.total else math.nan


@dataclass(frozen=True)
class PairedOutcomes:
    """Pass/fail of two sides on the same cases, with McNemar's exact test.

    Attributes:
        both: Cases that both pass.
        first_only: Cases that only the first passes.
        second_only: Cases that only the second passes.
        neither: Cases that both fail.
        p_value: Two-sided p-value of the split among the cases that only one side passes.
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
    def finding(self) -> PairedFinding:
        """`equal` if both pass the very same cases; `better` or `worse` for the second side if p is below 5 %."""
        if not self.first_only + self.second_only:
            return PairedFinding.EQUAL
        if self.p_value >= ALPHA:
            return PairedFinding.INCONCLUSIVE
        return PairedFinding.BETTER if self.second_only > self.first_only else PairedFinding.WORSE


@dataclass(frozen=True)
class PairedScores:
    """Differences of the scores of two sides on the same cases.

    Attributes:
        total: All cases.
        difference: Mean of second minus first.
        interval: Bootstrap interval of the mean.
        p_value: Two-sided p-value of a sign-flip permutation test.
    """

    total: int
    difference: float
    interval: Interval
    p_value: float

    def finding(self, margin: float = 0.0) -> PairedFinding:
        """Decide about the second side, if higher is better and differences up to `margin` do not matter.

        Args:
            margin: Largest difference that does not matter, in units of the score.

        Returns:
            `equal`: the whole interval lies within the margin. `better`, `worse`: it lies on one side of 0, and p is
            below 5 % (the bootstrap alone is too sure about a handful of cases). `no worse`: it does not reach below
            the margin. Else `inconclusive`.
        """
        low, high = self.interval.low, self.interval.high
        if -margin <= low and high <= margin:
            return PairedFinding.EQUAL
        if self.p_value < ALPHA and (low > 0 or high < 0):
            return PairedFinding.BETTER if low > 0 else PairedFinding.WORSE
        return PairedFinding.NO_WORSE if low >= -margin else PairedFinding.INCONCLUSIVE


def rate(count: int, total: int) -> Rate:
    """Compute a share with its Wilson interval.

    Raises:
        ValueError: `count` is negative or larger than `total`.
    """
    if not 0 <= count <= total:
        raise ValueError(f"{count} of {total} is not a share")
    if not total:
        return Rate(0, 0, Interval(0.0, 1.0))
    from scipy.stats import binomtest

    interval = binomtest(count, total).proportion_ci(CONFIDENCE, method="wilson")
    return Rate(count, total, Interval(float(interval.low), float(interval.high)))


def paired_outcomes(first: Sequence[bool], second: Sequence[bool]) -> PairedOutcomes:
    """Compare pass/fail of two sides on the same cases.

    Raises:
        ValueError: The sides differ in length.
    """
    pairs = list(zip(first, second, strict=True))
    first_only, second_only = pairs.count((True, False)), pairs.count((False, True))
    both, neither = pairs.count((True, True)), pairs.count((False, False))
    return PairedOutcomes(both, first_only, second_only, neither, mcnemar(first_only, second_only))


def mcnemar(first_only: int, second_only: int) -> float:
    """Two-sided p-value of McNemar's exact test, given the cases that only one side and only the other passes."""
    if not first_only + second_only:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(first_only, first_only + second_only).pvalue)


def paired_scores(first: Sequence[float], second: Sequence[float], *, seed: int = 0) -> PairedScores:
    """Compare the scores of two sides on the same cases by a bootstrap and a sign-flip permutation test.

    Deterministic: the same scores and seed give the same numbers.

    Args:
        first: Scores of the first side, finite, one per case.
        second: Scores of the second side, in the same order.
        seed: Seed of the resampling.

    Raises:
        ValueError: The sides differ in length or are empty, or a score is not finite.
    """
    differences = [after - before for before, after in zip(first, second, strict=True)]
    if not differences or not all(map(math.isfinite, differences)):
        raise ValueError(f"expected finite scores of one case or more, got {len(differences)}")
    mean = fmean(differences)
    interval = _bootstrap(differences, mean, seed)
    return PairedScores(len(differences), mean, interval, _permutation_test(differences, seed))


@library_warnings_ignored()
def _bootstrap(differences: Sequence[float], mean: float, seed: int) -> Interval:
    """Percentile interval of the mean; a single point if all differences are equal."""
    if min(differences) == max(differences):
        return Interval(mean, mean)
    from scipy import stats

    result: Any = stats.bootstrap(
        (differences,),
        _mean,
        vectorized=True,
        method="percentile",  # has an answer where the bias-corrected one is a division by zero
        n_resamples=RESAMPLES,
        batch=max(1, AT_ONCE // len(differences)),
        confidence_level=CONFIDENCE,
        rng=seed,
    )
    low, high = result.confidence_interval
    return Interval(min(float(low), mean), max(float(high), mean))


@library_warnings_ignored()
def _permutation_test(differences: Sequence[float], seed: int) -> float:
    """Two-sided p-value of a sign-flip permutation test: exact for few cases, else by resampling."""
    moved = [difference for difference in differences if difference]
    if len(moved) < 2:
        return 1.0
    from scipy import stats

    result: Any = stats.permutation_test(
        (moved,),
        _mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, AT_ONCE // len(moved)),
        rng=seed,
    )
    return min(1.0, float(result.pvalue))


def _mean(sample: Any, axis: int) -> Any:
    """Mean along an axis of an array."""
    return sample.mean(axis=axis)
