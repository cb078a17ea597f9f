"""Scored prompts: what is read of them, and the path along a baseline that follows."""

from __future__ import annotations

import math
from typing import Any

import pytest

from pytest_llmcompare.generation import Generation, Path
from pytest_llmcompare.serving.answer import Answer, BadAnswerError, ShownToken
from pytest_llmcompare.serving.check import Check, ask_or_score
from pytest_llmcompare.serving.probe import ALLOWED, Level
from pytest_llmcompare.serving.request_fields import keeps_choices
from pytest_llmcompare.serving.scoring import confirms, path_along, spells
from pytest_llmcompare.serving.server import Question
from pytest_llmcompare.serving.shown_tokens import ShownPrompt, shown_prompt

SCORED = (
    ShownToken(7, -0.5, {7: -0.5, 8: -1.0}),
    ShownToken(3, -2.0, {4: -0.5, 5: -0.75, 3: -2.0}),
    ShownToken(9, -0.25, {9: -0.25}),
)


def entry(**logprobs: float) -> dict[str, Any]:
    """An entry of `prompt_logprobs`; the first token is the prompt's own, which may be listed out of its rank."""
    ranks = {name: rank for rank, name in enumerate(sorted(logprobs, key=lambda name: -logprobs[name]), 1)}
    return {
        name[1:]: {"logprob": value, "rank": ranks[name], "decoded_token": name} for name, value in logprobs.items()
    }


def answer(tokens: tuple[ShownToken, ...], stop: str = "length") -> Answer:
    """An answer to a request that scored tokens after a prompt of the tokens 1 and 2."""
    prompt = ShownPrompt((1, 2, *(token.id for token in tokens)), (ShownToken(2, -1.0, {2: -1.0}), *tokens), {})
    return Answer("x", stop, (ShownToken(5, -0.1, {5: -0.1}),), {}, "m", "", 5, 1, (1, 2), prompt)


def test_scored_prompts_are_read() -> None:
    """The best alternative comes first, whatever the order in the answer; the first token has no entry."""
    choice = {"prompt_token_ids": [1, 2, 3], "prompt_logprobs": [None, entry(t2=-3.0, t4=-0.5), entry(t3=-0.1, t9=-3)]}
    prompt = shown_prompt(choice, 3)
    assert prompt is not None
    assert prompt.ids == (1, 2, 3)
    assert [(token.id, token.logprob, token.best) for token in prompt.tokens] == [(2, -3.0, 4), (3, -0.1, 3)]
    assert prompt.pieces == {2: "t2", 4: "t4", 3: "t3", 9: "t9"}


@pytest.mark.parametrize(
    ("change", "count"),
    [
        ({"prompt_logprobs": None}, 2),
        ({"prompt_token_ids": None}, 2),
        ({"prompt_token_ids": [1, True]}, 2),
        ({}, 3),
        ({"prompt_logprobs": [None]}, 2),
        ({"prompt_logprobs": [entry(t1=-1.0), entry(t2=-1.0)]}, 2),
        ({"prompt_logprobs": [None, None]}, 2),
        ({"prompt_logprobs": [None, entry(t3=-1.0)]}, 2),
        ({"prompt_token_ids": [1], "prompt_logprobs": [None]}, 1),
    ],
)
def test_prompts_that_are_not_scored_as_a_whole(change: dict[str, Any], count: int) -> None:
    """Lengths must agree, and each entry must hold its own token."""
    whole = {"prompt_token_ids": [1, 2], "prompt_logprobs": [None, entry(t2=-1.0)]}
    assert shown_prompt(whole, 2) is not None
    assert shown_prompt({**whole, **change}, count) is None


@pytest.mark.parametrize("value", [None, "x", 0.5, True])
def test_bad_numbers_of_a_prompt(value: object) -> None:
    """They are errors, as in an output."""
    entries = [None, {"2": {"logprob": value, "rank": 1}}]
    with pytest.raises(BadAnswerError, match="log-prob"):
        shown_prompt({"prompt_token_ids": [1, 2], "prompt_logprobs": entries}, 2)


