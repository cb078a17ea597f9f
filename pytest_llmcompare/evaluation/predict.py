"""Asks a logged pyfunc once for all cases of a table."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import mlflow

from pytest_llmcompare.errors import GenerationError
from pytest_llmcompare.generation import Generation, joined

from . import foreign_pyfunc
from .answers import Answers, Asking, Outcomes, answers_without_model
from .ask_served import ask_served
from .heavy_imports import heavy_imports
from .model_logging import python_model_of
from .pyfunc_output import WrongCountError
from .served_model import served_model_of

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel

    from pytest_llmcompare.records import RowKey

    from .verdicts import Tokenizer


def predict(asking: Asking) -> Answers:
    """Ask a model for all cases, except for those in the journal of an interrupted run.

    Raises:
        ModelError: The model cannot be loaded, or its signature requires columns that the table does not have.
    """
    if asking.cached is not None and asking.cached.answers_all:
        answered, further = answers_without_model(asking, asking.cached)
        return Answers(tuple(answered), tuple(further), 0.0, len(asking.cached.hits))
    started = time.perf_counter()
    tokenizers: Mapping[RowKey, Tokenizer] = {}
    ours, served = python_model_of(asking.model), served_model_of(asking.model)
    if served is not None:
        outcomes = ask_served(asking, served)
    elif ours is None and is_text_generation(asking.model):
        outcomes, tokenizers = _ask_pipeline(asking)
    elif ours is None:
        outcomes = _ask_foreign(asking, foreign_pyfunc.Questions(asking.model, asking.cases))
    else:
        with heavy_imports():
            from .ask_local import ask_local  # imports torch

        outcomes = ask_local(asking, ours)
    seconds = time.perf_counter() - started
    cached = len(asking.cached.hits) if asking.cached else 0
    known = outcomes.known_latencies()
    return Answers(tuple(outcomes.in_order()), tuple(outcomes.notes), seconds, cached, known, tokenizers)


def is_text_generation(model: PyFuncModel) -> bool:
    """True for a model of MLflow's transformers flavour that continues texts or answers conversations."""
    flavors: dict[str, Any] = model.metadata.flavors or {}
    return dict(flavors.get("transformers") or {}).get("task") == "text-generation"


def _ask_pipeline(asking: Asking) -> tuple[Outcomes, Mapping[RowKey, Tokenizer]]:
    """Ask the model inside a pipeline, so that tokens are known; if that is not possible, ask for its texts only."""
    questions = foreign_pyfunc.Questions(asking.model, asking.cases)
    with heavy_imports():
        from .transformers_flavour import NotSeenError, ask_inside  # imports torch
    try:
        outcomes, tokenizers = ask_inside(asking, questions)
        first = _settings_note(asking, questions)
    except NotSeenError as reason:
        outcomes, tokenizers = _ask_foreign(asking, questions), {}
        first = f"model {asking.group.model!r} is compared by its texts alone: {reason}"
    outcomes.notes[:0] = [first] if first else []
    return outcomes, tokenizers


def _settings_note(asking: Asking, questions: foreign_pyfunc.Questions) -> str:
    return questions.note if asking.identity.takes_settings else ""


def _ask_foreign(asking: Asking, questions: foreign_pyfunc.Questions) -> Outcomes:
    """Ask a pyfunc logged elsewhere: part by part, with the columns that its signature names; it gives only texts."""
    environment = (("mlflow", mlflow.__version__), ("weights", asking.identity.fingerprint))
    outcomes = Outcomes(asking, [foreign_pyfunc.key_of(asking, facts) for facts in questions.facts])
    outcomes.notes.extend(filter(None, [_settings_note(asking, questions)]))
    left = outcomes.resume()

    def add(index: int, answer: str | GenerationError, seconds: float) -> None:
        outcome = Generation(joined(answer), environment=environment) if isinstance(answer, str) else answer
        outcomes.latencies[index] = seconds
        outcomes.add(index, outcome)

    try:
        foreign_pyfunc.answers_in_parts(questions, left, add)
    except WrongCountError as error:
        asking.journal.discard()
        outcomes.by_index.update(dict.fromkeys(range(len(asking.cases)), error))
    return outcomes
