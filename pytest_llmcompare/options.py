"""Read the settings. Precedence: command line, environment, `[tool.llmcompare]` in `pyproject.toml`."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import pytest

from .errors import UsageError
from .models.pyproject_file import read_config
from .models.uris import split_specs
from .settings import (
    AUTO,
    COMMAND_LINE,
    FILE,
    FILES,
    ON,
    PREFIX,
    SEMANTIC_MODEL,
    Settings,
    Update,
    check_file,
    check_step_summary,
    check_values,
    check_variables,
    percentage,
)

T = TypeVar("T")

MODELS = "llm_models"
UPDATES = {"llm_update": Update.CHANGED, "llm_update_missing": Update.MISSING, "llm_update_all": Update.ALL}
PRUNE = "llm_prune"
REPORT = "llm_report"
OWN_OPTIONS = "--llm-"


class Option(NamedTuple):
    """One option of the command line; `facts` are further arguments of `addoption`."""

    name: str
    help: str
    facts: Mapping[str, Any]


def taking(metavar: str, **further: Any) -> dict[str, Any]:
    """Arguments of `addoption` for an option that takes a value."""
    return {"metavar": metavar, **further}


FLAG: Mapping[str, Any] = {"action": "store_true"}

OPTIONS = (
    Option(
        "--llm-models",
        "models to compare, comma-separated, repeatable: [NAME=]SOURCE[@REVISION], SOURCE a hub id, a folder, "
        "an MLflow URI, a NAME of [tool.llmcompare.models.NAME], openai:MODEL@URL (a served model), KIND:ANYTHING of a "
        "plugin, or echo: (answers made from the prompt, to try a suite; echo:?drift=0.1&delay=0.01) "
        "(env LLMCOMPARE_MODELS; file default_models)",
        taking("A,B", action="append", default=[], dest=MODELS),
    ),
    Option(
        "--llm-update",
        "write today's outputs as baselines where they drifted, shifted, are missing or stale; deletes nothing",
        FLAG,
    ),
    Option("--llm-update-missing", "write baselines only where there is none yet", FLAG),
    Option(
        "--llm-update-all",
        "like --llm-update, also for near ties, and record log-probs and environment of unchanged baselines anew",
        FLAG,
    ),
    Option(
        "--llm-prune",
        "delete baselines of rows that the tables no longer have",
        {"action": "store_const", "const": "ask", "default": "", "dest": PRUNE},
    ),
    # A separate flag: with an optional value `pytest --llm-prune tests` would take `tests` for it.
    Option(
        "--llm-prune=yes",
        "the same, even if that is more than 20%% of a file",
        {"action": "store_const", "const": "yes", "dest": PRUNE},
    ),
    Option(
        "--llm-baseline",
        "where baselines come from: files (the default), git:REF (as in that commit), runs:/ID (an MLflow run), "
        "model:NAME (another model of this run); all but files are only read (env LLMCOMPARE_BASELINE)",
        taking("SOURCE"),
    ),
    Option(
        "--llm-device",
        "cpu, cuda, cuda:1, auto (default: a GPU if there is one; env LLMCOMPARE_DEVICE)",
        taking("DEVICE"),
    ),
    Option(
        "--llm-dtype",
        "auto, float32, bfloat16, float16 (default: the checkpoint's own; env LLMCOMPARE_DTYPE)",
        taking("DTYPE"),
    ),
    Option("--llm-batch-size", "most prompts in a forward pass (env LLMCOMPARE_BATCH_SIZE)", taking("N", type=int)),
    Option(
        "--llm-decode",
        "auto (the default; local models confirm baselines in one pass, served ones generate, then score those that "
        "differ), verify (served ones score first) or plain (neither); outputs are the same (env LLMCOMPARE_DECODE)",
        taking("HOW"),
    ),
    Option(
        "--llm-cache",
        "on (the default): answers of an unchanged model come from the cache in .llmcompare/answers; off: models are "
        "always asked; only: never, a case that is not in the cache is an error (env LLMCOMPARE_CACHE)",
        taking("HOW"),
    ),
    Option(
        "--llm-tolerance",
        "largest margin, the log-prob difference of two tokens, that counts as a near tie (default: the limit of "
        "numerical noise; env LLMCOMPARE_TOLERANCE)",
        taking("NATS"),
    ),
    Option(
        "--llm-shift",
        "warn (the default) or fail if a model, or the log-probs of an output, changed (env LLMCOMPARE_SHIFT)",
        taking("HOW"),
    ),
    Option(
        "--llm-drift-budget",
        "percentage of each model's cases that may drift: drifted cases do not fail their tests, too many fail "
        "the run (env LLMCOMPARE_DRIFT_BUDGET)",
        taking("PCT"),
    ),
    Option(
        "--llm-report",
        "write a report of the run to a file that ends in .html, .md or .json; repeatable; github appends it to "
        "the step summary of a GitHub workflow",
        taking("PATH", action="append", default=[], dest=REPORT),
    ),
    Option(
        "--llm-tracking-uri",
        "MLflow tracking store (default: MLFLOW_TRACKING_URI, or MLflow's own; env LLMCOMPARE_TRACKING_URI)",
        taking("URI"),
    ),
)
"""In the order of `--help`."""


def add_options(parser: pytest.Parser) -> None:
    """Declare the command line."""
    group = parser.getgroup("llmcompare", "comparison of language models (pytest-llmcompare)")
    for option in OPTIONS:
        group.addoption(option.name, help=option.help, **option.facts)


def given_arguments(pluginmanager: pytest.PytestPluginManager) -> list[str]:
    """Arguments of configuration file, `PYTEST_ADDOPTS` and command line, before pytest parses them."""
    config = pluginmanager.get_plugin("pytestconfig")
    if config is None:
        return []
    try:
        configured: list[str] = config.getini("addopts")
    except (AttributeError, KeyError, ValueError):  # with `-p` plugins are loaded before the file is read
        configured = []
    variable = shlex.split(os.environ.get("PYTEST_ADDOPTS", ""))
    return [*configured, *variable, *map(str, config.invocation_params.args)]


@contextmanager
def usage_errors() -> Iterator[None]:
    """Raise our usage errors as pytest's, which ends the run with the message and no traceback."""
    try:
        yield
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


