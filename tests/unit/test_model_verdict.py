"""The verdict on a model, by the log-probs of all tokens of a table together."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from pytest_llmcompare.comparison.acceptance import is_accepted, is_match, is_open, is_shifted
from pytest_llmcompare.comparison.environments import same_numerics
from pytest_llmcompare.comparison.measured_noise import MeasuredNoise
from pytest_llmcompare.comparison.model_verdict import Movement, judge_model
from pytest_llmcompare.generation import Environment, Generation
from pytest_llmcompare.judgement import Finding, Judgement, Likelihood, ModelVerdict, Verdict
from pytest_llmcompare.records import CaseKey, CaseResult, GroupKey
from pytest_llmcompare.settings import Update

HERE: Environment = (("device", "cpu"), ("dtype", "float32"), ("weights", "aa"))
OTHER: Environment = (("device", "cpu"), ("dtype", "float32"), ("weights", "bb"))
SERVED: Environment = (("fingerprint", "f"), ("level", "output"), ("server", "s"))
QUIET = MeasuredNoise(1e-6)
MANY = 200
"""Outputs, so many that the limit is not wider for few."""


def moved(rms: float, tokens: int = 40, then: Environment = HERE, noise: MeasuredNoise | None = QUIET) -> Movement:
    """A case whose log-probs moved."""
    likelihood = Likelihood(rms, 0.0, rms, 0, band=1.5e-5, tokens=tokens)
    return Movement(noise.write(then) if noise else then, likelihood)


def verdict(*movements: Movement, now: Environment = HERE) -> ModelVerdict:
    """The verdict, which there is."""
    judged = judge_model(movements, now)
    assert judged is not None
    return judged


@pytest.mark.parametrize(
    ("rms", "noise", "finding"),
    [
        (2.9e-6, 1e-6, Finding.UNCHANGED),
        (3.1e-6, 1e-6, Finding.CHANGED),
        (1.9e-6, 1e-7, Finding.UNCHANGED),
        (2.1e-6, 1e-7, Finding.CHANGED),
        (1e-3, 1e-3, Finding.UNCHANGED),
    ],
)
def test_the_limit_follows_the_noise(rms: float, noise: float, finding: Finding) -> None:
    """Three times the noise measured when recording, at least 2e-6 nats for float32."""
    assert verdict(*[moved(rms, noise=MeasuredNoise(noise))] * MANY).finding is finding


@pytest.mark.parametrize(
    ("rms", "noise", "finding"),
    [
        (1.9e-6, 1e-7, Finding.UNCHANGED),
        (2.1e-6, 1e-7, Finding.CHANGED),
        (2.9e-6, 1e-6, Finding.UNCHANGED),
        (3.1e-6, 1e-6, Finding.CHANGED),
    ],
)
def test_low_precision_that_was_read_in_float32(rms: float, noise: float, finding: Finding) -> None:
    """The same limit as for float32: the noise that was measured holds what rounding moves."""
    low = (*HERE[:1], ("dtype", "bfloat16"), *HERE[2:])
    movement = moved(rms, then=low, noise=MeasuredNoise(noise))
    assert movement.likelihood is not None
    movement = replace(movement, likelihood=replace(movement.likelihood, as_read=True))
    assert verdict(*[movement] * MANY, now=low).finding is finding


@pytest.mark.parametrize(("outputs", "limit"), [(1, 6e-6), (2, 4.75e-6), (40, 3.12e-6), (1000, 3.01e-6)])
def test_a_few_outputs_may_have_more_noise_than_all(outputs: int, limit: float) -> None:
    """The limit for one is twice as wide, that of many three times the noise; the least stays as it is."""
    assert verdict(*[moved(0.0)] * outputs).limit == pytest.approx(limit, rel=5e-3)
    assert verdict(*[moved(0.0, noise=MeasuredNoise(1e-7))] * outputs).limit == 2e-6


def test_all_tokens_count_together() -> None:
    """The root mean square over tokens, not over cases."""
    judged = verdict(moved(0.0, tokens=60), moved(4e-6, tokens=20))
    assert judged.moved == pytest.approx(2e-6)
    assert judged.limit == pytest.approx(3e-6 * math.sqrt(1 + 3 / 2))
    assert (judged.tokens, judged.cases, judged.noise) == (80, 2, 1e-6)


def test_without_noise_the_band_of_a_case_stands_in() -> None:
    """Baselines of earlier versions hold none."""
    assert verdict(moved(1.4e-5, noise=None)).finding is Finding.UNCHANGED
    judged = verdict(moved(1.6e-5, noise=None))
    assert (judged.finding, judged.noise, judged.limit) == (Finding.CHANGED, None, 1.5e-5)


@pytest.mark.parametrize(
    ("movements", "now", "reason"),
    [
        ([moved(1.0, tokens=15)], HERE, "15 tokens can be compared, 16 are needed"),
        ([Movement(HERE, None)], HERE, "text alone"),
        ([moved(math.inf)], HERE, "text alone"),
        ([moved(1e-3, then=(("dtype", "bfloat16"),))], (("dtype", "bfloat16"),), "in bfloat16 noise hides"),
        ([moved(1e-4)], (*HERE[:2], ("matmul", "medium"), HERE[2]), "multiplied in a lower precision on one side"),
    ],
)
def test_what_cannot_be_told(movements: list[Movement], now: Environment, reason: str) -> None:
    """It is never `unchanged`."""
    judged = verdict(*movements, now=now)
    assert judged.finding is Finding.UNKNOWN
    assert reason in judged.reason


@pytest.mark.parametrize("quiet", [moved(0.0, tokens=400), moved(0.0, tokens=3), Movement(HERE, None)])
def test_what_no_log_prob_shows_is_a_change(quiet: Movement) -> None:
    """Another end, a token that is suppressed: one such output decides, however few tokens there are."""
    judged = verdict(quiet, replace(moved(math.inf), shows_change=True))
    assert (judged.finding, judged.beyond_noise, judged.reason, judged.cases) == (Finding.CHANGED, 1, "", 2)


def test_nothing_compared_gives_no_verdict() -> None:
    """As in a first run, which records."""
    assert judge_model([], HERE) is None


def test_the_line_of_the_same_weights_decides() -> None:
    """Baselines of other weights are counted; they decide if today's weights have too few tokens."""
    judged = verdict(moved(1e-7), moved(0.1, tokens=400, then=OTHER), moved(0.1, tokens=400, then=OTHER))
    assert (judged.finding, judged.same_weights, judged.tokens, judged.others) == (Finding.UNCHANGED, True, 40, 2)
    judged = verdict(moved(1e-7, tokens=15), moved(0.1, tokens=400, then=OTHER))
    assert (judged.finding, judged.same_weights, judged.others) == (Finding.CHANGED, False, 1)
    assert verdict(moved(1e-7), now=HERE[:2]).same_weights is None