def test_the_path_along_a_baseline() -> None:
    """Choices, log-probs, margins and leads; a lead is infinite where no second token is shown."""
    expected = Generation("abc", (7, 3, 9), stop="length")
    assert path_along(expected, answer(SCORED), draws=False) == Path(
        (7, 3, 9), (7, 4, 9), (-0.5, -2.0, -0.25), (0.0, 1.5, 0.0), (0.5, 0.25, math.inf), stop="length"
    )
    assert path_along(Generation("abc", (7, 3)), answer(SCORED), draws=False) is None
    assert path_along(Generation("", ()), answer(()), draws=False) is None


@pytest.mark.parametrize(
    ("then", "level", "now", "stop"),
    [
        ("eos", "path", "length", "eos"),  # the end token is the last of the baseline
        ("eos", "output", "length", ""),  # it is not, and the model goes on
        ("eos", "output", "eos", "eos"),
        ("length", "output", "eos", "length"),
        ("stop", "path", "length", "stop"),
    ],
)
def test_the_end_of_a_path(then: str, level: str, now: str, stop: str) -> None:
    """It follows from the tokens, or from the token after the last."""
    expected = Generation("abc", (7, 3, 9), stop=then, environment=(("level", level),))
    path = path_along(expected, answer(SCORED, now), draws=False)
    assert path is not None
    assert path.stop == stop


def test_what_confirms_a_baseline() -> None:
    """Each token is the choice, by more than noise."""
    expected = Generation("ab", (7, 9))
    assert confirms(expected, [SCORED[0], SCORED[2]], unsure=0.4)
    assert not confirms(expected, [SCORED[0], SCORED[2]], unsure=0.5)
    assert not confirms(Generation("ab", (7, 3)), SCORED[:2], unsure=0.1)
    assert not confirms(expected, SCORED[:1], unsure=0.1)


@pytest.mark.parametrize(
    ("pieces", "text", "fits"),
    [
        ([" a", "b"], " ab", True),
        (["\u0120a", "\u010ab"], " a\nb", True),
        (["a", "b"], " a", True),  # a stop string cut the text
        (["a", "x"], "ab", False),
        (["\ufffd", "x"], "ab", True),
        (["a", None], "xy", True),
    ],
)
def test_pieces_that_spell_another_text(pieces: list[str | None], text: str, fits: bool) -> None:
    """White space is marked in many ways, and parts of characters say nothing."""
    assert spells(pieces, text) is fits


def test_fields_that_keep_the_choice() -> None:
    """What is not known to be harmless may be a penalty."""
    assert keeps_choices({"cache_prompt": False, "repetition_penalty": 1.0, "presence_penalty": 0})
    for name in ("repetition_penalty", "logit_bias", "grammar", "bad_words", "frobnicate"):
        assert not keeps_choices({name: 1.5})


@pytest.mark.parametrize(
    ("message", "allowed"),
    [
        ("Requested sample logprobs of 5, which is greater than max allowed: 3", "3"),
        ("Requested prompt logprobs of 2, which is greater than max allowed: 1 (parameter=prompt_logprobs)", "1"),
        ("logprobs: Input should be less than or equal to 4", "4"),
        ("Invalid value for 'logprobs': must be at most 2.", "2"),
    ],
)
def test_how_servers_say_what_they_allow(message: str, allowed: str) -> None:
    """Then as many alternatives are asked for, and the level is kept."""
    match = ALLOWED.search(message)
    assert match is not None
    assert match[1] == allowed


def test_noise_is_learnt_in_both_ways() -> None:
    """By turns answers are scored and generated again; samples are only scored."""

    class Server:
        level = Level.PATH

        def __init__(self) -> None:
            self.capabilities, self.asked = self, list[str]()

        def ask(self, question: Question) -> Answer:
            self.asked.append(f"ask {question.prompt}")
            return answer(())

        def score(self, prompt: tuple[int, ...], tokens: tuple[int, ...]) -> Answer:
            self.asked.append(f"score {prompt} {tokens}")
            return answer((ShownToken(5, -0.125, {5: -0.125}),))

    server = Server()
    questions = [Question(name, {}) for name in "abcd"]
    checks = [Check(question, draws=question.prompt == "c") for question in questions[:3]]
    ask = ask_or_score(server, [(check, answer(())) for check in checks])  # type: ignore[arg-type]
    assert ask(questions[0]).tokens == (ShownToken(5, -0.125, {5: -0.125}),)
    for question in questions[1:]:
        ask(question)
    assert server.asked == ["score (1, 2) (5,)", "ask b", "score (1, 2) (5,)", "ask d"]
