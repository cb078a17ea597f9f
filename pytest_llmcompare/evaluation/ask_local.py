"""Asks a transformers model in this process through its logged pyfunc, and says what the user should know of it.

The only module here that imports torch: it is imported where a local model is asked, and nowhere else.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from pytest_llmcompare.baselines.cache_lines import key_of
from pytest_llmcompare.baselines.journal import answer_key
from pytest_llmcompare.comparison.measured_noise import holds_noise
from pytest_llmcompare.decoding.drafts import draft_of
from pytest_llmcompare.decoding.engine import EngineWarning
from pytest_llmcompare.decoding.generation_config import left_out_note
from pytest_llmcompare.decoding.numerics import torch_switches
from pytest_llmcompare.decoding.request import PredictOptions, predict_options
from pytest_llmcompare.errors import ModelError
from pytest_llmcompare.models import in_memory
from pytest_llmcompare.models.gen_config import DEFAULTS, SAMPLING_DEFAULTS, complete
from pytest_llmcompare.models.load_checks import time_note
from pytest_llmcompare.models.pyproject_tables import header
from pytest_llmcompare.models.spec import SourceKind
from pytest_llmcompare.models.weights import transformers_errors_only

from .answers import Asking, Outcomes, untried_notes
from .cache_key import facts_of_model
from .cached_local_answers import CachedLocalAnswers
from .dataset import frame_of, settings_of
from .pyfunc import HeldTransformer, PyfuncTransformer
from .pyfunc_input import MESSAGES

if TYPE_CHECKING:
    from pytest_llmcompare.models.load import LocalModel
    from pytest_llmcompare.records import Case
    from pytest_llmcompare.suite.group import Group


INPUTS = ("input_text", "messages", "tools", "few_shot_examples", "config_dict", "seed")


def ask_local(asking: Asking, ours: HeldTransformer) -> Outcomes:
    """Ask one of our pyfuncs in one batched call, except for cases that an interrupted run finished.

    Args:
        asking: What to ask.
        ours: The pyfunc inside the loaded model; its observer takes what the texts leave out.

    Raises:
        ModelError: The model cannot be found or loaded, or has no chat template for a conversation.
    """
    model = in_memory.hold(ours.located())
    if any(case.row.conversation for case in asking.cases):
        model.check_has_template()
        _check_takes_messages(asking, ours)
    cached = asking.cached if isinstance(asking.cached, CachedLocalAnswers) else None
    if cached is not None:
        cached.bind(model)
    identity = _identity(asking, ours)
    keys = [answer_key(case, identity, model.environment) for case in asking.cases]
    outcomes = Outcomes(asking, keys, noise=cached.noise if cached else None)
    left = outcomes.resume()
    warned: list[Warning] = []
    measures = bool(left) and _measures_noise(asking, cached, model)
    if left:
        drafts = _drafts(asking, left, model)
        warned = _predict(asking, ours, outcomes, left, drafts=drafts, measures=measures)
        outcomes.notes.extend(dict.fromkeys(map(str, warned)))
        outcomes.notes.extend(untried_notes(asking, [outcomes.by_index[index] for index in left], len(drafts)))
    if cached is not None:
        cached.add(
            {index: one for index, one in outcomes.by_index.items() if index not in cached.hits},
            left,
            outcomes.noise if measures else None,
            measured=measures,
            notes=[str(warning) for warning in warned if type(warning) is EngineWarning],
        )
    return outcomes


def _identity(asking: Asking, ours: HeldTransformer) -> str:
    """Key of the model in the journal: all that is in its key in the answer cache, which takes over these answers."""
    return key_of(asking.identity.text, facts_of_model(ours, is_logged=True), torch_switches(), asking.shortcuts)


def _measures_noise(asking: Asking, cached: CachedLocalAnswers | None, model: LocalModel) -> bool:
    """True unless a baseline of this model and environment, or the cache, holds the noise that was measured."""
    if cached is not None and cached.noise_and_notes.has_noise:
        return False
    recorded = (baseline.generation.environment for baseline in asking.expected.values())
    return not holds_noise(recorded, model.environment)


def _check_takes_messages(asking: Asking, ours: HeldTransformer) -> None:
    """Check that a logged model's signature lets conversations through; MLflow drops columns that it does not name.

    Raises:
        ModelError: It does not.
    """
    schema = asking.model.metadata.get_input_schema()
    if not isinstance(ours, PyfuncTransformer) and schema is not None and MESSAGES not in schema.input_names():
        raise ModelError(
            f"model {asking.group.model!r}: table {asking.group.table!r} holds conversations, and the model was logged "
            f"with a signature that has no column {MESSAGES!r}. Log it again with this version: "
            'log_model(PyfuncTransformerWithParams(..., chat_template="tokenizer"), NAME)'
        )


def _predict(
    asking: Asking,
    ours: HeldTransformer,
    outcomes: Outcomes,
    left: Sequence[int],
    *,
    drafts: Mapping[int, tuple[int, ...]],
    measures: bool,
) -> list[Warning]:
    """Call `predict` of MLflow's loaded model; return the engine's warnings."""
    frame = _input_of([asking.cases[index] for index in left], ours)
    options = PredictOptions(
        ours,
        lambda place, outcome: outcomes.add(left[place], outcome),
        drafts,
        shortcuts=asking.shortcuts,
        read=asking.shortcuts,
        take_noise=outcomes.take_noise if measures and asking.shortcuts else None,
        take_seconds=lambda place, seconds: outcomes.latencies.__setitem__(left[place], seconds),
    )
    with (
        transformers_errors_only(),
        warnings.catch_warnings(record=True) as caught,
        predict_options(options),
    ):
        warnings.simplefilter("always", EngineWarning)  # the user may have made warnings errors
        asking.model.predict(frame)
    return [warning.message for warning in caught if isinstance(warning.message, EngineWarning)]


def _input_of(cases: Sequence[Case], ours: HeldTransformer) -> pd.DataFrame:
    """The columns that the pyfunc reads, a row per case.

    A pyfunc logged without examples is sent whole prompts; one logged with fixed settings gets no settings columns.
    """
    frame = frame_of(cases)
    if not isinstance(ours, PyfuncTransformer):
        frame = pd.concat([frame, settings_of(cases)], axis=1)
    if isinstance(ours, PyfuncTransformer) and any(case.row.conversation for case in cases):
        return pd.DataFrame({MESSAGES: [case.prompt for case in cases]})  # MLflow passes on only its first column
    if isinstance(ours, PyfuncTransformer) and not ours.examples:
        frame = frame.assign(input_text=[case.prompt for case in cases])
    return frame[[column for column in INPUTS if column in frame]]


def _drafts(asking: Asking, left: Sequence[int], model: LocalModel) -> dict[int, tuple[int, ...]]:
    """Tokens of the baselines that answer the same question, by place among the cases that are left."""
    if not asking.shortcuts:
        return {}
    known = asking.drafts()
    return {place: draft_of(model, known[index]) for place, index in enumerate(left) if index in known}


def _unreached(ours: PyfuncTransformer, cases: Sequence[Case]) -> list[str]:
    """Names of the settings that the user chose for the cases and that differ from the pyfunc's own."""
    own = complete(ours.gen_config_dict)
    usual = {**SAMPLING_DEFAULTS, **DEFAULTS}
    chosen = [(name, value) for case in cases for name, value in case.gen_config.items() if value != usual.get(name)]
    names = {name for name, value in chosen if value != own.get(name)}
    if ours.examples and any(case.examples not in ("", ours.examples) for case in cases):
        names.add("examples")
    return sorted(names)


