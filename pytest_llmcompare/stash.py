"""What we keep in pytest's stash, by key. Light: it is imported in every pytest run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .comparison import Observation
    from .run import Run
    from .settings import Settings

SETTINGS: pytest.StashKey[Settings] = pytest.StashKey()
"""On the config: the settings of the run."""

RUN: pytest.StashKey[Run] = pytest.StashKey()
"""On the config: the state of the run, from the first test that asks for our fixtures on."""

OBSERVATION: pytest.StashKey[Observation] = pytest.StashKey()
"""On an item: what its test has seen of its case."""

REPORT = "llmcompare"
"""Attribute of a test report: the result of its case, as JSON text."""

DECLARED, GROUPS, WHOLE = "llmcompare_declared", "llmcompare_groups", "llmcompare_whole"
"""What a worker hands to the controller at its end: rows of the tables, groups, whether it could collect all."""


def run_of(config: pytest.Config) -> Run:
    """The state of the run, made on first use: most pytest runs of an environment have nothing to do with us."""
    if RUN not in config.stash:
        from .run import Run

        config.stash[RUN] = Run(config, config.stash[SETTINGS])
    return config.stash[RUN]
