"""Runs of one prompt table over time, model by model and commit by commit. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

DRIFT_RATE = "verdict/drift_rate"
USUAL = (DRIFT_RATE, "exact_match", "expect/pass_rate", "latency/p50")
"""Metrics that are shown unless others are asked for; those that no run has are left out."""

BLOCKS = "▁▂▃▄▅▆▇█"
"""Heights of a sparkline."""

UNKNOWN = "·"
"""Mark in a sparkline for a run without a value."""


@dataclass(frozen=True)
class PastRun:
    """One MLflow run of a table and a model.

    Attributes:
        run_id: Its id in MLflow.
        folder, model: Folder of the tests, and name of the model.
        started: When it started, in seconds since 1970.
        commit: The git commit; empty if it was not in a repository.
        metrics: Metrics of the table, by their names in MLflow.
        finding: The model verdict: `changed`, `unchanged`, `cannot tell`, or empty.
        failed: Whether MLflow has it as failed.
    """

    run_id: str
    folder: str
    model: str
    started: float
    commit: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    finding: str = ""
    failed: bool = False


@dataclass(frozen=True)
class Commit:
    """The runs of one model at one commit.

    Attributes:
        run: The newest of them.
        runs: How many there are; each run without a commit is a commit of its own.
    """

    run: PastRun
    runs: int


@dataclass(frozen=True)
class ModelHistory:
    """One model of a table over time.

    Attributes:
        folder, model: Folder of the tests, and name of the model.
        commits: The oldest first, by their newest runs.
    """

    folder: str
    model: str
    commits: tuple[Commit, ...]

    def values(self, metric: str) -> list[float | None]:
        """The values of a metric, commit by commit."""
        return [commit.run.metrics.get(metric) for commit in self.commits]


def histories(runs: Iterable[PastRun]) -> list[ModelHistory]:
    """Sort runs by folder, model and commit."""
    by_model: dict[tuple[str, str], list[PastRun]] = {}
    for run in sorted(runs, key=lambda run: run.started):
        by_model.setdefault((run.folder, run.model), []).append(run)
    return [ModelHistory(*names, tuple(commits_of(own))) for names, own in sorted(by_model.items())]


def commits_of(runs: Sequence[PastRun]) -> list[Commit]:
    """Group the runs of one model by commit; runs and commits are in order, the oldest first."""
    by_commit: dict[str, list[PastRun]] = {}
    for run in runs:
        by_commit.setdefault(run.commit or f"run {run.run_id}", []).append(run)
    commits = [Commit(own[-1], len(own)) for own in by_commit.values()]
    return sorted(commits, key=lambda commit: commit.run.started)


def known_metrics(models: Sequence[ModelHistory], asked: Sequence[str]) -> list[str]:
    """The metrics to show: those asked for, or the usual ones that some run has."""
    held = metric_names(models)
    return list(asked) or [metric for metric in USUAL if metric in held]


def metric_names(models: Iterable[ModelHistory]) -> set[str]:
    """Names of all metrics that some run has."""
    return {name for model in models for commit in model.commits for name in commit.run.metrics}


def sparkline(values: Sequence[float | None]) -> str:
    """A curve of block characters, one per value; the lowest value is the lowest block, equal values are all low."""
    known = [value for value in values if value is not None]
    if not known:
        return UNKNOWN * len(values)
    low, high = min(known), max(known)
    span = high - low or 1.0

    def block(value: float) -> str:
        return BLOCKS[round((value - low) / span * (len(BLOCKS) - 1))]

    return "".join(UNKNOWN if value is None else block(value) for value in values)
