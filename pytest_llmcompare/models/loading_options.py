"""How the files of a transformers model are found and loaded: options of its table in pyproject.toml. Pure."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, TypedDict

from pytest_llmcompare.errors import UsageError, did_you_mean

ATTENTIONS = ("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")
"""Implementations of attention that come with transformers; others are code that is fetched from the hub."""

KEYS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "subfolder": ((str,), "text: a folder inside the repository or folder, such as 'checkpoint-500'"),
    "attn_implementation": ((str,), f"one of {', '.join(ATTENTIONS)}"),
    "gguf_file": ((str,), "text: the name of a .gguf file in the repository or folder"),
    "max_memory": ((dict,), 'a table of devices with their memory, such as { 0 = "20GiB", cpu = "60GiB" }'),
    "offload_folder": ((str,), "text: a folder for weights that do not fit into memory"),
    "tokenizer": ((str,), "text: a hub id or a folder"),
    "base": ((str,), "text: a hub id or a folder"),
}
"""Keys of a model's table that only hub models and folders have."""

AUTO = "auto"
DEVICE = re.compile(r"\d+|cpu|mps|disk")
AMOUNT = re.compile(r"\d+(\.\d+)?\s*[KMGT]i?B", re.IGNORECASE)


@dataclass(frozen=True)
class LoadingOptions:
    """How the files of a transformers model are found and loaded; empty leaves it to the model.

    Attributes:
        subfolder: Folder of the model inside the repository or folder.
        attn_implementation: Implementation of attention, such as `eager` or `sdpa`.
        gguf_file: File with the weights in GGUF, inside the repository or folder.
        max_memory: Most memory that the weights take, by device; they are spread over all of them (`device = "auto"`).
        offload_folder: Folder for weights that do not fit into memory; relative ones start at pytest's root folder.
        tokenizer: Hub id or folder of the tokenizer, in place of the model's own.
        base: Hub id or folder of an adapter's base model, in place of the one that the adapter names.
    """

    subfolder: str = ""
    attn_implementation: str = ""
    gguf_file: str = ""
    max_memory: Mapping[str, str | int] = field(default_factory=dict, hash=False)
    offload_folder: str = ""
    tokenizer: str = ""
    base: str = ""

    def on_one_device(self) -> LoadingOptions:
        """The options without those that only a model on several devices has."""
        return dataclasses.replace(self, max_memory={}, offload_folder="")

    def arguments(self, device: str) -> dict[str, Any]:
        """Arguments of `from_pretrained` for the weights; memory has a limit only on several devices."""
        arguments: dict[str, Any] = {}
        if self.attn_implementation:
            arguments["attn_implementation"] = self.attn_implementation
        if device == AUTO and self.max_memory:
            memory = self.max_memory.items()
            arguments["max_memory"] = {int(one) if one.isdigit() else one: most for one, most in memory}
        if device == AUTO and self.offload_folder:
            arguments["offload_folder"] = self.offload_folder
        return arguments

    def given(self) -> dict[str, Any]:
        """The options that are given, by name."""
        return {name: value for name, value in vars(self).items() if value}


class LoadingArguments(TypedDict, total=False):
    """The fields of `LoadingOptions` as arguments of a function."""

    subfolder: str
    attn_implementation: str
    gguf_file: str
    max_memory: Mapping[str, str | int]
    offload_folder: str
    tokenizer: str
    base: str


NOT_DECIDING = ("offload_folder", "max_memory")
"""Options that answers depend on only through the devices that weights are spread over, which are recorded."""


def read_options(values: Mapping[str, Any], where: str) -> LoadingOptions:
    """Check options whose types have been checked; other keys are left alone.

    Args:
        values: A model's table, or arguments.
        where: Where it was written, for messages.

    Raises:
        UsageError: A value cannot be meant.
    """
    given: dict[str, Any] = {key: values[key] for key in KEYS if key in values}
    for key, value in given.items():
        if fault := option_fault(key, value):
            raise UsageError(f"{where}: {fault}")
    if memory := given.get("max_memory"):
        given["max_memory"] = {str(device): amount for device, amount in memory.items()}
    given.update({key: value.strip() for key, value in given.items() if isinstance(value, str)})
    return LoadingOptions(**given)


def option_fault(key: str, value: Any) -> str:
    """What is wrong with the value of an option; empty if it is fine."""
    kinds, wanted = KEYS[key]
    is_kind: bool = isinstance(value, kinds)
    if not is_kind or (isinstance(value, str) and not value.isprintable()):
        return f"{key} = {value!r}, expected {wanted}."
    if not value:
        return ""
    if key == "attn_implementation" and value not in ATTENTIONS:
        return f"attn_implementation {value!r} is not known.{did_you_mean(value, ATTENTIONS)}"
    if key == "gguf_file" and not value.strip().endswith(".gguf"):
        return f"gguf_file = {value!r}, expected {wanted}."
    if key in ("subfolder", "gguf_file") and not is_inside(value):
        return f"{key} = {value!r} leads out of the model's folder, expected {wanted}."
    return memory_fault(value) if key == "max_memory" else ""


def is_inside(path: str) -> bool:
    """True if a relative path stays inside the folder that it starts in."""
    parts = PurePosixPath(path.strip().replace("\\", "/")).parts
    return bool(parts) and ".." not in parts and not parts[0].startswith("/") and ":" not in parts[0]


def memory_fault(memory: Mapping[Any, Any]) -> str:
    """What is wrong with `max_memory`; empty if it is fine."""
    for device, amount in memory.items():
        if not DEVICE.fullmatch(str(device)):
            return f"max_memory names the device {device!r}, expected the number of a GPU, cpu, mps or disk."
        is_bytes = isinstance(amount, int) and not isinstance(amount, bool) and amount > 0
        if not is_bytes and not (isinstance(amount, str) and AMOUNT.fullmatch(amount.strip())):
            return f"max_memory gives {device!r} {amount!r}, expected text such as '20GiB', or a number of bytes."
    return ""


def check_place(options: LoadingOptions, device: str | None, where: str) -> str | None:
    """The device of a model: weights with a limit of memory are spread over all devices.

    Raises:
        UsageError: The model is to be on one device, where such options have no effect.
    """
    named = next((name for name in ("max_memory", "offload_folder") if getattr(options, name)), "")
    if named and device not in (None, AUTO):
        raise UsageError(
            f'{where}: {named} has no effect with device = {device!r}. Leave one of them out, or set device = "auto".'
        )
    return AUTO if named else device


def check_kind(options: LoadingOptions, kind: str, where: str) -> None:
    """Check that the options given are for this kind of model.

    Args:
        options: The options.
        kind: `hub` or `folder`, or another kind of source.
        where: Where they were written, for messages.

    Raises:
        UsageError: They have no effect on such a model.
    """
    if kind in ("hub", "folder") or not options.given():
        return
    name = next(iter(options.given()))
    why = {
        "mlflow": "it is loaded as it was logged: log it with that option (PyfuncTransformer(..., NAME=...))",
        "server": "its server decides",
    }.get(kind, "only hub models and folders have it")
    raise UsageError(f"{where}: {name} has no effect on this model, because {why.replace('NAME', name)}. Leave it out.")
