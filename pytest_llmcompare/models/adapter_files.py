"""Folders of PEFT adapters: what an adapter says about itself, and what keeps it from being used. Imports no PEFT."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytest_llmcompare.errors import ModelError, UsageError
from pytest_llmcompare.text import count, error_line

from . import hub
from .model_files import ADAPTER, CONFIG, has_adapter_weights, weight_files
from .pyproject_tables import CONFIG_FILE, header
from .spec import ModelSpec, SourceKind, spec_of

INJECTED = frozenset(
    {
        *("ADALORA", "BOFT", "C3A", "FOURIERFT", "HRA", "IA3", "LN_TUNING", "LOHA", "LOKR", "LORA", "MISS", "OFT"),
        *("RANDLORA", "ROAD", "SHIRA", "TRAINABLE_TOKENS", "VBLORA", "VERA", "WAVEFT"),
    }
)
"""Kinds of adapters that change modules of the base, so that the model is called as the base is."""

PROMPTS = frozenset({"PREFIX_TUNING", "PROMPT_TUNING", "P_TUNING"})
"""Kinds of adapters that put virtual tokens before each prompt."""

WRAPPED = (".base_layer.", ".original_module.")
"""What PEFT adds to the names of weights that belong to a module of the base that it wraps."""

UNUSABLE = ("alora_invocation_tokens", "megatron_config")
"""Settings of LoRA under which a model is not called as its base is."""


@dataclass(frozen=True)
class AdapterConfig:
    """What an adapter's configuration says.

    Attributes:
        kind: Kind of the adapter, such as `LORA`.
        base: Hub id or folder of the base model that it was trained on; empty if it does not say.
        revision: Revision of that hub model; empty if it does not say.
        task: Task that it was trained for, such as `CAUSAL_LM`; empty if it does not say.
    """

    kind: str
    base: str
    revision: str
    task: str

    @property
    def is_prompt(self) -> bool:
        """True if it puts virtual tokens before each prompt."""
        return self.kind in PROMPTS


def read_adapter(folder: Path, spec: ModelSpec) -> AdapterConfig:
    """Read an adapter's configuration, and check that the adapter can be used.

    Raises:
        ModelError: It cannot be read, is of a kind that is not supported, or PEFT is not installed.
    """
    config = _config(folder, spec)
    kind, task = str(config.get("peft_type") or ""), str(config.get("task_type") or "")
    if importlib.util.find_spec("peft") is None:
        raise ModelError(
            f"model {spec.name!r}: {folder} holds a PEFT adapter ({ADAPTER}), and the Python package 'peft' is not "
            "installed here.\nInstall it: pip install 'pytest-llmcompare[peft]'"
        )
    unusable = next((name for name in UNUSABLE if config.get(name)), "")
    if kind not in INJECTED | PROMPTS or unusable or (kind in PROMPTS and task != "CAUSAL_LM"):
        what = f"{kind or 'no peft_type'}{f' with {unusable}' if unusable else ''}{f' for {task}' if task else ''}"
        raise ModelError(
            f"model {spec.name!r}: the adapter in {folder} is of a kind that is not supported: {what}. Expected one of "
            f"{', '.join(sorted(INJECTED))}, or for causal language models {', '.join(sorted(PROMPTS))}.\n"
            "If PEFT can merge it (merge_and_unload()), save_pretrained() the merged model and name that folder."
        )
    if task not in ("", "CAUSAL_LM", "SEQ_2_SEQ_LM"):
        raise ModelError(
            f"model {spec.name!r}: the adapter in {folder} was trained for another task than writing text ({task}).\n"
            "Name an adapter of a language model (CAUSAL_LM or SEQ_2_SEQ_LM)."
        )
    check_complete(folder, spec)
    base, revision = (str(config.get(key) or "") for key in ("base_model_name_or_path", "revision"))
    return AdapterConfig(kind, base, revision, task)


def base_spec(spec: ModelSpec, adapter: AdapterConfig, folder: Path, root: Path) -> ModelSpec:
    """The base model of an adapter, by the model's table or else by what the adapter says.

    Raises:
        ModelError: Neither names a model, or the table names another revision than the adapter.
    """
    source = spec.loading.base or adapter.base
    where = f"model {spec.name!r}: the base of the adapter in {folder}"
    if not source:
        raise ModelError(f"{where} is not named in its {ADAPTER}.\n{_naming(spec)}")
    consent: dict[str, Any] = {"allow_pickle": spec.allow_pickle, "trust_remote_code": spec.trust_remote_code}
    try:
        base = spec_of(source, where, root, name=spec.name, **consent)
    except UsageError as error:
        raise ModelError(f"{error}\n{_naming(spec)}") from None
    if base.kind not in (SourceKind.HUB, SourceKind.FOLDER):
        raise ModelError(f"{where} is {source!r}, expected a hub id or a folder.\n{_naming(spec)}")
    if base.kind is SourceKind.FOLDER or base.source != adapter.base or not adapter.revision:
        return base
    _check_revision(base, adapter, where)
    return replace(base, revision=base.revision or adapter.revision)


def _check_revision(base: ModelSpec, adapter: AdapterConfig, where: str) -> None:
    """Check that a base of the adapter's name is in the revision that the adapter was trained on.

    Raises:
        ModelError: It is in another one.
    """
    if base.revision in (None, adapter.revision):
        return
    repository = hub.repository(base.source)
    commits = [hub.find_commit(repository, str(revision)) for revision in (base.revision, adapter.revision)]
    is_pinned = commits[0] == base.revision and not commits[1]  # a commit, and which one the branch was is not known
    if commits[0] != commits[1] and not is_pinned:
        raise ModelError(
            f"{where} is {base.source} in revision {base.revision!r}, but the adapter was trained on revision "
            f'{adapter.revision!r}.\nName that revision: base = "{base.source}@{adapter.revision}"'
        )


def base_error(spec: ModelSpec, adapter: AdapterConfig, folder: Path, fault: str) -> ModelError:
    """The error for a base that cannot be found or used."""
    named = f"base = {spec.loading.base!r}" if spec.loading.base else f"{ADAPTER} names {adapter.base!r}"
    why = fault.removeprefix(f"model {spec.name!r}: ")
    return ModelError(
        f"model {spec.name!r}: the base of the adapter in {folder} cannot be used ({named}): {why}\n{_naming(spec)}"
    )


def check_no_base(spec: ModelSpec, folder: Path) -> None:
    """Check that `base` is not given for a whole model.

    Raises:
        ModelError: It is.
    """
    if spec.loading.base:
        raise ModelError(
            f"model {spec.name!r}: base = {spec.loading.base!r} has an effect on adapters only, and {folder} holds a "
            f"whole model.\nLeave base out of {header(spec.name)} of {CONFIG_FILE}."
        )


def _naming(spec: ModelSpec) -> str:
    return f'Name the base by hand: base = "FOLDER_OR_HUB_ID" in {header(spec.name)} of {CONFIG_FILE}'


def check_complete(folder: Path, spec: ModelSpec) -> None:
    """Check that the safetensors files of an adapter are as long as they say.

    Raises:
        ModelError: One is cut off, or no safetensors file.
    """
    for name in weight_files(folder):
        if name.endswith(".safetensors") and (fault := safetensors_fault(folder / name)):
            raise ModelError(
                f"model {spec.name!r}: {name} in {folder} is not whole: {fault}.\n"
                "Copy or download the adapter again, or save it once more: model.save_pretrained(FOLDER)"
            )


def safetensors_fault(path: Path) -> str:
    """What is wrong with a safetensors file, by its header and its length; empty if nothing is."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > size - 8:
                return f"it has {size} bytes, which is less than its header"
            header_of = json.loads(file.read(length))
        end = max((one["data_offsets"][1] for name, one in header_of.items() if name != "__metadata__"), default=0)
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        return f"its header cannot be read ({error_line(error)})"
    expected = 8 + length + end
    return "" if size == expected else f"it has {size} bytes instead of {expected}"


