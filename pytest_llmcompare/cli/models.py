"""`llmcompare models`: resolve model specs and show what each stands for."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import click

from pytest_llmcompare.errors import LlmCompareError, UsageError
from pytest_llmcompare.models.pyproject_file import read_config
from pytest_llmcompare.models.spec import ModelSpec, SourceKind, parse_specs, shown_source
from pytest_llmcompare.models.uris import split_specs
from pytest_llmcompare.settings import check_file
from pytest_llmcompare.text import disarm

from .project_root import CONFIG, find_root

REACH_TIMEOUT = 5.0  # seconds
ANSWER_TIMEOUT = 60.0
"""Most seconds for an answer: the first one of a server may compile kernels, which took vLLM a minute."""


@click.command(epilog="Example: llmcompare models gpt2 tiny=./models/tiny-gpt2")
@click.argument("specs", nargs=-1, metavar="[SPEC]...")
@click.option("--root", metavar="FOLDER", help=f"folder with {CONFIG} (default: the nearest one upwards)")
def models(specs: Sequence[str], root: str | None) -> int:
    """Show what each model spec stands for.

    SPEC is [NAME=]SOURCE[@REVISION]; without any, the models of a pytest run here are shown. They are resolved as a
    run would: where the weights are, in which revision, and whether they can be used. No model is loaded, and with
    HF_HUB_OFFLINE=1 nothing is downloaded either. A served model is asked for one token: what its server is, what it
    shows of its answers, or why it cannot be reached.
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
    _print_facts({"at": resolved.location, "revision": resolved.revision, "fingerprint": resolved.fingerprint})
    _print_facts({"base": resolved.base, "tokenizer": resolved.tokenizer, **_options_of(spec)})
    return spec.kind is not SourceKind.SERVER or show_server(spec)


def _options_of(spec: ModelSpec) -> dict[str, str]:
    """Options of loading that the places above do not show."""
    given = spec.loading.given()
    memory = ", ".join(f"{device} {amount}" for device, amount in spec.loading.max_memory.items())
    return {
        "attention": given.get("attn_implementation", ""),
        "file": given.get("gguf_file", ""),
        "memory": memory,
        "offload": given.get("offload_folder", ""),
    }


def show_server(spec: ModelSpec) -> bool:
    """Print what a server says of itself, and the level of its answers; return whether it answers."""
    from pytest_llmcompare.models.served import parse_address
    from pytest_llmcompare.serving.answer import BadAnswerError
    from pytest_llmcompare.serving.client import Client
    from pytest_llmcompare.serving.server import Server

    options = replace(spec.server, timeout=min(spec.server.timeout, ANSWER_TIMEOUT), max_requests=None)
    try:
        client = Client(parse_address(spec.source, f"model {spec.name!r}"), options)
    except LlmCompareError as error:
        _print_facts({"reachable": f"not tried: {error}"})
        return False
    try:
        client.get(f"{urlsplit(client.url).path}/models", REACH_TIMEOUT)
        _print_facts({"reachable": "yes"})
        shown = Server(client).probe(spec.name)
    except BadAnswerError as error:
        _print_facts({"reachable": f"no: {error}"})
        return False
    except LlmCompareError as error:
        _print_facts({"answers": f"no: {str(error).removeprefix(f'model {spec.name!r}: ')}"})
        return False
    finally:
        client.close()
    other = f"the server answers as {shown.model!r}" if shown.model not in ("", client.model) else ""
    _print_facts(
        {
            "server": f"{shown.server} {shown.version}".strip() or "unknown",
            "level": shown.level.value,
            "note": other,
        }
    )
    return True


def _print_facts(facts: Mapping[str, str]) -> None:
    for name, value in facts.items():
        for line in value.splitlines()[:1]:
            print(disarm(f"  {name:<12}{line}"))
