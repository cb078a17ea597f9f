"""Intervals and paired tests: known values, SciPy's own where it has them, and what holds for any numbers."""

from __future__ import annotations

import math
import subprocess
import sys
from statistics import NormalDist

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pytest_llmcompare.comparison.statistics import (
    Interval,
    PairedFinding,
    PairedOutcomes,
    PairedScores,
    mcnemar,
    paired_outcomes,
    paired_scores,
    rate,
)

SHARES = st.integers(1, 2_000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))
SCORES = st.lists(st.tuples(*[st.floats(-1e3, 1e3, allow_subnormal=False)] * 2), min_size=1, max_size=25)


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [
        (0, 1, 0.0, 0.7935),
        (1, 1, 0.2065, 1.0),
        (0, 10, 0.0, 0.2775),
        (1, 10, 0.0179, 0.4042),
        (8, 10, 0.4902, 0.9433),
        (5, 100, 0.0215, 0.1118),
        (500, 1000, 0.4691, 0.5309),
    ],
)
def test_wilson_interval(count: int, total: int, low: float, high: float) -> None:
    """Known intervals, to four digits."""
    found = rate(count, total)
    assert found.value == count / total
    assert found.interval.low == pytest.approx(low, abs=6e-5)
    assert found.interval.high == pytest.approx(high, abs=6e-5)


@given(SHARES)
def test_intervals_of_rates(share: tuple[int, int]) -> None:
    """It contains the rate, lies from 0 to 1, mirrors that of the other cases, and is narrower with more cases."""
    count, total = share
    found, mirrored, more = rate(count, total), rate(total - count, total), rate(2 * count, 2 * total)
    low, high = found.interval.low, found.interval.high
    assert 0 <= low <= found.value <= high <= 1
    assert (1 - mirrored.interval.high, 1 - mirrored.interval.low) == pytest.approx((low, high), abs=1e-12)
    assert more.interval.high - more.interval.low < high - low


def test_no_cases_tell_nothing() -> None:
    """Without cases the rate is no number and may be anything."""
    found = rate(0, 0)
    assert math.isnan(found.value)
    assert found.interval == Interval(0.0, 1.0)


@pytest.mark.parametrize(("count", "total"), [(-1, 5), (6, 5), (1, 0)])
def test_what_is_no_share(count: int, total: int) -> None:
    """More than all, or less than nothing, is a mistake."""
    with pytest.raises(ValueError, match=f"{count} of {total} is not a share"):
        rate(count, total)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [(0, 0, 1.0), (0, 1, 1.0), (0, 5, 0.0625), (0, 6, 0.03125), (1, 9, 22 / 1024), (10, 2, 158 / 4096), (7, 7, 1.0)],
)
def test_mcnemar(one: int, other: int, expected: float) -> None:
    """Known p-values of the exact test."""
    assert mcnemar(one, other) == expected


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_a_fair_coin(one: int, other: int) -> None:
    """Twice the smaller tail of a fair coin, whichever side is named first."""
    total = one + other
    tail = sum(math.comb(total, k) for k in range(min(one, other) + 1))
    expected = min(1.0, 2 * tail / (1 << total))
    assert mcnemar(one, other) == pytest.approx(expected, rel=1e-9)
    assert mcnemar(other, one) == pytest.approx(expected, rel=1e-9)


@given(SHARES)
def test_wilson_interval_is_the_formula(share: tuple[int, int]) -> None:
    """Wilson's formula gives the same."""
    count, total = share
    z, part = NormalDist().inv_cdf(0.975), count / total
    weight = z * z / total
    centre = (part + weight / 2) / (1 + weight)
    half = z * math.sqrt(part * (1 - part) / total + weight / total / 4) / (1 + weight)
    found = rate(*share).interval
    assert (found.low, found.high) == pytest.approx((centre - half, centre + half), abs=1e-9)


