"""The model of a group as it is logged: which pyfunc, its parameters, and what decides its answers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import distributions
from typing import TYPE_CHECKING, Any

from pytest_llmcompare.models.resolve import ResolvedModel
from pytest_llmcompare.models.spec import SourceKind, shown_spec

from . import model_logging, plugin_models
from .dataset import fixed_settings, shared_settings
from .echo_model import log_echo, parameters_of
from .pyfunc import HeldTransformer, PyfuncTransformer, PyfuncTransformerWithParams
from .served_model import log_served

if TYPE_CHECKING:
    from pytest_llmcompare.suite.group import Group

ECHO_SOURCE = "echo:"
NOT_DECIDING = ("name", "batch_size", "offload_folder")
"""Arguments of our pyfuncs that no answer depends on."""


@dataclass(frozen=True)
class Identity:
    """Everything about a model that decides its answers; the journal finds answers by it.

    Attributes:
        fingerprint: Fingerprint of the weights, which may be unknown.
        text: All deciding facts as one text.
        certain: Whether two versions of the model always differ in `text`.
        takes_settings: Whether decoding settings can have a meaning to it.
    """

    fingerprint: str
    text: str
    certain: bool
    takes_settings: bool = True


def identity_of(resolved: ResolvedModel, model: HeldTransformer | None) -> Identity:
    """The identity of a loaded model.

    A plugin's model may have no fingerprint. Then its class's code and its attributes stand for it, which may miss a
    change.

    Args:
        resolved: Where the model is.
        model: The pyfunc inside, if it is one of this plugin's.
    """
    spec, fingerprint = resolved.spec, resolved.fingerprint
    facts: list[Any] = [fingerprint, resolved.location, resolved.revision, spec.source, spec.device, spec.dtype]
    if model is not None:
        config = {name: value for name, value in model.config().items() if name not in NOT_DECIDING}
        return Identity(fingerprint, json.dumps([*facts, config], sort_keys=True, default=repr), certain=True)
    if spec.kind is SourceKind.ECHO:
        return Identity(fingerprint, json.dumps(facts), certain=True, takes_settings=False)
    if spec.kind is SourceKind.SERVER:
        return Identity(fingerprint, json.dumps([*facts, spec.server.extra_body], default=repr), certain=False)
    certain = spec.kind is not SourceKind.OTHER or fingerprint != plugin_models.UNKNOWN
    facts += [installed(), "" if certain else plugin_models.state()]
    return Identity(fingerprint, json.dumps(facts, default=repr), certain)


@cache
def installed() -> list[str]:
    """Name and version of every installed package: any of them may decide what a model logged elsewhere answers."""
    return sorted({f"{package.name} {package.version}" for package in distributions()})


def log_group_model(group: Group, resolved: ResolvedModel, batch_size: int) -> str:
    """Log a group's model in the active run, unless MLflow has it already; its URI.

    Raises:
        ModelError: MLflow cannot load a plugin's model.
        TrackingError: MLflow's store does not take it.
    """
    is_chat = any(case.row.conversation for case in group.cases.values())
    if group.spec.kind is SourceKind.MLFLOW:
        return resolved.location
    if group.spec.kind is SourceKind.OTHER:
        return plugin_models.log(group.spec)
    if group.spec.kind is SourceKind.ECHO:
        return model_logging.logged(log_echo, group.spec)
    if group.spec.kind is SourceKind.SERVER:
        shared = fixed_settings(tuple(group.cases.values()))
        return model_logging.logged(partial(log_served, shared=shared, conversations=is_chat), group.spec)
    return model_logging.log(pyfunc_of(group, resolved, batch_size), group.spec.name, is_chat=is_chat).model_uri


def pyfunc_of(group: Group, resolved: ResolvedModel, batch_size: int) -> HeldTransformer:
    """The pyfunc to log: with fixed settings if all rows share them, else one that reads them from columns."""
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
        **spec.loading.given(),
        **resolved.pins,
    }
    if spec.kind is SourceKind.FOLDER:
        options.pop("subfolder", None)  # the location is that folder, or that file
        options.pop("gguf_file", None)
    shared = fixed_settings(tuple(group.cases.values()))
    if shared is None:
        return PyfuncTransformerWithParams(source, **options)
    return PyfuncTransformer(source, shared.gen_config, shared.examples, **options)


def facts_of(group: Group, resolved: ResolvedModel) -> dict[str, Any]:
    """Parameters of the run."""
    shared = shared_settings(tuple(group.cases.values()))
    is_echo = group.spec.kind is SourceKind.ECHO
    return {
        "source": ECHO_SOURCE if is_echo else shown_spec(group.spec),
        **(parameters_of(group.spec) if is_echo else {}),
        "revision": resolved.revision,
        "fingerprint": resolved.fingerprint,
        "table": group.key.table,
        **({f"gen_config.{key}": value for key, value in shared.gen_config.items()} if shared else {}),
    }
