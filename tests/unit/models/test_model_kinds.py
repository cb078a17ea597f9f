"""Model specs of a kind that a plugin loads: how they are read, and what is said where no plugin is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_llmcompare.cli.main import main
from pytest_llmcompare.errors import ModelError, UsageError
from pytest_llmcompare.models.resolve import resolve
from pytest_llmcompare.models.spec import ModelSpec, SourceKind, parse_specs
from pytest_llmcompare.models.uris import HOOK

OTHER = SourceKind.OTHER


def parse(text: str, root: Path, named: Any = None) -> list[ModelSpec]:
    return list(parse_specs([text], named or {}, root, others=True))


@pytest.mark.parametrize(
    ("text", "name", "source"),
    [
        ("mine:x", "x", "mine:x"),
        ("m=mine:x", "m", "mine:x"),
        ("m=Mine+1.2:x y", "m", "Mine+1.2:x y"),
        ("gguf:./models/tiny.gguf", "tiny.gguf", "gguf:./models/tiny.gguf"),
        ("s3://bucket/model/", "model", "s3://bucket/model/"),
        ("m=mine:a=b@c", "m", "mine:a=b@c"),
    ],
)
def test_text_names_kind(text: str, name: str, source: str, tmp_path: Path) -> None:
    """All after the colon is the plugin's; the name is the last part where none is given."""
    assert parse(text, tmp_path) == [ModelSpec(name, source, OTHER)]


def test_other_forms_keep_their_meaning(tmp_path: Path) -> None:
    """Hub ids, folders, drives and MLflow's URIs are what they are without plugins."""
    (tmp_path / "models" / "tiny").mkdir(parents=True)
    for text in ("gpt2@main", "models/tiny", "w=C:/models/tiny", "models:/qa@champion", "runs:/1a2b/model"):
        assert parse(text, tmp_path) == list(parse_specs([text], {}, tmp_path))


def test_a_named_model_has_all_its_settings(tmp_path: Path) -> None:
    """They are passed on to the plugin."""
    table = {"source": "mine:x", "revision": "r7", "examples": "e", "dtype": "auto", "gen_config": {"top_k": 3}}
    expected = ModelSpec("m", "mine:x", OTHER, "r7", {"top_k": 3}, "e", "auto")
    assert parse("m", tmp_path, {"m": table}) == [expected]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("m=mine:", "there is nothing after 'mine:'. Expected mine:ANYTHING, in the form that its plugin takes."),
        ("http://host/x", "the address of a server alone names no model."),
        ("hf:org/m", "a hub model is named by its id, not by its address. Write org/m"),
        ("models:x", "'models:x' is not a complete MLflow model URI."),
    ],
)
def test_what_no_plugin_is_asked_for(text: str, told: str, tmp_path: Path) -> None:
    """Nothing at all, and what has a meaning of its own."""
    with pytest.raises(UsageError) as caught:
        parse(text, tmp_path)
    assert str(caught.value).startswith(f"model spec {text!r}: {told}")


def test_outside_of_pytest_nobody_loads_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The `llmcompare` command says so, and looks at the other models."""
    spec = ModelSpec("m", "mine:x", OTHER)
    told = f"model 'm': mine:x is of a kind that only a plugin loads, and only in a pytest run.\n{HOOK}"
    with pytest.raises(ModelError) as caught:
        resolve(spec, root=tmp_path)
    assert str(caught.value) == told
    assert main(["models", "m=mine:x", "--root", str(tmp_path)]) == 1
    assert capsys.readouterr().out == "m  (other: mine:x)\n  " + told.replace("\n", "\n  ") + "\n"
