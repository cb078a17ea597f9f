"""What a run compares with: the source of its baselines, opened, and whether it can do what is asked of it."""

from __future__ import annotations

import shlex
from pathlib import Path

from pytest_llmcompare.baselines.sources.protocol import BaselineReader, BaselineWriter, OutputsOf
from pytest_llmcompare.baselines.sources.reference_model import reference_model
from pytest_llmcompare.errors import HookError, UsageError, did_you_mean
from pytest_llmcompare.models.spec import ModelSpec, parse_specs, shown
from pytest_llmcompare.settings import FILES, Settings, Update
from pytest_llmcompare.text import source_without_secrets

from .hook_calls import Hooks


def reference(settings: Settings, root: Path, hooks: Hooks, pinned: str, outputs: OutputsOf) -> BaselineReader:
    """Open the source of a run's baselines.

    Args:
        settings: Settings of the run.
        root: pytest's root folder.
        hooks: Our own hooks, of all plugins.
        pinned: What it stands for, where another process of this run has opened it already.
        outputs: Gives what a table and model of this run said.

    Raises:
        UsageError: It cannot be opened, or the run is to write into what is only read.
    """
    where = f"baseline {source_without_secrets(settings.baseline)!r} ({settings.origins.get('baseline', 'default')})"
    try:
        source = hooks.open_baselines(settings.baseline, pinned, outputs)
    except (UsageError, HookError) as error:
        raise UsageError(f"{where}: {error}") from None
    specs = parse_specs(settings.models, settings.named, root, others=hooks.loads_models) if settings.models else ()
    name = reference_model(source)
    if name and specs and name not in (names := [spec.name for spec in specs]):
        wanted = ",".join([*map(source_without_secrets, settings.models), name])
        raise UsageError(
            f"{where}: there is no model {name!r} in this run.{did_you_mean(name, names)}\n"
            f"Compare it, too: {shlex.quote(f'--llm-models={wanted}')}"
        )
    check_writes(settings, source, copying_of_model(name, specs) if name else source.copying)
    return source


def check_writes(settings: Settings, source: BaselineReader, copying: str) -> None:
    """See whether baselines can be written, where that is asked for.

    Raises:
        UsageError: They are only read.
    """
    if isinstance(source, BaselineWriter):
        return
    asked = [settings.update.value] if settings.update is not Update.NOTHING else []
    asked += ["--llm-prune"] if settings.prune else []
    if not asked:
        return
    origin = settings.origins.get("baseline", "")
    raise UsageError(
        f"{' and '.join(asked)} would change baselines, and those of {source.title} ({origin}) are only read.\n"
        f"To write today's outputs into files: {asked[0]} --llm-baseline={FILES}"
        + (f"\nTo copy these baselines into files: {copying}" if copying else "")
    )


def copying_of_model(name: str, specs: tuple[ModelSpec, ...]) -> str:
    """The command that records what one model says as the baselines of the others; empty where that is not known."""
    source = next((spec for spec in specs if spec.name == name), None)
    others = [spec.name for spec in specs if spec.name != name]
    if source is None or not others:
        return ""
    named = ",".join(f"{other}={shown(source)}" for other in others)
    return shlex.join(["pytest", f"--llm-models={named}", f"--llm-baseline={FILES}", "--llm-update"])
