"""Asks a served model for the cases of a table, and tells how much its server shows of the answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from pytest_llmcompare.baselines.journal import answer_key
from pytest_llmcompare.comparison.noise import LearntNoise, numerics
from pytest_llmcompare.decoding.request import Outcome
from pytest_llmcompare.errors import GenerationError, ModelError
from pytest_llmcompare.generation import Environment, Generation
from pytest_llmcompare.records import Baseline, RowKey
from pytest_llmcompare.serving import noise
from pytest_llmcompare.serving.answer import Answer
from pytest_llmcompare.serving.partial_path import partial_path
from pytest_llmcompare.serving.request_fields import check_settings
from pytest_llmcompare.serving.server import Capabilities, Level, Question, Server
from pytest_llmcompare.serving.threads import in_threads

from . import tracking
from .answers import Asking, Outcomes
from .served_model import ServedModel
from .served_usage import Usage, announced

MEANING: Mapping[Level, str] = {
    Level.OUTPUT: "compared by tokens and their log-probs; margins at the first other token only",
    Level.TEXT: "compared by text alone: this server shows no log-probs with token ids, so silent drift cannot be seen",
}


@dataclass(frozen=True)
class ServedTokens:
    """Shows tokens by what the server called them; it cannot turn tokens into text."""

    pieces: Mapping[int, str]
    decode: None = None

    def show(self, token: int) -> str:
        """Text of a token, or its number if the server never showed it."""
        piece = self.pieces.get(token)
        return (
            f"token {token}" if piece is None else piece.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        )


def ask_served(asking: Asking, model: ServedModel) -> tuple[list[Outcome], list[str]]:
    """Ask a served model, less the cases that an interrupted run finished; learn its noise if none is stored.

    Args:
        asking: What to ask.
        model: The pyfunc inside the loaded model.

    Returns:
        Outcomes in the order of the cases, and notes for the user.

    Raises:
        ModelError: The server does not answer, or another model answers than at the start.
        UsageError: A variable is missing, or a server cannot follow the settings.
    """
    for case in asking.cases:
        check_settings(model.name, case.gen_config)
    server = model.server()
    with announced(asking, model, server):
        return _ask_all(asking, model, server)


def _ask_all(asking: Asking, model: ServedModel, server: Server) -> tuple[list[Outcome], list[str]]:
    """Probe, ask, learn noise; outcomes in the order of the cases, and notes."""
    used_before = Usage.of(server)
    capabilities = server.probe(model.name)
    environment = capabilities.environment
    outcomes = Outcomes(asking, [answer_key(case, asking.identity.text, environment) for case in asking.cases])
    questions = {
        index: Question(case.prompt, case.gen_config, case.seed if case.samples else None)
        for index, case in enumerate(asking.cases)
    }
    answers = _ask(asking, model, server, outcomes, {index: questions[index] for index in outcomes.resume()})
    _check_same_model(asking, model, capabilities, answers.values())
    outcomes.notes.extend(_level_notes(asking, model, capabilities))
    learnt = stored_noise(asking.expected, environment)
    if capabilities.level is Level.OUTPUT and learnt is None:
        asking.progress.say(f"learning how far the numbers of {model.name} move")
        greedy = {
            index: questions[index]
            for index, case in enumerate(asking.cases)
            if not case.samples and isinstance(outcomes.by_index[index], Generation)
        }
        at_once = max(2, model.options.concurrency)  # a single request at a time shows none of the noise of batches
        with server.client.allowing(at_once):
            learnt = noise.learn(server.ask, greedy, answers, at_once) if greedy else None
    used = Usage.of(server) - used_before
    tracking.log_facts(_facts(capabilities, learnt, used.requests))
    outcomes.notes.append(used.note(asking))
    return [_with_noise(outcome, learnt) for outcome in outcomes.in_order()], outcomes.notes


def stored_noise(expected: Mapping[RowKey, Baseline], environment: Environment) -> LearntNoise | None:
    """The noise that baselines of the same server, version and fingerprint hold."""
    environments = {baseline.generation.environment for baseline in expected.values()}
    stored = (LearntNoise.read(one) for one in sorted(environments) if numerics(one) == numerics(environment))
    return next(filter(None, stored), None)


def _ask(
    asking: Asking, model: ServedModel, server: Server, outcomes: Outcomes, questions: Mapping[int, Question]
) -> dict[int, Answer]:
    """Ask questions, keeping each outcome as it comes; the answers by index."""
    answers: dict[int, Answer] = {}
    asking.progress.ask_many(model.options.concurrency)
    for index, outcome in in_threads(server.ask, questions, model.options.concurrency):
        if isinstance(outcome, GenerationError):
            outcomes.add(index, outcome)
            continue
        answers[index] = outcome
        generation = server.generation(outcome)
        case = asking.cases[index]
        baseline = asking.expected.get(case.key.row)
        tokens = baseline.generation.token_ids if baseline else None
        if tokens is not None and generation.token_ids is not None and not case.samples and server.shows_choices:
            generation = replace(generation, path=partial_path(tokens, outcome))
        outcomes.add(index, generation)
    return answers


def _check_same_model(
    asking: Asking, model: ServedModel, capabilities: Capabilities, answers: Iterable[Answer]
) -> None:
    """Check that the model and, on a server whose software is known, the fingerprint stayed the same.

    If they did not, the journal is discarded: the next run would resume answers of both models.

    Raises:
        ModelError: The server was replaced while it was asked.
    """
    first = (capabilities.model, capabilities.fingerprint if capabilities.server else "")
    for answer in answers:
        now = (answer.model, answer.fingerprint if capabilities.server else "")
        if now != first:
            asking.journal.discard()
            raise ModelError(
                f"model {model.name!r}: the server was replaced while it was asked: first {' '.join(first)!r} "
                f"answered, then {' '.join(now)!r}. Nothing is recorded; run again."
            )


def _level_notes(asking: Asking, model: ServedModel, capabilities: Capabilities) -> list[str]:
    """What the server shows, and what a check with the stored baselines cannot see for that."""
    server = f" ({capabilities.server})" if capabilities.server else ""
    notes = [f"model {model.name!r}: level {capabilities.level.value}{server}: {MEANING[capabilities.level]}"]
    asked = model.server().client.model
    if capabilities.model and capabilities.model != asked:
        notes.append(f"model {model.name!r}: the server was asked for {asked!r} and answers as {capabilities.model!r}")
    recorded = {dict(baseline.generation.environment).get("level") for baseline in asking.expected.values()}
    if capabilities.level is Level.TEXT and Level.OUTPUT.value in recorded:
        notes.append(
            f"model {model.name!r}: its baselines were recorded at level output, today's server shows text alone; "
            "a change that leaves the texts as they are cannot be seen"
        )
    return notes


def _facts(capabilities: Capabilities, learnt: LearntNoise | None, requests: int) -> dict[str, object]:
    """Parameters of the run."""
    return {
        "server.level": capabilities.level.value,
        "server.software": capabilities.server,
        "server.fingerprint": capabilities.fingerprint,
        "server.model": capabilities.model,
        "server.noise_band": learnt.band if learnt else "",
        "server.noise_tie": learnt.tie if learnt else "",
        "server.requests": requests,
    }


def _with_noise(outcome: Outcome, learnt: LearntNoise | None) -> Outcome:
    if learnt is None or not isinstance(outcome, Generation):
        return outcome
    return replace(outcome, environment=learnt.write(outcome.environment))