OUTCOMES = {
    "the same cases": ("TTFF", "TTFF", PairedFinding.EQUAL),
    "no case": ("", "", PairedFinding.EQUAL),
    "one more": ("TTFF", "TTTF", PairedFinding.INCONCLUSIVE),
    "five of five": ("FFFFF", "TTTTT", PairedFinding.INCONCLUSIVE),
    "six of six": ("FFFFFF", "TTTTTT", PairedFinding.BETTER),
    "six of six the other way": ("TTTTTTT", "FFFFFFT", PairedFinding.WORSE),
    "as many, but others": ("TF" * 20, "FT" * 20, PairedFinding.INCONCLUSIVE),
}


@pytest.mark.parametrize("what", OUTCOMES)
def test_findings_on_pass_and_fail(what: str) -> None:
    """A difference is one beyond chance; the very same passes are equal."""
    first, second, expected = OUTCOMES[what]
    found = paired_outcomes([case == "T" for case in first], [case == "T" for case in second])
    assert found.finding is expected
    assert found.total == len(first)


def test_outcomes_are_counted() -> None:
    """Each of the four ways."""
    found = paired_outcomes([True, True, True, False, False, False], [True, True, False, True, False, False])
    assert found == PairedOutcomes(both=2, first_only=1, second_only=1, neither=2, p_value=1.0)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60))
def test_exchanged_sides_are_exchanged_findings(pairs: list[tuple[bool, bool]]) -> None:
    """What is better of one side is worse of the other."""
    first, second = [one for one, _ in pairs], [other for _, other in pairs]
    assert paired_outcomes(second, first).finding is mirrored(paired_outcomes(first, second).finding)


def mirrored(finding: PairedFinding) -> PairedFinding:
    return {PairedFinding.BETTER: PairedFinding.WORSE, PairedFinding.WORSE: PairedFinding.BETTER}.get(finding, finding)


FINDINGS = [
    (Interval(0.0, 0.0), 1.0, 0.0, PairedFinding.EQUAL),
    (Interval(-0.02, 0.03), 0.9, 0.05, PairedFinding.EQUAL),
    (Interval(0.01, 0.03), 0.01, 0.05, PairedFinding.EQUAL),
    (Interval(-0.04, -0.01), 0.01, 0.05, PairedFinding.EQUAL),
    (Interval(0.01, 0.03), 0.01, 0.0, PairedFinding.BETTER),
    (Interval(0.01, 0.30), 0.01, 0.05, PairedFinding.BETTER),
    (Interval(1.0, 1.0), 0.25, 0.0, PairedFinding.NO_WORSE),
    (Interval(0.0, 0.4), 0.5, 0.0, PairedFinding.NO_WORSE),
    (Interval(-0.05, 0.4), 0.5, 0.05, PairedFinding.NO_WORSE),
    (Interval(-0.06, 0.4), 0.5, 0.05, PairedFinding.INCONCLUSIVE),
    (Interval(-0.4, 0.0), 0.5, 0.0, PairedFinding.INCONCLUSIVE),
    (Interval(-1.0, -1.0), 0.25, 0.0, PairedFinding.INCONCLUSIVE),
    (Interval(-0.3, -0.1), 0.01, 0.05, PairedFinding.WORSE),
]


@pytest.mark.parametrize(("interval", "p_value", "margin", "expected"), FINDINGS)
def test_findings_on_scores(interval: Interval, p_value: float, margin: float, expected: PairedFinding) -> None:
    """Interval and margin decide; better and worse want a small p-value, too."""
    assert PairedScores(9, 0.0, interval, p_value).finding(margin) is expected


@pytest.mark.parametrize(
    ("first", "second", "margin", "expected"),
    [
        ([1, 0, 1], [1, 0, 1], 0.0, PairedFinding.EQUAL),
        ([0], [1], 0.0, PairedFinding.NO_WORSE),
        ([1], [0], 0.0, PairedFinding.INCONCLUSIVE),
        ([1] * 3, [0] * 3, 0.0, PairedFinding.INCONCLUSIVE),
        ([1] * 8, [0] * 8, 0.0, PairedFinding.WORSE),
        ([0] * 8, [1] * 8, 0.0, PairedFinding.BETTER),
        ([1] * 10, [1] * 9 + [0], 0.05, PairedFinding.INCONCLUSIVE),
        ([1] * 400, [1] * 398 + [0] * 2, 0.05, PairedFinding.EQUAL),
        ([10.0, 12.0, 9.0, 14.0, 11.0, 13.0, 8.0], [11.1, 13.4, 9.8, 15.2, 12.3, 13.9, 9.1], 0.0, PairedFinding.BETTER),
    ],
)
def test_findings_of_comparisons(
    first: list[float], second: list[float], margin: float, expected: PairedFinding
) -> None:
    """From scores to what they say: a handful of rows is no proof, and equal scores are equal."""
    assert paired_scores(first, second).finding(margin) is expected


