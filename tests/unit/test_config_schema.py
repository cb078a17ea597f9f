"""The JSON schema of `[tool.llmcompare]` allows what a run takes, and nothing that a run refuses."""

from __future__ import annotations

import importlib.metadata
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_llmcompare.errors import UsageError
from pytest_llmcompare.models.config_schema import WORDS, schema
from pytest_llmcompare.models.pyproject_tables import KEYS
from pytest_llmcompare.models.spec import parse_specs
from pytest_llmcompare.settings import FILE_KEYS, KINDS, Settings, check_file, check_values

DOCS = Path(__file__).parents[2] / "docs"
BLOCKS = [
    pytest.param(block, id=f"{path.name}-{number}")
    for path in sorted(DOCS.rglob("*.md"))
    for number, block in enumerate(re.findall(r"```toml\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL))
    if "[tool.llmcompare" in block
]


def is_valid(table: dict[str, Any]) -> bool:
    return jsonschema.Draft7Validator(schema()).is_valid(table)


def is_taken(table: dict[str, Any]) -> bool:
    """Whether a run takes it."""
    try:
        check_file(table, "here")
        check_values(Settings(dtype=table.get("dtype", "")))
        parse_specs(list(table.get("models", {})), table.get("models", {}), Path.cwd())
    except UsageError:
        return False
    return True


def test_it_is_a_schema_of_all_keys() -> None:
    jsonschema.Draft7Validator.check_schema(schema())
    keys = schema()["properties"]
    assert keys.keys() == KINDS.keys() == set(FILE_KEYS)
    assert keys["models"]["additionalProperties"]["properties"].keys() == KEYS.keys()
    assert WORDS.keys() <= KINDS.keys() | KEYS.keys()


@pytest.mark.parametrize("block", BLOCKS)
def test_it_allows_what_the_docs_show(block: str) -> None:
    table = tomllib.loads(block)["tool"]["llmcompare"]
    jsonschema.validate(table, schema())


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"default_models": ["gpt2"], "drift_budget": "5%", "tolerance": 0.1},
        {"models": {"m": {"source": "gpt2", "gen_config": {"max_new_tokens": 3}, "chat_template": True}}},
        {"models": {"m": {"source": "openai:m@http://127.0.0.1/v1", "timeout": 2.5, "concurrency": 3}}},
        {"device": 3},
        {"dtype": "float8"},
        {"default_modles": []},
        {"default_models": [3]},
        {"default_models": "gpt2"},
        {"models": {"m": {}}},
        {"models": {"m": {"source": ""}}},
        {"models": {"m": "gpt2"}},
        {"models": {"m": {"source": "gpt2", "sources": "x"}}},
        {"models": {"m": {"source": "gpt2", "dtype": "float8"}}},
        {"models": {"m": {"source": "gpt2", "gen_config": {"max_token": 3}}}},
        {"models": {"m": {"source": "gpt2", "attn_implementation": "fast"}}},
    ],
)
def test_it_agrees_with_a_run(table: dict[str, Any]) -> None:
    assert is_valid(table) is is_taken(table)


def test_the_file_for_editors_is_up_to_date() -> None:
    text = (DOCS / "reference" / "llmcompare.schema.json").read_text(encoding="utf-8")
    assert json.loads(text) == schema(), "run: python docs/reference_pages.py"


def test_validate_pyproject_finds_it() -> None:
    (point,) = importlib.metadata.entry_points(group="validate_pyproject.tool_schema", name="llmcompare")
    assert point.load() is schema
