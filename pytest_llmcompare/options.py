"""Command line, environment and `[tool.llmcompare]` -> Settings. Command line beats environment beats file."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from .errors import UsageError
from .settings import (
    COMMAND_LINE,
    FILE,
    FILES,
    GITHUB,
    SEMANTIC_MODEL,
    Settings,
    Update,
    check_file,
    check_values,
    percentage,
    split_models,
)

MODELS = "llm_models"
PRUNE = "llm_prune"
REPORT = "llm_report"
STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
UPDATES = {"llm_update": Update.CHANGED, "llm_update_missing": Update.MISSING, "llm_update_all": Update.ALL}


def add_options(parser: pytest.Parser) -> None:
    """Declare the command line."""
    group = parser.getgroup("llmcompare", "comparison of language models (pytest-llmcompare)")
    group.addoption(
        "--llm-models",
        action="append",
        default=[],
        metavar="A,B",
        dest=MODELS,
        help="models to compare, comma-separated, repeatable: [NAME=]SOURCE[@REVISION], SOURCE a hub id, a folder or "
        "an MLflow URI, or a NAME of [tool.llmcompare.models.NAME] (env LLMCOMPARE_MODELS; file default_models)",
    )
    group.addoption(
        "--llm-update",
        action="store_true",
        help="write today's outputs as baselines where they drifted, shifted, are missing or stale; deletes nothing",
    )
    group.addoption("--llm-update-missing", action="store_true", help="write baselines only where there is none yet")
    group.addoption(
        "--llm-update-all",
        action="store_true",
        help="like --llm-update, near ties too, and record the environment and log-probabilities of unchanged ones anew",
    )
    group.addoption(
        "--llm-prune",
        action="store_const",
        const="ask",
        default="",
        dest=PRUNE,
        help="delete baselines of rows that the tables no longer have",
    )
    # A flag of its own: with an optional value `pytest --llm-prune tests` would take `tests` for it.
    group.addoption(
        "--llm-prune=yes",
        action="store_const",
        const="yes",
        dest=PRUNE,
        help="the same, also where that is more than 20%% of a file",
    )
    group.addoption(
        "--llm-baseline",
        metavar="SOURCE",
        help="where baselines come from: files (the default), git:REF (as in that commit), runs:/ID (an MLflow run), "
        "model:NAME (another model of this run); all but files are only read (env LLMCOMPARE_BASELINE)",
    )
    group.addoption(
        "--llm-device",
        metavar="DEVICE",
        help="where models run: cpu, cuda, cuda:1, auto (default: a GPU where there is one; env LLMCOMPARE_DEVICE)",
    )
    group.addoption(
        "--llm-dtype",
        metavar="DTYPE",
        help="precision of the weights: auto, float32, bfloat16, float16 (default: the checkpoint's own; env "
        "LLMCOMPARE_DTYPE)",
    )
    group.addoption(
        "--llm-batch-size",
        type=int,
        metavar="N",
        help="most prompts in one pass (default: chosen by their length; env LLMCOMPARE_BATCH_SIZE)",
    )
    group.addoption(
        "--llm-decode",
        metavar="HOW",
        help="verify (the default) confirms baselines in one pass and reads shared examples once, plain does neither; "
        "outputs are the same (env LLMCOMPARE_DECODE)",
    )
    group.addoption(
        "--llm-tolerance",
        metavar="NATS",
        help="by how much another token may be preferred and still count as a near tie (default: what numerical noise "
        "amounts to; env LLMCOMPARE_TOLERANCE)",
    )
    group.addoption(
        "--llm-shift",
        metavar="HOW",
        help="warn (the default) or fail where nothing drifted but likelihoods moved (env LLMCOMPARE_SHIFT)",
    )
    group.addoption(
        "--llm-drift-budget",
        metavar="PCT",
        help="percentage of each model's cases that may drift: drifted cases do not fail their tests, too many fail "
        "the run (env LLMCOMPARE_DRIFT_BUDGET)",
    )
    group.addoption(
        "--llm-report",
        action="append",
        default=[],
        metavar="PATH",
        dest=REPORT,
        help="write what the run found to a file that ends in .html, .md or .json; repeatable; github appends it to "
        "the step summary of a GitHub workflow",
    )
    group.addoption(
        "--llm-tracking-uri",
        metavar="URI",
        help="MLflow tracking store (default: MLFLOW_TRACKING_URI, or else MLflow's own; env LLMCOMPARE_TRACKING_URI)",
    )


def read_settings(config: pytest.Config) -> Settings:
    """Settle every setting from its sources.

    Raises:
        UsageError: A wrong option, environment variable or file entry.
    """
    path = config.rootpath / "pyproject.toml"
    table = read_file(path)
    check_file(table, f"[tool.llmcompare] in {path}")
    named: Mapping[str, Mapping[str, Any]] = table.get("models", {})
    picked = Picked(config, table)
    settings = Settings(
        models=picked.models(named),
        named=named,
        update=picked.update(),
        prune=str(config.getoption(PRUNE) or ""),
        baseline=str(picked.value("baseline", FILES)),
        device=str(picked.value("device", "")),
        dtype=str(picked.value("dtype", "")),
        batch_size=picked.number("batch_size"),
        decode=str(picked.value("decode", "verify")),
        tolerance=picked.nats("tolerance"),
        shift=str(picked.value("shift", "warn")),
        semantic_model=picked.listed("semantic_model", SEMANTIC_MODEL),
        tracking_uri=str(picked.value("tracking_uri", "")),
        drift_budget=picked.percentage("drift_budget"),
        reports=tuple(dict.fromkeys(config.getoption(REPORT))),
        origins=picked.origins,
    )
    check_values(settings)
    if GITHUB in settings.reports and not os.environ.get(STEP_SUMMARY):
        raise UsageError(
            f"--llm-report={GITHUB}: {STEP_SUMMARY} is not set, so this is no step of a GitHub workflow.\n"
            "Name a file: --llm-report=report.md"
        )
    if settings.models or named:
        from .models.spec import parse_specs

        others = bool(config.hook.pytest_llmcompare_load_model.get_hookimpls())
        # Faulty ones end the run here, not in each test file.
        parse_specs(settings.models, named, config.rootpath, others=others)
    return settings


def header_lines(settings: Settings, baseline: str = "") -> list[str]:
    """What the header of the run says: the settings that are not at their default, and where each came from.

    Args:
        settings: The settings.
        baseline: What the source of baselines is called, once it is opened.
    """
    values = {
        "models": ", ".join(settings.models),
        "baseline": baseline if settings.baseline != FILES else "",
        "device": settings.device,
        "dtype": settings.dtype,
        "batch size": str(settings.batch_size or ""),
        "decode": settings.decode if settings.decode != "verify" else "",
        "tolerance": "" if settings.tolerance is None else f"{settings.tolerance:g}",
        "shift": settings.shift if settings.shift != "warn" else "",
        "drift budget": "" if settings.drift_budget is None else f"{settings.drift_budget:g}%",
        "semantic model": settings.semantic_model if settings.semantic_model != SEMANTIC_MODEL else "",
        "tracking uri": settings.tracking_uri,
    }
    if settings.tracking_uri:
        from .models.uri import without_secrets

        values["tracking uri"] = without_secrets(settings.tracking_uri)
    parts = [
        f"{name}: {value} ({settings.origins.get(name.replace(' ', '_'), '')})"
        for name, value in values.items()
        if value
    ]
    if settings.update is not Update.NOTHING:
        parts.append(f"{settings.update.value} writes baselines")
    if settings.prune:
        parts.append("--llm-prune deletes obsolete baselines")
    return [f"llmcompare: {'; '.join(parts)}"] if parts else []


def read_file(path: Path) -> dict[str, Any]:
    """The `[tool.llmcompare]` table of a `pyproject.toml`, empty where there is none.

    Raises:
        UsageError: The file is not TOML.
    """
    try:
        raw = path.read_bytes()
    except OSError:
        return {}
    if b"tool.llmcompare" not in raw:  # parsing is 1 ms that other people's suites need not pay
        return {}
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        parsed = tomllib.loads(raw.decode("utf-8"))
    except ValueError as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    table = parsed.get("tool", {}).get("llmcompare", {})
    if not isinstance(table, dict):
        raise UsageError(f"{path}: tool.llmcompare = {table!r}, expected a table [tool.llmcompare].")
    return table


class Picked:
    """Picks each value from the first source that has it, and remembers which."""

    def __init__(self, config: pytest.Config, table: Mapping[str, Any]) -> None:
        self.config = config
        self.table = table
        self.origins: dict[str, str] = {}

    def models(self, named: Mapping[str, Any]) -> tuple[str, ...]:
        """The models: as listed, else all named ones."""
        given = split_models(self.config.getoption(MODELS))
        if given:
            self.origins["models"] = COMMAND_LINE
            return given
        if os.environ.get("LLMCOMPARE_MODELS"):
            self.origins["models"] = "LLMCOMPARE_MODELS"
            return split_models([os.environ["LLMCOMPARE_MODELS"]])
        listed = self.table.get("default_models") or list(named)
        if listed:
            self.origins["models"] = FILE
        return tuple(listed)

    def update(self) -> Update:
        """The one update option that was given."""
        given = [mode for name, mode in UPDATES.items() if self.config.getoption(name)]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)} exclude each other: give one of them.")
        return given[0] if given else Update.NOTHING

    def value(self, name: str, default: object) -> object:
        """A setting by its name, from command line, environment or file."""
        option = self.config.getoption(f"llm_{name}")
        if option is not None:
            self.origins[name] = COMMAND_LINE
            return option
        variable = f"LLMCOMPARE_{name.upper()}"
        if os.environ.get(variable):
            self.origins[name] = variable
            return os.environ[variable]
        if name in self.table:
            self.origins[name] = FILE
            return self.table[name]
        return default

    def listed(self, name: str, default: str) -> str:
        """A setting that the file alone has."""
        if name not in self.table:
            return default
        self.origins[name] = FILE
        return str(self.table[name])

    def number(self, name: str) -> int:
        """A whole number by its name."""
        value = self.value(name, 0)
        try:
            return int(str(value))
        except ValueError:
            raise UsageError(f"{self.origins[name]}: {name} = {value!r}, expected a whole number.") from None

    def nats(self, name: str) -> float | None:
        """A number by its name; None where it is not given."""
        value = self.value(name, None)
        if value is None:
            return None
        try:
            return float(str(value))
        except ValueError:
            raise UsageError(f"{self.origins[name]}: {name} = {value!r}, expected a number of nats.") from None

    def percentage(self, name: str) -> float | None:
        """A percentage by its name, or None."""
        value = self.value(name, None)
        return None if value is None else percentage(value, name.replace("_", " "), self.origins[name])
