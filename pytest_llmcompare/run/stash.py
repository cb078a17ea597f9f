"""Where the state of a run is stored on pytest's config, items and reports; makes the session on first use.

It is imported in every pytest run, so it imports little.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import pytest

from pytest_llmcompare.errors import UsageError

if TYPE_CHECKING:
    from pytest_llmcompare.baselines.sources.protocol import BaselineReader, Outputs
    from pytest_llmcompare.comparison.model_comparison import ModelComparison
    from pytest_llmcompare.records import GroupKey
    from pytest_llmcompare.settings import Settings
    from pytest_llmcompare.suite.extensions import Progress

    from .assertion import Observation
    from .session import Session

SETTINGS: pytest.StashKey[Settings] = pytest.StashKey()
"""On the config: the settings of the run."""

SOURCE: pytest.StashKey[BaselineReader | UsageError] = pytest.StashKey()
"""On the config: the source of baselines once it is opened, or why it could not be opened."""

SESSION: pytest.StashKey[Session] = pytest.StashKey()
"""On the config: the session, from the first test on that asks for our fixtures."""

OBSERVATION: pytest.StashKey[Observation] = pytest.StashKey()
"""On an item: what its test has seen of its case."""

MODEL_COMPARISON: pytest.StashKey[ModelComparison] = pytest.StashKey()
"""On an item: the models that its test asked for, to compare them with each other."""

ENDED: pytest.StashKey[bool] = pytest.StashKey()
"""On an item: whether the body of the test has ended; reports before that are of subtests."""

REPORT = "llmcompare"
"""Attribute of a test report: the `CaseResult` of each sample; from a worker, a line of JSON for each."""

ATTEMPT = "llmcompare_attempt"
"""Attribute of a test report: the `Attempt`, which says how the test went; from a worker, as JSON."""

PINNED = "llmcompare_pinned"
"""What the controller sends to a worker: the version of the baselines that it has opened."""

DECLARED, GROUPS = "llmcompare_declared", "llmcompare_groups"
"""What a worker sends to the controller at its end: rows of the tables, group results."""

ALL_COLLECTED, SELECTED = "llmcompare_all_collected", "llmcompare_selected"
"""Also sent at its end: whether it could collect all test files, and whether any marked test was selected."""


def is_worker(config: pytest.Config) -> bool:
    """True if this process is one of pytest-xdist's workers."""
    return hasattr(config, "workerinput")


def session_of(config: pytest.Config) -> Session:
    """The session of this process, made on first use: most pytest runs of an environment do not use this plugin.

    Raises:
        UsageError: The source of baselines cannot be opened.
    """
    if SESSION not in config.stash:
        config.stash[SESSION] = _new_session(config)
    return config.stash[SESSION]


def source_of(config: pytest.Config) -> BaselineReader:
    """The source of the run's baselines, opened on first use.

    Raises:
        UsageError: It cannot be opened, or does not support what the options ask for.
    """
    if SOURCE not in config.stash:
        from .baseline_source import open_source, outputs_of
        from .hook_calls import Hooks

        def outputs(key: GroupKey) -> Outputs:
            return outputs_of(session_of(config), key)  # the source is opened before there is a session

        hooks = Hooks.of_run(config)
        pinned = getattr(config, "workerinput", {}).get(PINNED, "")
        try:
            source = open_source(config.stash[SETTINGS], config.rootpath, hooks, pinned, outputs)
        except UsageError as error:  # kept, so that it is not tried again for each test file
            config.stash[SOURCE] = error
        else:
            config.stash[SOURCE] = source
    source_or_error = config.stash[SOURCE]
    if isinstance(source_or_error, UsageError):
        raise source_or_error
    return source_or_error


def _new_session(config: pytest.Config) -> Session:
    from . import xdist
    from .command_line import CommandLine
    from .hook_calls import Hooks
    from .session import Session

    return Session(
        config.stash[SETTINGS],
        config.rootpath,
        _progress(config),
        xdist.compute_once if is_worker(config) else xdist.compute_here,
        Hooks.of_run(config),
        source=source_of(config),
        command_line=CommandLine(config, config.stash[SETTINGS]),
    )


def _progress(config: pytest.Config) -> Progress:
    """Where progress is shown: on the terminal, which workers and quiet runs do not have."""
    from pytest_llmcompare.reports.progress import Silent, TerminalProgress

    if is_worker(config) or config.get_verbosity() < 0:
        return Silent()
    capture = config.pluginmanager.getplugin("capturemanager")
    uncaptured = capture.global_and_fixture_disabled if capture is not None else contextlib.nullcontext
    return TerminalProgress(sys.__stderr__ or sys.stderr, uncaptured)
