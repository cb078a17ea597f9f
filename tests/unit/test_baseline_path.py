"""Verdicts along the baseline's tokens: a margin with a tolerance decides, and nothing after a flip is excused."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcompare.comparison.judge import judge
from pytest_llmcompare.comparison.measured_noise import MeasuredNoise
from pytest_llmcompare.comparison.noise import ELSEWHERE, PRECISIONS, limits
from pytest_llmcompare.generation import Generation, Path, number_of_bytes
from pytest_llmcompare.judgement import COMPARED, Judgement, Likelihood, Verdict
from pytest_llmcompare.records import Baseline, Case, CaseKey, GroupKey, Row

CASE = Case(CaseKey(GroupKey("tests", "trivia", "m"), "sky"), Row("sky", "Q: sky?"), "", {}, 0)
HERE = (("device", "cpu"), ("dtype", "float32"), ("torch", "2.13.0"), ("weights", "aa"))
TOLERANCE = PRECISIONS["float32"].least_tie
BAND = PRECISIONS["float32"].least_band
THEN = (-0.5, -0.25, -1.0)
NAMES = {1: " a", 2: " b", 3: " c", 7: " x", 8: " y", 9: "<eos>"}
EXPECTED = Generation("abc", (1, 2, 3), THEN, "length", HERE)


def path(choices: tuple[int, ...] = (1, 2, 3), **changes: Any) -> Path:
    """What a model says along the baseline, the baseline itself unless said otherwise."""
    usual: dict[str, Any] = {
        "tokens": (1, 2, 3),
        "choices": choices,
        "logprobs": THEN[: len(choices)],
        "margins": (0.0, 0.0, 0.0)[: len(choices)],
        "leads": (2.0, 2.0, 2.0)[: len(choices)],
        "scale": 10.0,
        "stop": "length",
    }
    return Path(**{**usual, **changes})


def candidate(tokens: tuple[int, ...], along: Path | None, **changes: Any) -> Generation:
    """Today's output."""
    usual: dict[str, Any] = {"logprobs": THEN, "stop": "length", "environment": HERE}
    return Generation("".join(NAMES[token].strip() for token in tokens), tokens, **{**usual, **changes}, path=along)


def verdict(actual: Generation, expected: Generation = EXPECTED, tolerance: float | None = None) -> Judgement:
    """The verdict, tokens shown by name."""
    baseline = Baseline(CASE.key.row, expected, CASE.input_hash, CASE.settings_hash)
    return judge(CASE, baseline, actual, lambda token: NAMES[token], tolerance=tolerance)


def test_tokens_that_are_named_in_other_ways_are_compared_by_text() -> None:
    """Ids say nothing of numbers made of bytes."""
    named = tuple(number_of_bytes(raw) for raw in (b" a", b" b", b" c"))
    assert verdict(Generation("abc", named, THEN, "length", HERE)).verdict is Verdict.IDENTICAL
    other = verdict(Generation("abd", named, THEN, "length", HERE))
    assert (other.verdict, other.unit) == (Verdict.DRIFTED, "char")


def near(number: float) -> Any:
    """A number, up to rounding."""
    return pytest.approx(number, nan_ok=True)


