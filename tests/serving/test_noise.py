"""Noise of a server: measured from repeats, stored in the environment, followed by verdicts."""

from __future__ import annotations

import math

import pytest

from pytest_llmcompare.comparison.environments import numerics
from pytest_llmcompare.comparison.judge import judge
from pytest_llmcompare.comparison.measured_noise import MeasuredNoise
from pytest_llmcompare.comparison.noise import limits
from pytest_llmcompare.errors import GenerationError
from pytest_llmcompare.generation import Environment, Generation, Path
from pytest_llmcompare.judgement import Judgement
from pytest_llmcompare.records import Baseline, Case, CaseKey, GroupKey, Row, RowKey
from pytest_llmcompare.serving.answer import Answer, ShownToken
from pytest_llmcompare.serving.measure_noise import measure_noise
from pytest_llmcompare.serving.server import Question

HERE: Environment = (("fingerprint", "a"), ("level", "output"), ("server", "s"))
NOISE = MeasuredNoise(1e-4, 4e-4, 2e-2)


def answer(*tokens: tuple[int, float, float]) -> Answer:
    """An answer of tokens with their log-probs, and that of the second best, token 99."""
    shown = tuple(ShownToken(token, logprob, {token: logprob, 99: second}) for token, logprob, second in tokens)
    return Answer("x" * len(shown), "length", shown, {}, "m", "a", 3, len(shown))


def test_noise_is_measured() -> None:
    """Three times the largest movements of log-probs and of leads; a repeat that fails costs only itself."""
    again = {"a": answer((1, -0.102, -1.02)), "c": answer((1, -0.1, -1.0))}

    def ask(question: Question) -> Answer:
        if question.prompt not in again:
            raise GenerationError("no")
        return again[question.prompt]

    questions = {index: Question(prompt, {}) for index, prompt in enumerate("abc")}
    answers = {index: answer((1, -0.1, -1.0)) for index in questions}
    measured = measure_noise(ask, questions, answers, 2)
    assert measured is not None
    assert measured.rms == pytest.approx(0.002 / 2**0.5)
    assert measured.band == pytest.approx(0.006)
    assert measured.tie == pytest.approx(0.054)


@pytest.mark.parametrize(("answered", "unanswered", "requests"), [(20, 0, 16), (5, 20, 15), (0, 20, 16), (3, 1, 5)])
def test_requests(answered: int, unanswered: int, requests: int) -> None:
    """One for each answer at hand, two for one from a journal; sixteen at most."""
    asked: list[str] = []

    def ask(question: Question) -> Answer:
        asked.append(str(question.prompt))
        return answer((1, -0.1, -9.0))

    questions = {index: Question(str(index), {}) for index in range(answered + unanswered)}
    answers = {index: answer((1, -0.1, -9.0)) for index in range(answered)}
    assert measure_noise(ask, questions, answers, 4) == MeasuredNoise(0.0, 3e-4, 1e-2)
    assert len(asked) == requests


def test_the_least_certain_answers_are_asked_again() -> None:
    """Their log-probs move most, and noise in low precision is rare."""
    asked: list[str] = []

    def ask(question: Question) -> Answer:
        asked.append(str(question.prompt))
        return answer((1, -0.1, -9.0))

    answers = {index: answer((1, -0.01 * (index % 25), -9.0)) for index in range(50)}
    measure_noise(ask, {index: Question(str(index), {}) for index in answers}, answers, 4)
    assert {int(prompt) % 25 for prompt in asked} == set(range(17, 25))


def test_another_token_counts_with_both_leads() -> None:
    """A repeat that takes another token shows that noise decides such a margin; too little is never measured."""
    question = {0: Question("a", {})}
    first = {0: answer((1, -0.7, -0.71))}
    measured = measure_noise(lambda _: answer((2, -0.7, -0.72)), question, first, 1)
    assert measured is not None
    assert measured.tie == pytest.approx(0.09)
    assert measure_noise(lambda _: answer(), question, {0: answer()}, 1) is None
    same = measure_noise(lambda _: first[0], question, first, 1)
    assert same == MeasuredNoise(0.0, 3e-4, 1e-2)


def test_storing() -> None:
    """It stands in the environment, and does not make it another one; what cannot be read is none."""
    stored = NOISE.write(HERE)
    assert dict(stored)["noise"] == "1.0e-04/4.0e-04/2.0e-02"
    assert MeasuredNoise.read(stored) == NOISE
    assert numerics(stored) == numerics(HERE)
    assert MeasuredNoise.read((("noise", "1.3e-06"),)) == MeasuredNoise(1.3e-6)
    for text in ("", "x", "1/2", "1/a/b", "nan/1/1", "1/0/1", "1/inf/1", "-1", "1/1/1/1"):
        assert MeasuredNoise.read((("noise", text),)) is None
    assert MeasuredNoise(1e-6).widened(NOISE) == NOISE
    assert NOISE.widened(MeasuredNoise(1e-3, 1e-5, 1.0)) == MeasuredNoise(1e-3, 4e-4, 1.0)


def test_limits() -> None:
    """Those of the baseline; five times wider on another server; a tolerance of the user's holds."""
    stored = NOISE.write(HERE)
    near = limits(HERE, stored, None)
    assert (near.band, near.tolerance) == (4e-4, 2e-2)
    far = limits((("fingerprint", "b"), *HERE[1:]), stored, None, 0.5)
    assert far.band == pytest.approx(2e-3)
    assert far.tolerance == 0.5


def verdict(now: Generation) -> Judgement:
    """The verdict on an answer to a baseline of the tokens 1, 2, 3."""
    case = Case(CaseKey(GroupKey(".", "t", "m"), "p"), Row("p", "prompt"), "", {}, 0)
    then = Generation("abc", (1, 2, 3), (-0.1, -0.7, -0.1), "length", NOISE.write(HERE))
    return judge(case, Baseline(RowKey("p"), then, case.input_hash, case.settings_hash), now)


@pytest.mark.parametrize(("margin", "expected"), [(0.01, "near_tie"), (0.03, "drifted"), (math.inf, "drifted")])
def test_verdicts_at_the_first_other_token(margin: float, expected: str) -> None:
    """A near tie within the measured margin; what stands after that token is not known."""
    logprobs = (-0.1,) if margin == math.inf else (-0.1, -0.7)
    path = Path((1, 2, 3), (1, 7), logprobs, (0.0, margin), (2.0, margin), is_partial=True)
    found = verdict(Generation("axy", (1, 7, 8), (-0.1, -0.69, -0.1), "length", HERE, path=path))
    assert (found.verdict, found.position, found.mismatches) == (expected, 1, None)
    assert found.margin == (None if margin == math.inf else margin)


def test_an_output_that_ends_elsewhere_drifts() -> None:
    """No margin is known for an end."""
    path = Path((1, 2, 3), (1,), (-0.1,), (0.0,), (2.0,), stop="eos", is_partial=True)
    found = verdict(Generation("a", (1,), (-0.1,), "eos", HERE, path=path))
    assert (found.verdict, found.position, found.margin) == ("drifted", 1, None)


def test_moved_logprobs_shift() -> None:
    """Equal tokens, moved by more than was measured."""
    assert verdict(Generation("abc", (1, 2, 3), (-0.1, -0.7002, -0.1), "length", HERE)).verdict == "identical"
    assert verdict(Generation("abc", (1, 2, 3), (-0.1, -0.702, -0.1), "length", HERE)).verdict == "shifted"
