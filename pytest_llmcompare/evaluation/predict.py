"""Asks a logged pyfunc once for all cases of a table."""

from __future__ import annotations

import time

import mlflow

from pytest_llmcompare.baselines.journal import row_answer_key
from pytest_llmcompare.errors import GenerationError
from pytest_llmcompare.generation import Generation, joined

from . import foreign_pyfunc
from .answers import Answers, Asking, Outcomes, answers_without_model
from .ask_served import ask_served
from .heavy_imports import heavy_imports
from .model_logging import python_model_of
from .pyfunc_output import WrongCountError
from .served_model import served_model_of


def predict(asking: Asking) -> Answers:
    """Ask a model for all cases, less those that an interrupted run has in its journal.

    Raises:
        ModelError: The model cannot be loaded, or its signature requires columns that the table does not have.
    """
    if asking.cached is not None and asking.cached.answers_all:
        answered, further = answers_without_model(asking, asking.cached)
        return Answers(tuple(answered), tuple(further), 0.0, len(asking.cached.hits))
    started = time.perf_counter()
    ours, served = python_model_of(asking.model), served_model_of(asking.model)
    if served is not None:
        outcomes = ask_served(asking, served)
    elif ours is None:
        outcomes = _ask_foreign(asking)
    else:
        with heavy_imports():
            from .local_model import ask_local  # imports torch

        outcomes = ask_local(asking, ours)
    seconds = time.perf_counter() - started
    cached = len(asking.cached.hits) if asking.cached else 0
    known = outcomes.known_latencies()
    return Answers(tuple(outcomes.in_order()), tuple(outcomes.notes), seconds, cached, known)


def _ask_foreign(asking: Asking) -> Outcomes:
    """Ask a pyfunc logged elsewhere: part by part, with the columns that its signature names; it gives texts alone."""
    environment = (("mlflow", mlflow.__version__), ("weights", asking.identity.fingerprint))
    questions = foreign_pyfunc.Questions(asking.model, asking.cases)
    outcomes = Outcomes(asking, [row_answer_key(facts, asking.identity.text) for facts in questions.facts])
    if questions.note and asking.identity.takes_settings:
        outcomes.notes.append(questions.note)
    left = outcomes.resume()

    def add(index: int, answer: str | GenerationError) -> None:
        outcome = Generation(joined(answer), environment=environment) if isinstance(answer, str) else answer
        outcomes.add_of_batch(index, outcome)

    outcomes.clock.start()
    try:
        foreign_pyfunc.answers_in_parts(questions, left, add)
    except WrongCountError as error:
        asking.journal.discard()
        outcomes.by_index.update(dict.fromkeys(range(len(asking.cases)), error))
    return outcomes
