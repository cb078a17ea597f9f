"""Checks `[tool.llmcompare.models.NAME]` tables. Pure, except that it reads the file of a chat template."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_llmcompare.errors import UsageError, did_you_mean
from pytest_llmcompare.settings import DECODES, DTYPES

from . import loading_options, served
from .chat_template import EXPECTED, TOKENIZER, read_template
from .gen_config import problems

CONFIG_FILE = "pyproject.toml"
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
DEVICE = re.compile(r"[a-z]+(:\d+)?")

KEYS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "source": ((str,), "text: a hub id, a folder, an MLflow URI, openai:MODEL@URL or echo:"),
    "revision": ((str,), "text: a branch, tag or commit of the hub repository"),
    "gen_config": ((dict,), "a table of decoding settings"),
    "examples": ((str,), "text that is put before every prompt"),
    "dtype": ((str,), f"one of {', '.join(DTYPES)}"),
    "device": ((str,), "text such as 'cpu', 'cuda', 'cuda:1' or 'auto'"),
    "decode": ((str,), f"one of {', '.join(DECODES)}"),
    "cache": ((bool,), "true or false"),
    "chat_template": ((str, bool), f"{EXPECTED}; false sends prompts as they are"),
    "allow_pickle": ((bool,), "true or false"),
    "trust_remote_code": ((bool,), "true or false"),
    **loading_options.KEYS,
    **served.KEYS,
}


def header(name: str) -> str:
    """The header line of a model's table, quoted as TOML requires."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    key = name if BARE_KEY.fullmatch(name) else f'"{escaped}"'
    return f"[tool.llmcompare.models.{key}]"


def read_model_table(name: str, table: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """Check a model's table and return its entries as fields of `ModelSpec`.

    Args:
        name: Name of the model.
        table: The table.
        root: pytest's root folder; the file of a chat template is relative to it.

    Raises:
        UsageError: The name cannot be used, a key is unknown, a value is wrong, or there is no source.
    """
    where = f"{header(name)} in {CONFIG_FILE}"
    check_name(name, where)
    for key, value in table.items():
        if key not in KEYS:
            raise UsageError(f"{where}: unknown key {key!r}.{did_you_mean(key, KEYS)}")
        kinds, wanted = KEYS[key]
        if not isinstance(value, kinds):
            raise UsageError(f"{where}: {key} = {value!r}, expected {wanted}.")
    if not table.get("source", "").strip():
        raise UsageError(f'{where}: there is no source. Name the model, for example source = "gpt2-large".')
    _check_words(table, where)
    if faults := problems(table.get("gen_config", {})):
        raise UsageError("\n".join(f"{where}, gen_config: {fault}" for fault in faults))
    fields = {key: value for key, value in table.items() if key not in {**served.KEYS, **loading_options.KEYS}}
    if table.keys() & served.KEYS:
        fields["server"] = served.read_options(table, where)
    if table.keys() & loading_options.KEYS:
        fields["loading"] = loading_options.read_options(table, where)
    if "chat_template" not in table:
        return fields
    template = table["chat_template"]
    if isinstance(template, bool):
        return {**fields, "chat_template": TOKENIZER if template else "", "raw_prompts": not template}
    return {**fields, "chat_template": read_template(template, f"{where}: chat_template", root)}


def _check_words(table: Mapping[str, Any], where: str) -> None:
    """Check the values that are one of a few words.

    Raises:
        UsageError: One is not.
    """
    for key, known in (("dtype", DTYPES), ("decode", DECODES)):
        if table.get(key, "auto") not in known:
            raise UsageError(f"{where}: {key} {table[key]!r} is not known.{did_you_mean(table[key], known)}")
    if not DEVICE.fullmatch(table.get("device", "auto")):
        raise UsageError(f"{where}: device = {table['device']!r}, expected {KEYS['device'][1]}.")


def check_name(name: str, where: str) -> None:
    """Check that a model's name can be written on a command line and in the header of a baseline file.

    Raises:
        UsageError: It can't.
    """
    if not name or name != name.strip() or not name.isprintable() or "," in name or "=" in name:
        raise UsageError(
            f"{where}: {name!r} cannot be the name of a model. "
            "Use at least one character, all of them printable, without ',' and '=', and no space at the ends."
        )
