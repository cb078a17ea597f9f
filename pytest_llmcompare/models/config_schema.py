"""The JSON schema of `[tool.llmcompare]`, for editors and validate-pyproject; made from what a run checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_llmcompare.settings import CACHES, DECODES, DTYPES, KINDS, SHIFTS

from .gen_config import KNOWN_KEYS
from .loading_options import ATTENTIONS
from .pyproject_tables import KEYS

DRAFT = "http://json-schema.org/draft-07/schema#"
TYPES: Mapping[type, str] = {
    str: "string", int: "integer", float: "number", bool: "boolean", list: "array", dict: "object",
}  # fmt: skip
WORDS: Mapping[str, tuple[str, ...]] = {
    "dtype": DTYPES, "decode": DECODES, "cache": CACHES, "shift": SHIFTS, "attn_implementation": ATTENTIONS,
}  # fmt: skip
"""Keys whose value is one of a few words."""


def schema(tool_name: str = "llmcompare") -> dict[str, Any]:
    """The schema of the table `[tool.llmcompare]`.

    Args:
        tool_name: Name of the table, which validate-pyproject gives.
    """
    model = _table(KEYS, f"A model: [tool.{tool_name}.models.NAME]", required=["source"])
    model["properties"]["source"]["minLength"] = 1
    model["properties"]["gen_config"]["propertyNames"] = {"enum": sorted(KNOWN_KEYS)}
    whole = _table(KINDS, f"Settings of pytest-llmcompare: [tool.{tool_name}]")
    whole["properties"]["models"]["additionalProperties"] = model
    whole["properties"]["default_models"]["items"] = {"type": "string"}
    return {"$schema": DRAFT, "title": "pytest-llmcompare", **whole}


def _table(kinds: Mapping[str, tuple[Any, str]], about: str, required: list[str] | None = None) -> dict[str, Any]:
    """The schema of a TOML table that has these keys only."""
    properties = {key: _value(key, types, wanted) for key, (types, wanted) in kinds.items()}
    whole = {"description": about, "type": "object", "properties": properties, "additionalProperties": False}
    return {**whole, "required": required} if required else whole


def _value(key: str, types: type | tuple[type, ...], wanted: str) -> dict[str, Any]:
    """The schema of one value."""
    names = [TYPES[kind] for kind in (types if isinstance(types, tuple) else (types,))]
    value: dict[str, Any] = {"description": wanted, "type": names if len(names) > 1 else names[0]}
    if key in WORDS and names == ["string"]:
        value["enum"] = list(WORDS[key])
    return value
