"""`llmcompare models`: resolve model specs and show what each stands for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click

from pytest_llmcompare.errors import LlmCompareError, UsageError
from pytest_llmcompare.models.config_file import read_config
from pytest_llmcompare.models.spec import ModelSpec, parse_specs, shown_source
from pytest_llmcompare.models.uris import split_specs
from pytest_llmcompare.settings import check_file
from pytest_llmcompare.text import disarm

from .project_root import CONFIG, find_root


@click.command(epilog="Example: llmcompare models gpt2 tiny=./models/tiny-gpt2")
@click.argument("specs", nargs=-1, metavar="[SPEC]...")
@click.option("--root", metavar="FOLDER", help=f"folder with {CONFIG} (default: the nearest one upwards)")
def models(specs: Sequence[str], root: str | None) -> int:
    """Show what each model spec stands for.

    SPEC is [NAME=]SOURCE[@REVISION]; without any, the models of a pytest run here are shown. They are resolved as a
    run would: where the weights are, in which revision, and whether they can be used. No model is loaded, and with
    HF_HUB_OFFLINE=1 nothing is downloaded either.
    """
    folder = find_root(root, CONFIG)
    usable = [show_model(spec, folder) for spec in parsed_specs(specs, folder)]
    return 0 if all(usable) else 1


def parsed_specs(given: Sequence[str], root: Path) -> list[ModelSpec]:
    """Return the given model specs, or those that a pytest run would use.

    Raises:
        UsageError: No model is configured, or one of them is wrong.
    """
    table = read_config(root / CONFIG)
    check_file(table, f"[tool.llmcompare] in {root / CONFIG}")
    named = table.get("models", {})
    listed = table.get("default_models") or list(named)
    texts = split_specs(given) or split_specs([os.environ.get("LLMCOMPARE_MODELS", "")]) or tuple(listed)
    if not texts:
        raise UsageError("no models. Name some (llmcompare models gpt2 ./models/tiny), or list them in pyproject.toml.")
    return list(parse_specs(texts, named, root, others=True))


def show_model(spec: ModelSpec, root: Path) -> bool:
    """Print what a spec resolves to; return whether it can be used."""
    from pytest_llmcompare.models.resolve import resolve

    print(disarm(f"{spec.name}  ({spec.kind.value}: {shown_source(spec)})"))
    try:
        resolved = resolve(spec, root=root)
    except LlmCompareError as error:
        for line in str(error).splitlines():
            print(f"  {disarm(line)}")
        return False
    facts = {"at": resolved.location, "revision": resolved.revision, "fingerprint": resolved.fingerprint}
    for name, value in facts.items():
        if value:
            print(disarm(f"  {name:<12}{value}"))
    return True