def model_notes(group: Group, cases: Sequence[Case], ours: HeldTransformer) -> tuple[str, ...]:
    """Notes on a local model that do not depend on its answers.

    They are equal for all tables with equal settings, so that the summary shows each once.
    """
    model = in_memory.hold(ours.located())
    settings = [case.gen_config for case in cases]
    if isinstance(ours, PyfuncTransformer):
        settings = [complete(ours.gen_config_dict)]
    conversations = [case for case in cases if case.row.conversation]
    notes = [*model.notes, left_out_note(model, settings, _stated(group, ours))]
    if isinstance(ours, PyfuncTransformer) and (unused := _unreached(ours, cases)):
        notes.append(
            f"model {group.spec.name!r} was logged with fixed settings, so the table's {', '.join(unused)} "
            "have no effect on it. Log a PyfuncTransformerWithParams to decode each row with its own settings."
        )
    if conversations and not model.chat_template:
        notes.append(time_note(model))
    if len(conversations) < len(cases):
        notes.append(_raw_prompts(group, model))
    return tuple(note for note in notes if note)


def cache_answers(cached: CachedLocalAnswers, ours: HeldTransformer, notes: Sequence[str]) -> tuple[str, ...]:
    """Cache the answers that a model has just given, and the notes on it; return notes on the cache."""
    return cached.store(in_memory.hold(ours.located()), notes)


def _stated(group: Group, ours: HeldTransformer) -> set[str]:
    """Names of the decoding settings that the user gave for every case of a group."""
    declaration = group.declaration
    layers = [[row.gen_config for row in declaration.rows], [variant.gen_config for variant in declaration.variants]]
    own = ours.gen_config_dict if isinstance(ours, PyfuncTransformer) and group.spec.kind is SourceKind.MLFLOW else {}
    names = {*group.spec.gen_config, *declaration.gen_config, *own}
    for configs in layers:
        names |= set.intersection(*map(set, configs)) if configs else set()
    return names


def _raw_prompts(group: Group, model: LocalModel) -> str:
    """A note on a chat model that is asked without its template; empty if it has none, or the user wants it so."""
    if model.chat_template or group.spec.raw_prompts or not getattr(model.tokenizer, "chat_template", None):
        return ""
    table = header(group.spec.name)
    is_file = group.spec.kind in (SourceKind.HUB, SourceKind.FOLDER)
    advice = (
        f"set chat_template = true in {table} of pyproject.toml" if is_file else 'log it with chat_template="tokenizer"'
    )
    return (
        f"model {model.name!r} has a chat template, but its prompts are sent without it. If it is a chat model, "
        f"{advice}. To silence this note, set chat_template = false in {table}"
    )