def test_bootstrap_is_near_the_normal_interval() -> None:
    """Of many cases it is what the textbook gives: mean ± 1.96 standard errors; the p-value is the t-test's."""
    differences = [((7 * at) % 101 - 45) / 100 for at in range(606)]
    found = paired_scores([0.0] * len(differences), differences)
    mean = sum(differences) / len(differences)
    error = math.sqrt(sum((one - mean) ** 2 for one in differences) / len(differences) ** 2)
    assert found.difference == pytest.approx(mean)
    assert found.interval.low == pytest.approx(mean - 1.96 * error, abs=0.1 * error)
    assert found.interval.high == pytest.approx(mean + 1.96 * error, abs=0.1 * error)
    assert found.p_value == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, abs=0.001)


def test_few_cases_are_tested_exactly() -> None:
    """Three times the same sign comes up in 2 of 8 ways; differences of nothing do not count."""
    assert paired_scores([0, 0, 0], [1, 2, 4]).p_value == 2 / 8
    assert paired_scores([0, 0, 0, 5, 5], [1, 2, 4, 5, 5]).p_value == 2 / 8


@settings(max_examples=15)
@given(SCORES)
def test_paired_scores(pairs: list[tuple[float, float]]) -> None:
    """The interval contains the mean and lies within the differences; the same numbers come out again."""
    first, second = [one for one, _ in pairs], [other for _, other in pairs]
    found = paired_scores(first, second)
    differences = [after - before for before, after in pairs]
    assert found.interval.low <= found.difference <= found.interval.high
    assert found.interval.low >= min(differences) - 1e-9
    assert found.interval.high <= max(differences) + 1e-9
    assert 0 < found.p_value <= 1
    assert paired_scores(first, second) == found


@settings(max_examples=15)
@given(SCORES)
def test_exchanged_sides_mirror_the_scores(pairs: list[tuple[float, float]]) -> None:
    """The difference changes its sign, the p-value stays but for the luck of resampling."""
    first, second = [one for one, _ in pairs], [other for _, other in pairs]
    found, other = paired_scores(first, second), paired_scores(second, first)
    assert other.difference == -found.difference
    assert other.p_value == pytest.approx(found.p_value, abs=0.05)


def test_more_cases_narrow_the_interval() -> None:
    """Ten times the cases, a third of the width."""
    one = [0.0, 1.0, 1.0, 0.0, 1.0]
    few, many = (paired_scores([0.5] * len(one) * times, one * times).interval for times in (4, 40))
    assert (many.high - many.low) < 0.5 * (few.high - few.low)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ([], [], "expected finite scores of one case or more, got 0"),
        ([1.0], [math.nan], "expected finite scores of one case or more, got 1"),
        ([1.0, 2.0], [math.inf, 1.0], "expected finite scores of one case or more, got 2"),
        ([1.0, 2.0], [1.0], "zip"),
    ],
)
def test_what_cannot_be_compared(first: list[float], second: list[float], message: str) -> None:
    """No case, a score that is no number, or other cases is an error and no answer."""
    with pytest.raises(ValueError, match=message):
        paired_scores(first, second)


def test_a_run_of_one_model_needs_no_scipy() -> None:
    """SciPy takes most of a second to import: only a drift budget and a second model pay for it."""
    code = (
        "import sys; from pytest_llmcompare.comparison.statistics import rate; "
        "from tests.unit.reports.runs import drawn, mixed; "
        "rate(0, 0); drawn([result for result in mixed() if result.key.group.model == 'small']); "
        "print(*(set(sys.modules) & {'scipy', 'numpy'}))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.strip() == ""
