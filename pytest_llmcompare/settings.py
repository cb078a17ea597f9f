"""Settings of a run, and where each was given. Pure; `options.py` reads the sources."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from .errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from .judgement import Verdict


FILES = "files"
"""The source of baselines that is taken by default: files beside the tests."""

AUTO, VERIFY, PLAIN = "auto", "verify", "plain"
"""Values of `decode`."""

ON, OFF, ONLY = "on", "off", "only"
"""Values of `cache`."""

SEMANTIC_MODEL = "sentence-transformers/all-MiniLM-L6-v2"


class Update(StrEnum):
    """Which baselines a run writes."""

    NOTHING = ""
    CHANGED = "--llm-update"
    MISSING = "--llm-update-missing"
    ALL = "--llm-update-all"

    def accepts(self, verdict: Verdict) -> bool:
        """True if today's output becomes the baseline of a case with this verdict, so that the case passes."""
        from .judgement import Verdict

        if self is Update.NOTHING or verdict is Verdict.ERROR:
            return False
        if self is Update.MISSING:
            return verdict is Verdict.MISSING
        return self is Update.ALL or verdict not in (Verdict.IDENTICAL, Verdict.NEAR_TIE)


@dataclass(frozen=True)
class Settings:
    """Settings of one run.

    Attributes:
        models: Model specs as text, in order.
        named: The `[tool.llmcompare.models.NAME]` tables.
        update: Which baselines are written.
        prune: `""`, or `ask` / `yes`: whether obsolete baselines are deleted, and whether many may go at once.
        baseline: Where baselines come from: `files`, `git:REF`, `runs:/ID`, `model:NAME`, or what a plugin knows.
        device: Where models run; empty chooses.
        dtype: Precision of the weights; empty takes the checkpoint's own.
        batch_size: Most prompts in one forward pass; 0 chooses.
        decode: `auto`, `verify` or `plain`: whether baselines are tried as drafts (local models) or scored (served
            ones) before the model generates, or never. Outputs are the same.
        cache: `on`, `off`, or `only`: whether answers of an unchanged model come from the answer cache, and whether no
            model may be asked.
        tolerance: Margin (nats) that still counts as a near tie; None takes the limit of numerical noise.
        shift: `warn`, or `fail` to let silent drift fail its test.
        semantic_model: Embedding model of `similarity="semantic"`: hub id, or folder relative to pytest's root.
        tracking_uri: MLflow tracking store; empty leaves MLflow's own rules.
        traces: Whether MLflow gets a trace per case with its verdict, for its GenAI pages.
        drift_budget: Percentage of a model's cases that may drift; None lets each drifted case fail its own test.
        reports: Files to write reports to, in HTML, Markdown or JSON by their endings; `github` stands for the summary
            of a step of a GitHub workflow.
        origins: For each setting that is not at its default, where its value came from.
    """

    models: tuple[str, ...] = ()
    named: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    update: Update = Update.NOTHING
    prune: str = ""
    baseline: str = FILES
    device: str = ""
    dtype: str = ""
    batch_size: int = 0
    decode: str = AUTO
    cache: str = ON
    tolerance: float | None = None
    shift: str = "warn"
    semantic_model: str = SEMANTIC_MODEL
    tracking_uri: str = ""
    traces: bool = False
    drift_budget: float | None = None
    reports: tuple[str, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)

    @property
    def models_are_asked_for(self) -> bool:
        """True if models were named for this run, not in the file; such a run fails if it compares nothing."""
        return bool(self.models) and self.origins.get("models") in FOR_THIS_RUN

    @property
    def needs_source(self) -> bool:
        """True if the source of baselines is opened at start-up, so that a wrong one ends the run before it starts.

        Not if only the file or the environment names it: then most runs may be of tests that compare nothing.
        """
        asked = self.origins.get("baseline") == COMMAND_LINE or self.models_are_asked_for
        writes = self.update is not Update.NOTHING or bool(self.prune)
        return self.baseline != FILES and (asked or writes or bool(self.reports))

    def passes(self, verdict: Verdict) -> bool:
        """True if a comparison with this verdict passes."""
        from .judgement import Verdict

        if verdict is Verdict.SHIFTED:
            return self.shift != "fail"
        return verdict in (Verdict.IDENTICAL, Verdict.NEAR_TIE)

    def lets_stand(self, verdict: Verdict) -> bool:
        """True if a comparison with this verdict counts as equal: it passes, is budgeted, or will be written."""
        from .judgement import Verdict

        if verdict is Verdict.DRIFTED and self.drift_budget is not None:
            return True  # how many may drift is decided at the end of the run
        return self.passes(verdict) or self.update.accepts(verdict)

    def tolerance_over(self, own: float | None) -> float | None:
        """The tolerance of a table. Precedence: command line or environment, marker (`own`), file."""
        for_this_run = self.origins.get("tolerance") != FILE
        return self.tolerance if own is None or (self.tolerance is not None and for_this_run) else own


COMMAND_LINE, FILE = "command line", "pyproject.toml"
FOR_THIS_RUN = (COMMAND_LINE, "LLMCOMPARE_MODELS")

FILE_KEYS = (
    "default_models",
    "models",
    "baseline",
    "device",
    "dtype",
    "batch_size",
    "decode",
    "cache",
    "tolerance",
    "shift",
    "drift_budget",
    "semantic_model",
    "tracking_uri",
    "traces",
)
"""Keys of `[tool.llmcompare]`; `models` holds the named models, `default_models` lists what a plain run compares."""