SAME = Likelihood(0.0, 0.0, 0.0, 0, BAND, tokens=3)


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        pytest.param(
            candidate((1, 7, 8), path((1, 7, 3), margins=(0.0, 2e-4, 0.0))),
            Judgement(Verdict.NEAR_TIE, 1, 3, " b", " x", "tok", 2e-4, 1, TOLERANCE, SAME),
            id="a flip within the tolerance, all else agrees",
        ),
        pytest.param(
            candidate((1, 7, 8), path((1, 7, 3), margins=(0.0, 1.5, 0.0))),
            Judgement(Verdict.DRIFTED, 1, 3, " b", " x", "tok", 1.5, 1, TOLERANCE, SAME),
            id="a flip beyond it",
        ),
        pytest.param(
            candidate((1, 7, 8), path((1, 7, 8), margins=(0.0, 2e-4, 0.7))),
            Judgement(Verdict.DRIFTED, 2, 3, " c", " y", "tok", 0.7, 2, TOLERANCE, SAME),
            id="a tie does not excuse what follows it",
        ),
        pytest.param(
            candidate((1, 7, 8), path((1, 7, 3), margins=(0.0, 2e-4, 0.0), logprobs=(-0.5, -0.25, -1.03))),
            Judgement(
                Verdict.SHIFTED,
                *(1, 3, " b", " x", "tok", 2e-4, 1, TOLERANCE),
                Likelihood(near(0.03 / math.sqrt(3)), near(-0.01), near(-0.03), 2, BAND, tokens=3),
            ),
            id="a tie beside moved likelihoods is more than a tie",
        ),
        pytest.param(
            candidate((1, 7, 8), path()),
            Judgement(Verdict.DRIFTED, 1, 3, " b", " x", "tok", None, 0, TOLERANCE, SAME),
            id="writes what it does not choose when it reads",
        ),
        pytest.param(
            candidate((1, 7, 8), path(leads=(2.0, 3e-4, 2.0))),
            Judgement(Verdict.NEAR_TIE, 1, 3, " b", " x", "tok", None, 0, TOLERANCE, SAME),
            id="the same where two tokens are nearly equal",
        ),
        pytest.param(
            candidate((1, 9), path((1, 9), stop="eos", margins=(0.0, 1e-5), leads=(2.0, 1e-5)), stop="eos"),
            Judgement(
                *(Verdict.DRIFTED, 2, 3, " c", "<eos>", "tok", None, 1, TOLERANCE),
                Likelihood(0.0, 0.0, 0.0, 0, BAND, tokens=2),
            ),
            id="the path ends before the baseline does",
        ),
        pytest.param(
            candidate((1, 2, 3, 8), path(stop="")),
            Judgement(Verdict.DRIFTED, 3, 3, "<length>", " y", "tok", None, 0, TOLERANCE, SAME),
            id="the output goes on",
        ),
        pytest.param(
            candidate((1, 2, 3), path(stop="eos"), stop="eos"),
            Judgement(Verdict.DRIFTED, 3, 3, "<length>", "<eos>", "tok", None, 0, TOLERANCE, SAME),
            id="another reason to stop",
        ),
        pytest.param(
            candidate((1, 7, 8), path((1, 7, 3), margins=(0.0, math.nan, 0.0))),
            Judgement(Verdict.DRIFTED, 1, 3, " b", " x", "tok", near(math.nan), 1, TOLERANCE, SAME),
            id="a margin that is no number excuses nothing",
        ),
        pytest.param(
            candidate((1, 7, 8), path((1, 7, 3), tokens=(1, 2, 4))),
            Judgement(
                *(Verdict.DRIFTED, 1, 3, " b", " x", "tok", None, None, None),
                Likelihood(0.0, 0.0, 0.0, 0, near(4 * 2**-23 * 32), tokens=1),
            ),
            id="a path along other tokens says nothing",
        ),
    ],
)
def test_what_the_model_says_along_the_baseline_decides(actual: Generation, expected: Judgement) -> None:
    """The first position that noise does not explain, else the first that differs."""
    assert verdict(actual) == expected


@pytest.mark.parametrize(
    ("now", "tolerance", "found"),
    [
        (THEN, None, Verdict.NEAR_TIE),
        ((-0.5, -0.25, -1.0005), None, Verdict.SHIFTED),
        ((-0.5, -0.25, -1.3), None, Verdict.DRIFTED),
        ((-0.5, -0.25, -1.3), 0.5, Verdict.SHIFTED),
        ((-0.5, -0.25, -math.inf), 0.5, Verdict.DRIFTED),
    ],
)
def test_a_draw_is_judged_by_likelihood(now: tuple[float, ...], tolerance: float | None, found: Verdict) -> None:
    """Another draw alone says nothing: how far the likelihood of the stored one moved does."""
    along = path((1, 7, 3), draws=True, logprobs=now, margins=(1.0, 1.0, 1.0))
    said = verdict(candidate((1, 7, 8), along), tolerance=tolerance)
    assert said.verdict is found
    assert (said.position, said.baseline_token, said.candidate_token) == (1, " b", " x")
    assert said.margin is None


