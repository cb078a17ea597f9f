"""What we keep in pytest's stash, by key. Light: it is imported in every pytest run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_llmcompare.baselines.sources.protocol import BaselineReader
    from pytest_llmcompare.comparison.model_comparison import ModelComparison
    from pytest_llmcompare.errors import UsageError
    from pytest_llmcompare.settings import Settings

    from .assertion import Observation

SETTINGS: pytest.StashKey[Settings] = pytest.StashKey()
"""On the config: the settings of the run."""

SOURCE: pytest.StashKey[BaselineReader | UsageError] = pytest.StashKey()
"""On the config: where baselines come from, once it is opened, or why it could not be."""

TIMER: pytest.StashKey[Any] = pytest.StashKey()
"""On an item: the settings of pytest-timeout for it, where its timer runs."""

OBSERVATION: pytest.StashKey[Observation] = pytest.StashKey()
"""On an item: what its test has seen of its case."""

CONTEST: pytest.StashKey[ModelComparison] = pytest.StashKey()
"""On an item: the models that its test asked for, to compare them with each other."""

ENDED: pytest.StashKey[bool] = pytest.StashKey()
"""On an item: whether its body has ended; reports before that are of subtests."""

REPORT = "llmcompare"
"""Attribute of a test report: the result of its case, as JSON text."""

ATTEMPT = "llmcompare_attempt"
"""Attribute of a test report: how the test went, as JSON text."""

PINNED = "llmcompare_pinned"
"""What the main process hands to a worker: what the source of baselines stands for in this run."""

DECLARED, GROUPS = "llmcompare_declared", "llmcompare_groups"
"""What a worker hands to the controller at its end: rows of the tables, groups."""

WHOLE, SELECTED = "llmcompare_whole", "llmcompare_selected"
"""Likewise: whether it could collect all files, and whether any test of ours was selected."""