def read_settings(config: pytest.Config) -> Settings:
    """Read every setting from its sources.

    Raises:
        UsageError: A wrong option, environment variable or file entry.
    """
    check_variables(os.environ)
    path = config.rootpath / "pyproject.toml"
    table = read_config(path)
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
        batch_size=picked.number("batch_size", int, "a whole number") or 0,
        decode=str(picked.value("decode", AUTO)),
        cache=str(picked.value("cache", ON)),
        tolerance=picked.number("tolerance", float, "a number of nats"),
        shift=str(picked.value("shift", "warn")),
        semantic_model=picked.listed("semantic_model", SEMANTIC_MODEL),
        tracking_uri=str(picked.value("tracking_uri", "")),
        traces=picked.listed("traces", False),
        drift_budget=picked.percentage("drift_budget"),
        reports=tuple(dict.fromkeys(config.getoption(REPORT))),
        origins=picked.origins,
    )
    check_values(settings)
    check_step_summary(settings, os.environ)
    if settings.models or named:
        from .models.spec import parse_specs

        others = bool(config.hook.pytest_llmcompare_load_model.get_hookimpls())
        # Faulty ones end the run here, not in each test file.
        parse_specs(settings.models, named, config.rootpath, others=others)
    return settings


class Picked:
    """Takes each value from the first source that has it, and records the source in `origins`."""

    def __init__(self, config: pytest.Config, table: Mapping[str, Any]) -> None:
        self.config = config
        self.table = table
        self.origins: dict[str, str] = {}

    def models(self, named: Mapping[str, Any]) -> tuple[str, ...]:
        """The models: as listed, otherwise all that have a table of their own."""
        given = split_specs(self.config.getoption(MODELS))
        if given:
            self.origins["models"] = COMMAND_LINE
            return given
        if os.environ.get("LLMCOMPARE_MODELS"):
            self.origins["models"] = "LLMCOMPARE_MODELS"
            return split_specs([os.environ["LLMCOMPARE_MODELS"]])
        listed = self.table.get("default_models") or list(named)
        if listed:
            self.origins["models"] = FILE
        return tuple(listed)

    def update(self) -> Update:
        """The update option; at most one may be given."""
        given = [mode for name, mode in UPDATES.items() if self.config.getoption(name)]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)} exclude each other: give one of them.")
        if not given:
            return Update.NOTHING
        self.origins["update"] = self.given_by(given[0].value)
        return given[0]

    def given_by(self, option: str) -> str:
        """Where an option without a value was given: command line, `PYTEST_ADDOPTS`, `addopts` or elsewhere."""
        if option in map(str, self.config.invocation_params.args):
            return COMMAND_LINE
        if option in os.environ.get("PYTEST_ADDOPTS", "").split():
            return "PYTEST_ADDOPTS"
        if option in self.config.getini("addopts"):
            return f"addopts in {self.config.inipath.name}" if self.config.inipath else "addopts"
        return "an argument file or a plugin"

    def value(self, name: str, default: object) -> object:
        """A setting by its name, from command line, environment or file."""
        option = self.config.getoption(f"llm_{name}")
        if option is not None:
            self.origins[name] = COMMAND_LINE
            return option
        variable = f"{PREFIX}{name.upper()}"
        if os.environ.get(variable):
            self.origins[name] = variable
            return os.environ[variable]
        if name in self.table:
            self.origins[name] = FILE
            return self.table[name]
        return default

    def listed(self, name: str, default: T) -> T:
        """A setting that only the file can have, of a type that was checked."""
        if name not in self.table:
            return default
        self.origins[name] = FILE
        value: T = self.table[name]
        return value

    def number(self, name: str, read: Callable[[str], T], expected: str) -> T | None:
        """A setting that is a number; None if it is not given."""
        value = self.value(name, None)
        if value is None:
            return None
        try:
            return read(str(value))
        except ValueError:
            raise UsageError(f"{self.origins[name]}: {name} = {value!r}, expected {expected}.") from None

    def percentage(self, name: str) -> float | None:
        """A setting that is a percentage; None if it is not given."""
        value = self.value(name, None)
        return None if value is None else percentage(value, name.replace("_", " "), self.origins[name])