def test_noise_does_not_part_an_environment() -> None:
    """Cases with and without it are judged together, by the larger noise."""
    judged = verdict(moved(1e-7, noise=None), moved(1e-7, noise=MeasuredNoise(2e-6)), moved(1e-7))
    assert (judged.cases, judged.noise, judged.others) == (3, 2e-6, 0)


def test_another_kind_of_device() -> None:
    """Its noise has not been measured: the limit is ten times as high."""
    gpu: Environment = (("device", "NVIDIA_H200"), *HERE[1:])
    assert verdict(*[moved(2.9e-5)] * MANY, now=gpu).finding is Finding.UNCHANGED
    assert verdict(*[moved(3.1e-5)] * MANY, now=gpu).finding is Finding.CHANGED
    assert verdict(*[moved(3.1e-6)] * MANY, now=HERE[1:]).finding is Finding.CHANGED  # unknown is not another one


@pytest.mark.parametrize(
    ("facts", "same"),
    [
        ({"torch": "2.14.0", "weights": "bb"}, True),
        ({"capability": "AVX512"}, True),
        ({"capability": "AVX2"}, False),
        ({"attention": "eager"}, False),
        ({"dtype": "bfloat16"}, False),
        ({"device": "cuda"}, False),
        ({"server": "vllm"}, False),
    ],
)
def test_what_decides_how_numbers_are_summed(facts: dict[str, str], same: bool) -> None:
    """Device, number format, instruction set and attention; a fact that one side lacks is unknown, not different."""
    known = {**dict(HERE), "capability": "AVX512", "attention": "sdpa", "torch": "2.13.0"}
    one, other = (tuple(sorted(pairs.items())) for pairs in (known, {**known, **facts}))
    assert same_numerics(one, other) is same_numerics(other, one) is same
    assert same_numerics(HERE, other) is (same or not {*facts} & {"dtype", "device", "server"})


@pytest.mark.parametrize(
    ("rms", "now", "finding"),
    [
        (0.9e-4, SERVED, Finding.UNCHANGED),
        (1.1e-4, SERVED, Finding.CHANGED),
        (4.9e-4, (("fingerprint", "g"), *SERVED[1:]), Finding.UNCHANGED),
        (5.1e-4, (("fingerprint", "g"), *SERVED[1:]), Finding.CHANGED),
    ],
)
def test_a_served_model(rms: float, now: Environment, finding: Finding) -> None:
    """At least 1e-4 nats, and five times as much behind another fingerprint; it has no weights to compare."""
    judged = verdict(moved(rms, then=SERVED, noise=MeasuredNoise(1e-5, 3e-4, 1e-2)), now=now)
    assert (judged.finding, judged.same_weights) == (finding, None)


@pytest.mark.parametrize(
    ("verdict", "moves", "changed", "expected"),
    [
        (Verdict.IDENTICAL, True, False, (False, False, True)),
        (Verdict.IDENTICAL, True, True, (True, True, False)),
        (Verdict.NEAR_TIE, True, True, (True, True, False)),
        (Verdict.IDENTICAL, False, True, (False, False, True)),
        (Verdict.SHIFTED, True, False, (True, True, False)),
        (Verdict.DRIFTED, True, True, (True, False, False)),
    ],
)
def test_all_outputs_of_a_changed_model_are_accepted_together(
    verdict: Verdict, moves: bool, changed: bool, expected: tuple[bool, bool, bool]
) -> None:
    """Those that pass by themselves wait as shifted ones, if they have log-probs."""
    likelihood = moved(1e-7).likelihood if moves else None
    key = CaseKey(GroupKey(".", "t", "m"), "p")
    result = CaseResult(key, "n", Generation("x"), Judgement(verdict, likelihood=likelihood), model_changed=changed)
    assert (is_open(result), is_shifted(result), is_match(result)) == expected
    assert is_accepted(result, Update.CHANGED) is is_open(result)
