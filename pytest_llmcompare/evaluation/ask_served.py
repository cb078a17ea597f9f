"""Asks a served model for the cases of a table, and tells how much its server shows of the answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile

from pytest_llmcompare.baselines.journal import answer_key
from pytest_llmcompare.comparison.environments import same_numerics
from pytest_llmcompare.comparison.judge import stale_reason
from pytest_llmcompare.comparison.measured_noise import MeasuredNoise
from pytest_llmcompare.errors import GenerationError, ModelError
from pytest_llmcompare.generation import Environment, Generation
from pytest_llmcompare.models.conversation import prompt_of
from pytest_llmcompare.records import Baseline, Case, RowKey
from pytest_llmcompare.serving.answer import Answer
from pytest_llmcompare.serving.check import Check, Checked, ask_or_score, check_case
from pytest_llmcompare.serving.measure_noise import measure_noise
from pytest_llmcompare.serving.request_fields import check_settings
from pytest_llmcompare.serving.server import Capabilities, Level, Question, Server
from pytest_llmcompare.serving.threads import in_threads
from pytest_llmcompare.settings import PLAIN
from pytest_llmcompare.text import count

from . import tracking
from .answers import Asking, Outcomes
from .ask_again import ask_again
from .served_model import ServedModel
from .served_usage import Usage, announced, set_aside_scorings

MEANING: Mapping[Level, str] = {
    Level.PATH: "tokens, log-probs and margins are compared",
    Level.OUTPUT: "tokens and log-probs are compared",
    Level.TEXT: "texts are compared; silent drift cannot be seen",
}

LOST: Mapping[Level, str] = {
    Level.OUTPUT: "margins after the first other token cannot be seen",
    Level.TEXT: "a change that leaves the texts as they are cannot be seen",
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


def ask_served(asking: Asking, model: ServedModel) -> Outcomes:
    """Ask a served model, except for cases that an interrupted run finished; measure its noise if none is stored.

    Args:
        asking: What to ask.
        model: The pyfunc inside the loaded model.

    Raises:
        ModelError: The server does not answer, or another model answers than at the start.
        UsageError: A variable is missing, or a server cannot follow the settings.
    """
    if any(case.row.conversation for case in asking.cases):
        model = model.of_conversations()
    for case in asking.cases:
        check_settings(model.name, case.gen_config)
    server = model.server()
    with announced(asking, model, server):
        return _ask_all(asking, model, server)


def _ask_all(asking: Asking, model: ServedModel, server: Server) -> Outcomes:
    """Probe the server, ask, measure the noise."""
    used_before = Usage.of(server)
    capabilities = server.probe(model.name)
    set_aside_scorings(asking, model, server)
    environment = server.environment
    outcomes = Outcomes(asking, [answer_key(case, asking.identity.text, environment) for case in asking.cases])
    checks = {index: check_of(asking, case) for index, case in enumerate(asking.cases)}
    checked = _ask(model, server, outcomes, {index: checks[index] for index in outcomes.resume()})
    _check_same_model(asking, model, capabilities, [answer for one in checked.values() for answer in one.answers])
    outcomes.notes.extend([*_level_notes(asking, model, capabilities), *_fault_notes(model, checked.values())])
    measured = stored_noise(asking.expected, environment)
    if capabilities.level is not Level.TEXT and measured is None:
        asking.progress.say(f"measuring how far the numbers of {model.name} move")
        measured = _measure_noise(model, outcomes, checks, checked)
    scorings = sum(len(one.scorings) for one in checked.values())
    tracking.log_facts(_facts(server, measured, (Usage.of(server) - used_before).requests, scorings))
    if capabilities.level is not Level.TEXT and model.options.concurrency > 1 and asking.decode != PLAIN:
        note = ask_again(outcomes, lambda index: _ask_alone(model, checks[index]))
        outcomes.notes.extend([note] if note else [])
    outcomes.notes.append((Usage.of(server) - used_before).note(asking))
    outcomes.noise = measured
    return outcomes


def stored_noise(expected: Mapping[RowKey, Baseline], environment: Environment) -> MeasuredNoise | None:
    """The noise that baselines of the same server, version and fingerprint hold."""
    environments = {baseline.generation.environment for baseline in expected.values()}
    stored = (MeasuredNoise.read(one) for one in sorted(environments) if same_numerics(one, environment))
    return next(filter(None, stored), None)


def check_of(asking: Asking, case: Case) -> Check:
    """The question of a case, with its baseline if that answers the same question and tokens can be compared."""
    question = Question(prompt_of(case), case.gen_config, case.seed if case.samples else None)
    baseline = asking.expected.get(case.key.row)
    expected = baseline.generation if baseline and not stale_reason(case, baseline) else None
    if expected is None or expected.token_ids is None or "server" not in dict(expected.environment):
        expected = None
    return Check(question, expected, asking.decode, case.samples)


def _ask(model: ServedModel, server: Server, outcomes: Outcomes, checks: Mapping[int, Check]) -> dict[int, Checked]:
    """Check cases and keep each outcome as it comes; return the results by index."""
    checked: dict[int, Checked] = {}
    outcomes.asking.progress.ask_many(model.options.concurrency)
    for index, outcome in in_threads(partial(check_case, server), checks, model.options.concurrency):
        if isinstance(outcome, GenerationError):
            outcomes.add(index, outcome)
            continue
        checked[index] = outcome
        if outcome.answer is not None:
            outcomes.latencies[index] = outcome.answer.seconds
        outcomes.add(index, outcome.generation)
    return checked


def _measure_noise(
    model: ServedModel, outcomes: Outcomes, checks: Mapping[int, Check], checked: Mapping[int, Checked]
) -> MeasuredNoise | None:
    """Measure the noise of a server that shows log-probs; None if no answers can be compared."""
    answers = {index: one.answer for index, one in checked.items() if one.answer is not None}
    scores = model.server().capabilities.level is Level.PATH
    usable = {
        index: check
        for index, check in checks.items()
        if isinstance(outcomes.by_index[index], Generation) and (not check.draws or (scores and index in answers))
    }
    known = [(usable[index], answer) for index, answer in answers.items() if index in usable]
    questions = {index: check.question for index, check in usable.items()}
    return measure_noise(ask_or_score(model.server(), known), questions, answers, model.options.concurrency)


def _ask_alone(model: ServedModel, check: Check) -> Generation | None:
    """Check a case while no other is asked, without scoring its baseline again.

    Returns:
        The output; None if it fails or would be more than `max_requests`.
    """
    server = model.server()
    try:
        with server.client.alone():
            return check_case(server, replace(check, decode=PLAIN)).generation
    except GenerationError:
        return None


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
    """Notes on what the server shows, and on what it therefore cannot show about the stored baselines."""
    server = f" ({capabilities.server})" if capabilities.server else ""
    notes = [f"model {model.name!r}: level {capabilities.level.value}{server}: {MEANING[capabilities.level]}"]
    asked = model.server().client.model
    if capabilities.model and capabilities.model != asked:
        notes.append(f"model {model.name!r}: the server was asked for {asked!r} and answers as {capabilities.model!r}")
    recorded = {dict(baseline.generation.environment).get("level") for baseline in asking.expected.values()}
    higher = [level.value for level in takewhile(lambda level: level is not capabilities.level, Level)]
    if level := next((level for level in higher if level in recorded), ""):
        notes.append(
            f"model {model.name!r}: its baselines were recorded at level {level}, and today its server only shows "
            f"level {capabilities.level.value}; {LOST[capabilities.level]}"
        )
    return notes


def _fault_notes(model: ServedModel, checked: Iterable[Checked]) -> list[str]:
    """A note if baselines could not be scored, with the reason of the first."""
    faults = [one.fault for one in checked if one.fault]
    if not faults:
        return []
    note = (
        f"model {model.name!r}: {count(len(faults), 'baseline')} could not be scored, so margins are known only "
        f"at the first token that differs: {faults[0]}"
    )
    return [note]


def _facts(server: Server, measured: MeasuredNoise | None, requests: int, scorings: int) -> dict[str, object]:
    """Parameters of the run."""
    capabilities = server.capabilities
    return {
        "server.level": capabilities.level.value,
        "server.software": capabilities.server,
        "server.version": capabilities.version,
        "server.fingerprint": capabilities.fingerprint,
        "server.model": capabilities.model,
        "server.dtype": server.dtype,
        "server.noise_band": measured.band if measured else "",
        "server.noise_tie": measured.tie if measured else "",
        "server.requests": requests,
        "server.scorings": scorings,
    }