def check_adapted_pipeline(folder: Path, flavors: Mapping[str, Any], source: str, spec: ModelSpec) -> None:
    """Check that MLflow can read the base of a pipeline with an adapter, if that is what it has logged.

    MLflow 3.17 saves the base with the names that PEFT gives to the layers that an adapter wraps. transformers does not
    look for these, and fills random numbers in.

    Args:
        folder: Folder of the logged model.
        flavors: Its flavors, as its MLmodel file lists them.
        source: Its URI.
        spec: The model, as the user named it.

    Raises:
        ModelError: It cannot.
    """
    pipeline = flavors.get("transformers")
    if not isinstance(pipeline, dict) or not pipeline.get("peft_adaptor"):
        return
    base = folder / str(pipeline.get("model_binary") or "model")
    names = sorted(name for path in base.glob("*.safetensors") for name in tensor_names(path))
    wrapped = [name for name in names if any(part in name for part in WRAPPED)]
    if wrapped:
        raise ModelError(
            f"model {spec.name!r}: {source} is a pipeline with a PEFT adapter, and MLflow has saved "
            f"{count(len(wrapped), 'tensor')} of its base under names that it does not read back, such as "
            f"{wrapped[0]}. Each load would fill in other random numbers.\n"
            "Log the merged model, pipeline(..., model=adapted.merge_and_unload()), or name the folder or hub id of "
            f"the adapter instead: {spec.name}=./adapter"
        )


def tensor_names(path: Path) -> set[str]:
    """Names of the tensors in a safetensors file; empty if its header cannot be read."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header_of = json.loads(file.read(min(length, path.stat().st_size)))
    except (OSError, ValueError):
        return set()
    return set(header_of) - {"__metadata__"} if isinstance(header_of, dict) else set()


def check_not_both(folder: Path, spec: ModelSpec) -> None:
    """Check that a whole model has no adapter beside it, which transformers applies if PEFT is installed.

    Raises:
        ModelError: It has.
    """
    if (folder / CONFIG).is_file() and (folder / ADAPTER).is_file() and has_adapter_weights(folder):
        raise ModelError(
            f"model {spec.name!r}: {folder} holds a whole model and a PEFT adapter ({ADAPTER}), which transformers "
            "applies to it only where PEFT is installed.\n"
            f'Move the adapter into a folder of its own, and name {folder} as its base: base = "FOLDER" in '
            f"{header(spec.name)} of {CONFIG_FILE}"
        )


def _config(folder: Path, spec: ModelSpec) -> dict[str, Any]:
    """The configuration of an adapter.

    Raises:
        ModelError: It is not a JSON object.
    """
    fault = "expected an object"
    try:
        config = json.loads((folder / ADAPTER).read_text(encoding="utf-8"))
        if isinstance(config, dict):
            return config
    except (OSError, ValueError) as error:
        fault = error_line(error)
    raise ModelError(
        f"model {spec.name!r}: {ADAPTER} in {folder} cannot be read as JSON: {fault}.\n"
        "Save the adapter once more: model.save_pretrained(FOLDER)"
    )
