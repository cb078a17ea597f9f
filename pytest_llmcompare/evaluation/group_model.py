"""What is logged of a group: its model, and the facts of its run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distributions
from typing import TYPE_CHECKING, Any

from pytest_llmcompare.decoding.generation_config import left_out
from pytest_llmcompare.models import in_memory
from pytest_llmcompare.models.config_tables import header
from pytest_llmcompare.models.gen_config import complete
from pytest_llmcompare.models.resolve import ResolvedModel
from pytest_llmcompare.models.spec import SourceKind, shown

from . import model_logging, plugin_models
from .dataset import shared_settings
from .echo_model import log_echo, parameters_of
from .pyfunc import HeldTransformer, PyfuncTransformer, PyfuncTransformerWithParams

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_llmcompare.models.local import LocalModel
    from pytest_llmcompare.records import Case
    from pytest_llmcompare.suite.group import Group

ECHO_SOURCE = "echo:"
NOT_DECIDING = ("name", "batch_size")
"""Arguments of our pyfuncs that no output depends on."""


@dataclass(frozen=True)
class Identity:
    """All of a model that decides what it answers, for the journal.

    Attributes:
        fingerprint: Its fingerprint, which may be unknown.
        text: All that decides, as text.
        certain: Whether another version of the model is sure to have another text.
        takes_settings: Whether decoding settings can have a meaning to it.
    """

    fingerprint: str
    text: str
    certain: bool
    takes_settings: bool = True


def identity_of(resolved: ResolvedModel, model: HeldTransformer | None) -> Identity:
    """The identity of a model that is loaded.

    A model that a plugin loads may name no fingerprint. Then its code and its attributes stand for it, which is all
    that can be seen from here.

    Args:
        resolved: Where it is.
        model: The pyfunc inside, where it is one of ours.
    """
    spec, fingerprint = resolved.spec, resolved.fingerprint
    facts: list[Any] = [fingerprint, resolved.location, resolved.revision, spec.source, spec.device, spec.dtype]
    if model is not None:
        config = {name: value for name, value in model.config().items() if name not in NOT_DECIDING}
        return Identity(fingerprint, json.dumps([*facts, config], sort_keys=True, default=repr), certain=True)
    if spec.kind is SourceKind.ECHO:
        return Identity(fingerprint, json.dumps(facts), certain=True, takes_settings=False)
    certain = spec.kind is not SourceKind.OTHER or fingerprint != plugin_models.UNKNOWN
    facts += [installed(), "" if certain else plugin_models.state()]
    return Identity(fingerprint, json.dumps(facts, default=repr), certain)


@cache
def installed() -> list[str]:
    """Name and version of all that is installed: what a model of somebody else's runs on is not known."""
    return sorted({f"{found.name} {found.version}" for found in distributions()})


def log_model(group: Group, resolved: ResolvedModel, batch_size: int) -> str:
    """Log a group's model in the active run, where MLflow does not have it already; its URI.

    Raises:
        ModelError: MLflow cannot load what a plugin gave.
        TrackingError: MLflow's store does not take it.
    """
    if group.spec.kind is SourceKind.MLFLOW:
        return resolved.location
    if group.spec.kind is SourceKind.OTHER:
        return plugin_models.log(group.spec)
    if group.spec.kind is SourceKind.ECHO:
        return model_logging.logged(log_echo, group.spec)
    return model_logging.log(pyfunc_of(group, resolved, batch_size), group.spec.name).model_uri


def pyfunc_of(group: Group, resolved: ResolvedModel, batch_size: int) -> HeldTransformer:
    """The model to log: with its settings inside where all rows share them, else with one column per setting."""
    spec = group.spec
    source = spec.source if spec.kind is SourceKind.HUB else resolved.location
    options: dict[str, Any] = {
        "name": spec.name,
        "revision": resolved.revision or None,
        "dtype": spec.dtype,
        "device": spec.device,
        "chat_template": spec.chat_template,
        "allow_pickle": spec.allow_pickle,
        "trust_remote_code": spec.trust_remote_code,
        "batch_size": batch_size,
    }
    shared = shared_settings(tuple(group.cases.values()))
    if shared is None:
        return PyfuncTransformerWithParams(source, **options)
    return PyfuncTransformer(source, shared.gen_config, shared.examples, **options)


def notes_of(group: Group, cases: Sequence[Case], ours: HeldTransformer) -> tuple[str, ...]:
    """What the user should know of a model that is looked into, whatever it answers.

    The same for each table where the tables' settings are alike, so that it stands in the summary once.
    """
    model = in_memory.hold(ours.found())
    settings = [case.gen_config for case in cases]
    if isinstance(ours, PyfuncTransformer):
        settings = [complete(ours.gen_config_dict)]
    found = (*model.notes, left_out(model, settings, stated(group, ours)), raw(group, model))
    return tuple(note for note in found if note)


def stated(group: Group, ours: HeldTransformer) -> set[str]:
    """Names of the decoding settings that the user gave for every case of a group."""
    declaration = group.declaration
    nearer = [[row.gen_config for row in declaration.rows], [variant.gen_config for variant in declaration.variants]]
    own = ours.gen_config_dict if isinstance(ours, PyfuncTransformer) and group.spec.kind is SourceKind.MLFLOW else {}
    found = {*group.spec.gen_config, *declaration.gen_config, *own}
    for configs in nearer:
        found |= set.intersection(*map(set, configs)) if configs else set()
    return found


def raw(group: Group, model: LocalModel) -> str:
    """A note on a chat model that is asked without its template; empty where it is none, or that is meant."""
    if model.chat_template or group.spec.raw_prompts or not getattr(model.tokenizer, "chat_template", None):
        return ""
    table = header(group.spec.name)
    ours = group.spec.kind in (SourceKind.HUB, SourceKind.FOLDER)
    advice = (
        f"set chat_template = true in {table} of pyproject.toml" if ours else 'log it with chat_template="tokenizer"'
    )
    return (
        f"model {model.name!r} has a chat template, but its prompts are sent as they are. If it is a chat model, "
        f"{advice}; chat_template = false in {table} says that this is meant"
    )


def facts_of(group: Group, resolved: ResolvedModel) -> dict[str, Any]:
    """Parameters of the run."""
    shared = shared_settings(tuple(group.cases.values()))
    is_echo = group.spec.kind is SourceKind.ECHO
    return {
        "source": ECHO_SOURCE if is_echo else shown(group.spec),
        **({f"echo.{name}": value for name, value in parameters_of(group.spec).items()} if is_echo else {}),
        "revision": resolved.revision,
        "fingerprint": resolved.fingerprint,
        "table": group.key.table,
        **({f"gen_config.{key}": value for key, value in shared.gen_config.items()} if shared else {}),
    }
