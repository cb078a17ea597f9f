"""The source of a run's baselines: opened, and checked for what the options ask of it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_llmcompare.baselines.sources.protocol import BaselineReader, BaselineWriter, Outputs, OutputsOf
from pytest_llmcompare.baselines.sources.reference_model import reference_model
from pytest_llmcompare.errors import BaselineError, HookError, UsageError, did_you_mean
from pytest_llmcompare.models.spec import ModelSpec, parse_specs, shown_spec
from pytest_llmcompare.records import Baseline, GroupKey
from pytest_llmcompare.settings import FILES, Settings, Update
from pytest_llmcompare.text import source_without_secrets

from .hook_calls import Hooks

if TYPE_CHECKING:
    from .session import Session


def open_source(settings: Settings, root: Path, hooks: Hooks, pinned: str, outputs: OutputsOf) -> BaselineReader:
    """Open the source of a run's baselines.

    Args:
        settings: Settings of the run.
        root: pytest's root folder.
        hooks: Our own hooks, of all plugins.
        pinned: The version of the baselines that the controller has opened; empty on the controller itself.
        outputs: Gives the outputs of a table and model of this run.

    Raises:
        UsageError: It cannot be opened, or the run is to write into a source that is only read.
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
    check_writable(settings, source, copy_command(name, specs) if name else source.copying)
    return source


def check_writable(settings: Settings, source: BaselineReader, copying: str) -> None:
    """Check that baselines can be written if an option asks for that.

    Args:
        settings: Settings of the run.
        source: The source of baselines.
        copying: The command that copies its baselines into files; empty if there is none.

    Raises:
        UsageError: They are only read.
    """
    if isinstance(source, BaselineWriter):
        return
    options = [settings.update.value] if settings.update is not Update.NOTHING else []
    options += ["--llm-prune"] if settings.prune else []
    if not options:
        return
    origin = settings.origins.get("baseline", "")
    raise UsageError(
        f"{' and '.join(options)} would change baselines, and those of {source.title} ({origin}) are only read.\n"
        f"To write today's outputs into files: {options[0]} --llm-baseline={FILES}"
        + (f"\nTo copy these baselines into files: {copying}" if copying else "")
    )


def copy_command(name: str, specs: tuple[ModelSpec, ...]) -> str:
    """The command that records the outputs of one model as the baselines of the others; empty if there are no others.

    Args:
        name: The model whose outputs are copied.
        specs: The models of the run.
    """
    source = next((spec for spec in specs if spec.name == name), None)
    others = [spec.name for spec in specs if spec.name != name]
    if source is None or not others:
        return ""
    named = ",".join(f"{other}={shown_spec(source)}" for other in others)
    return shlex.join(["pytest", f"--llm-models={named}", f"--llm-baseline={FILES}", "--llm-update"])


def outputs_of(session: Session, key: GroupKey) -> Outputs:
    """The outputs of a group of this run, as baselines for other models.

    Raises:
        BaselineError: There is no such group, or it failed as a whole.
    """
    group = session.groups.get(key)
    if group is None:
        raise BaselineError(
            f"table {key.table!r} is not given to model {key.model!r}, so there is nothing to compare with.\n"
            "Name that model, too: models=[...] in the marker."
        )
    result = session.result(key)
    if result.error:
        raise BaselineError(f"model {key.model!r}, which the others are compared with, failed: {result.error}")
    cases = {row: group.cases[row] for row in result.generations}
    baselines = {
        row: Baseline(row, result.generations[row], case.input_hash, case.settings_hash) for row, case in cases.items()
    }
    return Outputs(baselines, result.failures)