@pytest.mark.parametrize(
    ("moved", "environment", "found"),
    [
        (0.0, HERE, Verdict.IDENTICAL),
        (0.9 * BAND, HERE, Verdict.IDENTICAL),
        (1.1 * BAND, HERE, Verdict.SHIFTED),
        (1.1 * BAND, tuple(sorted({**dict(HERE), "weights": "bb"}.items())), Verdict.SHIFTED),
        (1.1 * BAND, tuple(sorted({**dict(HERE), "torch": "2.14.0"}.items())), Verdict.SHIFTED),
        (1.1 * BAND, tuple(sorted({**dict(HERE), "capability": "AVX2"}.items())), Verdict.SHIFTED),
        (1.1 * BAND, tuple(sorted({**dict(HERE), "device": "NVIDIA_H200"}.items())), Verdict.IDENTICAL),
        (1.1 * ELSEWHERE * BAND, tuple(sorted({**dict(HERE), "device": "NVIDIA_H200"}.items())), Verdict.SHIFTED),
        (1e-3, tuple(sorted({**dict(HERE), "matmul": "medium"}.items())), Verdict.IDENTICAL),
        (5 * BAND, MeasuredNoise(BAND).write(HERE), Verdict.IDENTICAL),
        (11 * BAND, MeasuredNoise(BAND).write(HERE), Verdict.SHIFTED),
        (1e-3, tuple(sorted({**dict(HERE), "dtype": "bfloat16"}.items())), Verdict.IDENTICAL),
    ],
)
def test_equal_tokens_may_have_shifted(moved: float, environment: Any, found: Verdict) -> None:
    """The root mean square of the likelihoods' differences against the noise of both environments."""
    actual = candidate((1, 2, 3), path(), logprobs=tuple(value + moved for value in THEN), environment=environment)
    assert verdict(actual).verdict is found


@pytest.mark.parametrize(
    ("dtype", "draws", "found"),
    [("float32", False, Verdict.SHIFTED), ("float32", True, Verdict.IDENTICAL), ("bfloat16", False, Verdict.IDENTICAL)],
)
def test_a_processor_that_no_setting_declares(dtype: str, *, draws: bool, found: Verdict) -> None:
    """It moves log-probs of the choice, and not those of the reading; in full precision both count."""
    here = tuple(sorted({**dict(HERE), "dtype": dtype}.items()))
    moved = tuple(value - 0.02 for value in THEN)
    along = path(logprobs=moved, unprocessed=THEN, draws=draws)
    actual = candidate((1, 2, 3), along, logprobs=moved, as_read=THEN, environment=here)
    judged = verdict(actual, replace(EXPECTED, as_read=THEN, environment=here))
    assert judged.verdict is found


@pytest.mark.parametrize("bad", [math.nan, -math.nan])
def test_likelihoods_that_are_no_numbers_are_an_error(bad: float) -> None:
    """On either side, whether the tokens are equal or not; never a pass."""
    reason = "log-probabilities are NaN, so the output cannot be compared"
    numbers = (-0.5, bad, -1.0)
    judged = [
        verdict(candidate((1, 2, 3), path(), logprobs=numbers)),
        verdict(candidate((1, 7, 8), path((1, 7, 3), logprobs=numbers))),
        verdict(candidate((1, 2, 3), path()), replace(EXPECTED, logprobs=numbers)),
    ]
    assert [(found.verdict, found.reason) for found in judged] == [(Verdict.ERROR, reason)] * 3


