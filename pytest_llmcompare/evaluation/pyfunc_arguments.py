"""Checks the arguments of the public pyfuncs, all faults at once. It looks at folders, and at nothing else outside."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_llmcompare.errors import UsageError, did_you_mean, nearest_hint
from pytest_llmcompare.models.chat_template import read_template
from pytest_llmcompare.models.gen_config import complete, is_integer, problems
from pytest_llmcompare.models.loading_options import KEYS as LOADING
from pytest_llmcompare.models.loading_options import option_fault as loading_fault
from pytest_llmcompare.models.loading_options import read_options
from pytest_llmcompare.models.pyproject_tables import DEVICE, KEYS
from pytest_llmcompare.models.spec import ModelSpec, SourceKind, spec_of
from pytest_llmcompare.models.uris import folder_path
from pytest_llmcompare.settings import DTYPES

UNSET = {"revision": None, "dtype": None, "device": None}
"""Options that may be None."""


def checked_spec(
    where: str,
    model_name: object,
    options: Mapping[str, Any],
    loading: Mapping[str, Any],
    faults: Sequence[str],
) -> ModelSpec:
    """The spec of a hub model or folder; a folder becomes absolute, so that it can be found from elsewhere.

    Args:
        where: The pyfunc, for messages.
        model_name: Hub id or folder.
        options: Fields of `ModelSpec`; None leaves a field to the defaults.
        loading: Fields of its `LoadingOptions`; their faults are among `faults`.
        faults: What is wrong with other arguments.

    Raises:
        UsageError: Any argument is faulty; the message names all that are.
    """
    all_faults = [*faults, *(fault for name, value in options.items() if (fault := option_fault(name, value)))]
    if not isinstance(model_name, str):
        all_faults.insert(0, f"model_name={model_name!r}, expected text: a hub id or a folder.")
    if all_faults:
        raise UsageError("\n".join(f"{where}: {fault}" for fault in all_faults))
    root = Path.cwd()
    template = str(options.get("chat_template") or "")
    read: dict[str, Any] = (
        {"chat_template": read_template(template, f"{where}: chat_template", root)} if template else {}
    )
    if loading:
        read["loading"] = read_options(loading, where)
    spec = spec_of(str(model_name).strip(), where, root, **{**options, **read})
    if spec.kind is SourceKind.MLFLOW:
        raise UsageError(
            f"{where}: this is a model in MLflow; expected a hub id or a folder.\n"
            f"Load it with mlflow.pyfunc.load_model({spec.source!r}), or compare it: --llm-models={spec.source}"
        )
    if spec.kind is SourceKind.ECHO:
        raise UsageError(f"{where}: {spec.source!r} is not a transformers model; expected a hub id or a folder.")
    if spec.kind is SourceKind.FOLDER:
        return dataclasses.replace(spec, source=os.path.abspath(folder_path(spec.source, root)))  # noqa: PTH100 - as it is spelt
    return spec


def option_fault(name: str, value: object) -> str:
    """What is wrong with an option; empty if it is fine."""
    if name in UNSET and value is None:
        return ""
    kinds, wanted = ((str,), "text") if name in ("name", "chat_template") else KEYS[name]
    if not isinstance(value, kinds):
        return f"{name}={value!r}, expected {wanted}."
    if name == "dtype" and value not in DTYPES:
        return f"dtype {value!r} is not known.{did_you_mean(str(value), DTYPES)}"
    if name == "device" and not DEVICE.fullmatch(str(value)):
        return f"device={value!r}, expected {wanted}."
    return ""


def loading_faults(where: str, loading: Mapping[str, Any]) -> list[str]:
    """What is wrong with options of loading; empty if they are fine.

    Raises:
        TypeError: There is no argument of such a name.
    """
    for name in loading:
        if name not in LOADING:
            hint = nearest_hint(name, LOADING)
            raise TypeError(f"{where} got an unexpected keyword argument {name!r}{hint and '.' + hint}")
    return [fault for name, value in loading.items() if (fault := loading_fault(name, value))]


def batch_fault(batch_size: object) -> str:
    """What is wrong with a batch size; empty if it is fine."""
    fits = is_integer(batch_size) and batch_size >= 0
    return "" if fits else f"batch_size={batch_size!r}, expected a whole number from 1, or 0 to have it chosen."


def settings_faults(name: str, config: object) -> list[str]:
    """What is wrong with decoding settings, alone or together with the defaults; empty if they are fine."""
    if config is None:
        return []
    if not isinstance(config, Mapping):
        return [f'{name}={config!r}, expected decoding settings such as {{"max_new_tokens": 10}}.']
    return [f"{name}: {fault}" for fault in problems(config) or problems(complete(config))]