PREFIX = "LLMCOMPARE_"
VARIABLES = tuple(key.upper() for key in FILE_KEYS if key not in ("default_models", "semantic_model", "traces"))
"""Our environment variables, without the prefix."""

DTYPES = ("auto", "float32", "bfloat16", "float16")
DECODES = (AUTO, VERIFY, PLAIN)
CACHES = (ON, OFF, ONLY)
SHIFTS = ("warn", "fail")
KINDS: Mapping[str, tuple[type | tuple[type, ...], str]] = {
    "default_models": (list, "a list of model specs"),
    "models": (dict, "tables [tool.llmcompare.models.NAME]; to list what a plain run compares use default_models"),
    "baseline": (str, "files, git:REF, runs:/ID or model:NAME"),
    "device": (str, "text such as 'cpu' or 'cuda'"),
    "dtype": (str, f"one of {', '.join(DTYPES)}"),
    "batch_size": (int, "a whole number"),
    "decode": (str, f"one of {', '.join(DECODES)}"),
    "cache": (str, f"one of {', '.join(CACHES)}"),
    "tolerance": ((int, float), "a number of nats"),
    "shift": (str, f"one of {', '.join(SHIFTS)}"),
    "semantic_model": (str, "a hub id or a folder"),
    "tracking_uri": (str, "text"),
    "traces": (bool, "true or false"),
    "drift_budget": ((int, float, str), "a percentage such as 5 or '5%'"),
}
"""Types of the values in `[tool.llmcompare]`, and what messages call them."""

REPORTS = (".html", ".md", ".json")
"""Endings of reports, which say what they are written in."""

GITHUB = "github"
"""In the place of a path: the summary that GitHub shows of a step of a workflow."""

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
"""The environment variable that names the file of that summary."""


def percentage(value: object, what: str, origin: str) -> float:
    """A percentage, with or without its sign.

    Raises:
        UsageError: It is not a number from 0 to 100.
    """
    try:
        number = float(str(value).strip().removesuffix("%"))
    except ValueError:
        number = -1.0
    if not 0 <= number <= 100:  # not a number is not in between, either
        raise UsageError(f"{what} {value!r} ({origin}) must be a percentage from 0 to 100, such as 5 or 5%.")
    return number


def check_file(table: Mapping[str, Any], where: str) -> None:
    """Check the keys and types of a `[tool.llmcompare]` table.

    Raises:
        UsageError: An unknown key, or a value of the wrong type.
    """
    for key, value in table.items():
        if key not in KINDS:
            raise UsageError(f"{where}: unknown key {key!r}.{did_you_mean(key, FILE_KEYS)}")
        kind, wanted = KINDS[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise UsageError(f"{where}: {key} = {value!r}, expected {wanted}.")
    for name, model in table.get("models", {}).items():
        if not isinstance(model, dict):
            raise UsageError(f"{where}: models.{name} = {model!r}, expected a table with at least `source = ...`.")
    for text in table.get("default_models", []):
        if not isinstance(text, str):
            raise UsageError(f"{where}: default_models holds {text!r}, expected model specs as text.")


def check_variables(names: Iterable[str]) -> None:
    """Check for misspelt names of our environment variables; names unlike ours may be those of another program.

    Raises:
        UsageError: A variable is not ours, but nearly has the name of one.
    """
    for name in names:
        own = name.removeprefix(PREFIX)
        if own == name or own in VARIABLES:
            continue
        if near := difflib.get_close_matches(own, VARIABLES, n=1, cutoff=0.75):
            raise UsageError(f"there is no environment variable {name}. Did you mean '{PREFIX}{near[0]}'?")


def check_values(settings: Settings) -> None:
    """Check what `argparse` and TOML cannot.

    Raises:
        UsageError: A value outside its range.
    """
    for name, known in (("dtype", ("", *DTYPES)), ("decode", DECODES), ("cache", CACHES), ("shift", SHIFTS)):
        value = getattr(settings, name)
        if value not in known:
            origin = settings.origins.get(name, name)
            raise UsageError(f"{name} {value!r} ({origin}) is not known.{did_you_mean(value, filter(None, known))}")
    if settings.tolerance is not None and not 0 <= settings.tolerance < float("inf"):
        origin = settings.origins.get("tolerance", "tolerance")
        raise UsageError(f"tolerance {settings.tolerance:g} ({origin}) must be 0 or more nats, and finite.")
    for path in settings.reports:
        check_report(path)
    if settings.batch_size < 0:
        origin = settings.origins.get("batch_size", "batch_size")
        raise UsageError(f"batch size {settings.batch_size} ({origin}) must be 1 or more, or 0 to have it chosen.")


def check_step_summary(settings: Settings, environment: Mapping[str, str]) -> None:
    """Check that a report for the step summary of a GitHub workflow can be written.

    Raises:
        UsageError: It is asked for, and this is not a step of a workflow.
    """
    if GITHUB in settings.reports and not environment.get(STEP_SUMMARY):
        raise UsageError(
            f"--llm-report={GITHUB}: {STEP_SUMMARY} is not set, so this is not a step of a GitHub workflow.\n"
            "Name a file: --llm-report=report.md"
        )


def check_report(path: str) -> None:
    """Check the target of a report.

    Raises:
        UsageError: Its ending does not say what to write.
    """
    ending = PurePath(path).suffix
    if path == GITHUB or ending.lower() in REPORTS:
        return
    raise UsageError(
        f"report {path!r} ({COMMAND_LINE}) must end in .html, .md or .json, or be {GITHUB!r} for the step summary of a "
        f"GitHub workflow.{did_you_mean(ending, REPORTS) if ending else ''}"
    )
