"""Time of each case: left out where it was not measured."""

from __future__ import annotations

import pytest

from pytest_llmcompare.comparison.percentiles import percentiles
from pytest_llmcompare.decoding.request import Outcome
from pytest_llmcompare.errors import GenerationError
from pytest_llmcompare.evaluation.latency import explained, is_generated
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.judgement import ThresholdResult


def output(tokens: int | None, **facts: str | bool) -> Generation:
    ids = None if tokens is None else tuple(range(tokens))
    return Generation("text", ids, **facts)  # type: ignore[arg-type]


def gate(metric: str, value: float | None, why: str = "") -> ThresholdResult:
    return ThresholdResult(metric, "<=2", value, passed=value is not None, cases=2, total=2, why=why)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ([], {}),
        ([3.0], {"p50": 3.0, "p90": 3.0, "p99": 3.0}),
        ([4.0, 1.0, 3.0, 2.0], {"p50": 2.0, "p90": 4.0, "p99": 4.0}),
        (range(1, 101), {"p50": 50, "p90": 90, "p99": 99}),
        (range(1, 201), {"p50": 100, "p90": 180, "p99": 198}),
    ],
)
def test_percentiles(seconds: list[float], expected: dict[str, float]) -> None:
    """Each is a time that was measured."""
    assert percentiles(seconds) == expected


@pytest.mark.parametrize(
    ("outcome", "generated"),
    [
        (output(2), True),
        (output(None), True),
        (output(2, verified=True), False),
        (output(2, unverified="token 1 is another"), False),
        (output(2, unverified="not tried: beams", untried="beams"), True),
        (GenerationError("no", "m"), False),
    ],
)
def test_what_was_generated(outcome: Outcome, *, generated: bool) -> None:
    """Confirming a draft is faster than generating, also where only its beginning is confirmed."""
    assert is_generated(outcome) is generated


@pytest.mark.parametrize(
    ("outcomes", "cached", "why"),
    [
        ([output(1), output(1)], 2, "All answers are from the cache, so no time was measured. *--llm-cache=off"),
        ([output(1), output(1, verified=True)], 1, "Baselines were tried as drafts, *--llm-decode=plain"),
        ([output(1)], 0, "All answers are from an interrupted run or from the cache, so no time was measured."),
        ([GenerationError("no", "m")], 0, "Known: exact_match."),
    ],
)
def test_a_threshold_without_a_latency_says_why(outcomes: list[Outcome], cached: int, why: str) -> None:
    """It does not pass; gates on other metrics, and those with a value, stay."""
    unknown = gate("latency/p90", None, "Known: exact_match.")
    others = (gate("latency/p50", 1.0), gate("other", None, "Unknown."))
    first, *rest = explained((unknown, *others), outcomes, cached)
    start, _, end = why.partition("*")
    assert first.why.startswith(start)
    assert first.why.endswith(end)
    assert tuple(rest) == others