def test_another_tokenizer_makes_a_baseline_stale() -> None:
    """Its tokens then mean another text: texts are compared, and equal ones are no proof that nothing changed."""
    baseline = Baseline(CASE.key.row, EXPECTED, CASE.input_hash, CASE.settings_hash)
    actual = candidate((1, 2, 3), path())
    reason = (
        "the text is the same, but its tokens make another one with today's tokenizer, so the tokenizer changed since "
        "the baseline was recorded"
    )
    assert judge(CASE, baseline, actual, decode=lambda tokens: "abd") == Judgement(Verdict.STALE, reason=reason)
    assert judge(CASE, baseline, actual, decode=lambda tokens: "abc").verdict is Verdict.IDENTICAL
    other = replace(actual, text="abe")
    drifted = Judgement(Verdict.DRIFTED, 2, 3, "abc", "abe", "char")
    assert judge(CASE, baseline, other, decode=lambda tokens: "abd") == drifted


MARGINS = st.floats(0, 2) | st.sampled_from([0.0, 1e-6, 1e-3, 0.1])
PATHS = st.builds(
    lambda rows, stop, draws: path(
        tuple(row[0] for row in rows),
        logprobs=tuple(row[1] for row in rows),
        margins=tuple(row[2] for row in rows),
        leads=tuple(row[3] for row in rows),
        stop=stop,
        draws=draws,
    ),
    st.lists(st.tuples(st.sampled_from([1, 2, 3, 7]), st.floats(-9, 0), MARGINS, MARGINS), min_size=1, max_size=3),
    st.sampled_from(["", "eos", "length"]),
    st.booleans(),
)
CANDIDATES = st.builds(
    lambda tokens, along, logprobs, stop: candidate(tuple(tokens), along, logprobs=tuple(logprobs), stop=stop),
    st.lists(st.sampled_from([1, 2, 3, 7]), min_size=1, max_size=4) | st.just([1, 2, 3]),
    st.none() | PATHS,
    st.lists(st.floats(-9, 0), min_size=3, max_size=3) | st.just(list(THEN)),
    st.sampled_from(["", "eos", "length"]),
)


@given(CANDIDATES)
def test_every_candidate_has_one_verdict(actual: Generation) -> None:
    """Always the same one; identical exactly when tokens and end agree and likelihoods moved within the band."""
    found = verdict(actual)
    assert found == verdict(actual)
    assert found.verdict in COMPARED
    within = found.likelihood is None or found.likelihood.is_noise
    same = actual.token_ids == EXPECTED.token_ids and actual.stop in ("", EXPECTED.stop)
    assert (found.verdict is Verdict.IDENTICAL) is (same and within)
    if found.verdict is not Verdict.IDENTICAL and not same:
        assert found.position is not None


@given(CANDIDATES, st.floats(0, 3), st.floats(0, 3))
def test_a_larger_tolerance_never_fails_more(actual: Generation, one: float, other: float) -> None:
    """What passes under a smaller tolerance passes under a larger one."""
    strict, lenient = (verdict(actual, tolerance=tolerance).verdict for tolerance in sorted((one, other)))
    assert not (lenient is Verdict.DRIFTED and strict is not Verdict.DRIFTED)


@given(st.sampled_from([*PRECISIONS, "int8", ""]), st.sampled_from([*PRECISIONS]), st.floats(0, 1e4))
def test_limits_follow_the_coarser_precision(one: str, other: str, scale: float) -> None:
    """Whichever side it is on, and they grow with the scores; an unknown precision counts as the coarsest."""
    now, then = (("dtype", one),), (("dtype", other),)
    here, there = limits(now, then, scale), limits(then, now, scale)
    assert here == there
    assert here.band > 0
    assert here.tolerance > here.band / ELSEWHERE
    assert limits(now, then, 2 * scale).band >= here.band
    assert limits(now, then, scale, 0.5).tolerance == 0.5
    coarse = limits((("dtype", "bfloat16"),), then, scale)
    assert coarse.tolerance >= here.tolerance
