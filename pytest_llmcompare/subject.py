"""What is logged of a group: its model, and the facts of its run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distributions
from typing import TYPE_CHECKING, Any

from .frames import shared_settings
from .models import given, registry
from .models.pyfunc import HeldTransformer, PyfuncTransformer, PyfuncTransformerWithParams
from .models.resolve import ResolvedModel
from .models.spec import SourceKind, shown

if TYPE_CHECKING:
    from .group import Group

NOT_DECIDING = ("name", "batch_size")
"""Arguments of our pyfuncs that no output depends on."""


@dataclass(frozen=True)
class Identity:
    """All of a model that decides what it answers, for the journal.

    Attributes:
        fingerprint: Its fingerprint, which may be unknown.
        text: All that decides, as text.
        certain: Whether another version of the model is sure to have another text.
    """

    fingerprint: str
    text: str
    certain: bool


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
    certain = spec.kind is not SourceKind.OTHER or fingerprint != given.UNKNOWN
    facts += [installed(), "" if certain else given.state()]
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
        return given.log(group.spec)
    return registry.log(pyfunc_of(group, resolved, batch_size), group.spec.name).model_uri


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


def facts_of(group: Group, resolved: ResolvedModel) -> dict[str, Any]:
    """Parameters of the run."""
    shared = shared_settings(tuple(group.cases.values()))
    return {
        "source": shown(group.spec),
        "revision": resolved.revision,
        "fingerprint": resolved.fingerprint,
        "table": group.key.table,
        **({f"gen_config.{key}": value for key, value in shared.gen_config.items()} if shared else {}),
    }
