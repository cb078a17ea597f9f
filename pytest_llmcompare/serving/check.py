"""Checks one case against its baseline: generates the output, and scores the baseline if the output differs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import cycle

from pytest_llmcompare.comparison.noise import limits
from pytest_llmcompare.errors import GenerationError
from pytest_llmcompare.generation import Generation, Path, names_tokens_alike
from pytest_llmcompare.models.gen_config import DEFAULTS
from pytest_llmcompare.settings import PLAIN, VERIFY

from .answer import Answer
from .partial_path import partial_path
from .probe import Level
from .scoring import confirms, path_along, scored_tokens, spells
from .server import Question, Server


@dataclass(frozen=True)
class Check:
    """A question, and the baseline to compare the answer with.

    Attributes:
        question: What to ask.
        expected: The baseline, with tokens; None if there is none that answers the same question.
        decode: `auto` scores the baseline if the output differs, `verify` scores it first, `plain` never does.
        draws: Whether the case is sampled.
    """

    question: Question
    expected: Generation | None = None
    decode: str = ""
    draws: bool = False


@dataclass(frozen=True)
class Checked:
    """The output of a case.

    Attributes:
        generation: The output, with the path along the baseline if it differs.
        answer: The answer that holds the output; None if a scoring confirmed the baseline.
        scorings: Answers to requests that scored the baseline.
        fault: Why the baseline could not be scored; empty if it was, or did not have to be.
    """

    generation: Generation
    answer: Answer | None
    scorings: tuple[Answer, ...] = ()
    fault: str = ""

    @property
    def answers(self) -> tuple[Answer, ...]:
        """All answers to the requests that it took."""
        return self.scorings if self.answer is None else (self.answer, *self.scorings)


def check_case(server: Server, check: Check) -> Checked:
    """Check a case.

    Raises:
        GenerationError: There is no output.
    """
    expected = check.expected
    scorings: tuple[Answer, ...] = ()
    if expected is not None and check.decode == VERIFY and _can_score(server, check) and not check.draws:
        confirmed, scorings = _verified(server, check.question, expected)
        if confirmed is not None:
            return Checked(confirmed, None, scorings)
    answer = server.ask(check.question)
    generation = server.generation(answer)
    if expected is None or not _can_compare(expected, generation):
        return Checked(generation, answer, scorings)
    path, fault = None, ""
    if check.decode != PLAIN and _can_score(server, check) and answer.prompt_ids:
        try:
            scored = server.score(answer.prompt_ids, expected.token_ids or ())
            scorings = (*scorings, scored)
            path = path_along(expected, scored, draws=check.draws)
        except GenerationError as error:
            fault = error.reason
    return Checked(replace(generation, path=path or _known_part(server, check, answer)), answer, scorings, fault)


def _can_compare(expected: Generation, actual: Generation) -> bool:
    """True if both have tokens, named in the same way, and not the same ones."""
    ours, theirs = expected.token_ids, actual.token_ids
    return ours is not None and theirs is not None and ours != theirs and names_tokens_alike(ours, theirs)


def _can_score(server: Server, check: Check) -> bool:
    """True if log-probs of given tokens can be asked for, and say what the server would choose."""
    return server.capabilities.level is Level.PATH and (check.draws or server.shows_choices)


def _known_part(server: Server, check: Check, answer: Answer) -> Path | None:
    """The path up to the first other token, which the output's own alternatives show."""
    tokens = check.expected.token_ids if check.expected else None
    if tokens is None or check.draws or not server.shows_choices:
        return None
    return partial_path(tokens, answer)


def _verified(server: Server, question: Question, expected: Generation) -> tuple[Generation | None, tuple[Answer, ...]]:
    """The baseline as today's output, if one scoring confirms all of its tokens and its end; and the scorings.

    All tokens but the last are scored; the last one is generated, so that its finish reason is known.
    """
    tokens = expected.token_ids or ()
    most = question.gen_config.get("max_new_tokens", DEFAULTS["max_new_tokens"])
    if not tokens or not names_tokens_alike(tokens, (0,)) or (expected.stop == "length" and len(tokens) != most):
        return None, ()
    try:
        first = server.ask(replace(question, gen_config={**question.gen_config, "max_new_tokens": 1}))
        scored = server.score(first.prompt_ids, tokens[:-1])
    except GenerationError:
        return None, ()
    steps = (*scored_tokens(scored, len(tokens) - 1), *(scored.tokens or ()))
    unsure = limits(server.environment, expected.environment, None).tolerance
    pieces = [scored.prompt.pieces.get(token) if scored.prompt else None for token in tokens[:-1]]
    is_confirmed = (
        confirms(expected, steps, unsure=unsure)
        and (scored.stop == "eos") == (expected.stop == "eos")
        and spells(pieces, expected.text)
    )
    if not is_confirmed:
        return None, (scored,)
    logprobs = tuple(step.logprob for step in steps)
    generation = Generation(
        expected.text,
        tokens,
        logprobs,
        expected.stop,
        server.environment,
        verified=True,
        prompt_shown=first.prompt_shown,
    )
    return generation, (scored,)


def ask_or_score(server: Server, answers: Sequence[tuple[Check, Answer]]) -> Callable[[Question], Answer]:
    """A function that asks questions again, alternating between generating and scoring.

    Both give log-probs of the same tokens, but round differently. So at level `path` it scores every second answer and
    all sampled ones, and generates the others anew.

    Args:
        server: The server.
        answers: What was checked, with its answer; other questions are always generated.
    """
    known = {id(check.question): (check, answer) for check, answer in answers}
    turns = cycle((True, False))

    def ask(question: Question) -> Answer:
        check, answer = known.get(id(question), (Check(question), None))
        scores = server.capabilities.level is Level.PATH and answer is not None and bool(answer.prompt_ids)
        if answer is None or not scores or not (check.draws or next(turns)):
            return server.ask(question)
        scored = server.score(answer.prompt_ids, answer.token_ids)
        return replace(answer, tokens=scored_tokens(scored, len(answer.token_ids)))

    return ask
