"""The `llmcompare` command: what one wants to know outside of a pytest run."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from .errors import LlmCompareError, UsageError
from .models.spec import ModelSpec, parse_specs
from .options import read_file
from .reports.escaping import disarm
from .settings import check_file, split_models

CONFIG = "pyproject.toml"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 where all is well, 1 where a model is not, 2 for a command that cannot be understood.
    """
    options = parser().parse_args(arguments)
    try:
        return show_models(options.specs, Path(options.root) if options.root else find_root(Path.cwd()))
    except LlmCompareError as error:
        print(f"llmcompare: {error}", file=sys.stderr)
        return 2


def parser() -> argparse.ArgumentParser:
    """The command line."""
    whole = argparse.ArgumentParser(prog="llmcompare", description="Look at what pytest-llmcompare works with.")
    whole.add_argument("--version", action="version", version=f"pytest-llmcompare {version('pytest-llmcompare')}")
    commands = whole.add_subparsers(required=True, metavar="COMMAND")
    models = commands.add_parser(
        "models",
        help="what each model spec stands for, and whether it can be used from here",
        description="Resolve model specs as a pytest run would: where the weights are, in which revision. Nothing is "
        "loaded; with HF_HUB_OFFLINE=1 nothing is downloaded either.",
    )
    models.add_argument("specs", nargs="*", metavar="SPEC", help="[NAME=]SOURCE[@REVISION]; by default those of a run")
    models.add_argument("--root", metavar="FOLDER", help=f"folder with {CONFIG} (default: the nearest one upwards)")
    return whole


def find_root(folder: Path) -> Path:
    """The nearest folder upwards with a `pyproject.toml`, else the folder itself."""
    return next((above for above in (folder, *folder.parents) if (above / CONFIG).is_file()), folder)


def show_models(given: Sequence[str], root: Path) -> int:
    """Print what each spec resolves to."""
    table = read_file(root / CONFIG)
    check_file(table, f"[tool.llmcompare] in {root / CONFIG}")
    named = table.get("models", {})
    listed = table.get("default_models") or list(named)
    texts = split_models(given) or split_models([os.environ.get("LLMCOMPARE_MODELS", "")]) or tuple(listed)
    if not texts:
        raise UsageError("no models. Name some (llmcompare models gpt2 ./models/tiny), or list them in pyproject.toml.")
    found = [show_model(spec, root) for spec in parse_specs(texts, named, root)]
    return 0 if all(found) else 1


def show_model(spec: ModelSpec, root: Path) -> bool:
    """Print what one spec resolves to; whether it can be used."""
    from .models.resolve import resolve

    print(disarm(f"{spec.name}  ({spec.kind.value}: {spec.source})"))
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


if __name__ == "__main__":
    sys.exit(main())
