"""`llmcompare models`: what each model spec stands for."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from pytest_llmcompare.errors import LlmCompareError, UsageError
from pytest_llmcompare.models.config_file import read_file
from pytest_llmcompare.models.spec import ModelSpec, parse_specs, shown_source
from pytest_llmcompare.models.uris import split_specs
from pytest_llmcompare.settings import check_file
from pytest_llmcompare.text import disarm

from .project_root import CONFIG, Commands, find_root


def add(commands: Commands) -> None:
    """Declare the command."""
    models = commands.add_parser(
        "models",
        help="what each model spec stands for, and whether it can be used from here",
        description="Resolve model specs as a pytest run would: where the weights are, in which revision. Nothing is "
        "loaded; with HF_HUB_OFFLINE=1 nothing is downloaded either.",
    )
    models.add_argument("specs", nargs="*", metavar="SPEC", help="[NAME=]SOURCE[@REVISION]; by default those of a run")
    models.add_argument("--root", metavar="FOLDER", help=f"folder with {CONFIG} (default: the nearest one upwards)")
    models.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    return show_models(options.specs, find_root(options.root, CONFIG))


def show_models(given: Sequence[str], root: Path) -> int:
    """Print what each spec resolves to."""
    table = read_file(root / CONFIG)
    check_file(table, f"[tool.llmcompare] in {root / CONFIG}")
    named = table.get("models", {})
    listed = table.get("default_models") or list(named)
    texts = split_specs(given) or split_specs([os.environ.get("LLMCOMPARE_MODELS", "")]) or tuple(listed)
    if not texts:
        raise UsageError("no models. Name some (llmcompare models gpt2 ./models/tiny), or list them in pyproject.toml.")
    found = [show_model(spec, root) for spec in parse_specs(texts, named, root, others=True)]
    return 0 if all(found) else 1


def show_model(spec: ModelSpec, root: Path) -> bool:
    """Print what one spec resolves to; whether it can be used."""
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
