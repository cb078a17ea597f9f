"""Time limits of pytest-timeout, extended for tests that evaluate many cases. Imports nothing but pytest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

TIMER: pytest.StashKey[Any] = pytest.StashKey()
"""On an item: the settings that pytest-timeout uses for it, if its timer runs."""

LOADING = 600.0
"""Seconds that loading models may take, besides the time limit of the tests."""


@contextmanager
def time_for(item: pytest.Item, cases: int) -> Iterator[None]:
    """Extend pytest-timeout's limit for a test that evaluates many cases at once.

    The first test of a table evaluates all of its cases, which would count as the time of this one test.

    Args:
        item: The test.
        cases: How many cases it evaluates; each adds the limit of one test.
    """
    settings = item.stash.get(TIMER, None)
    if settings is None or not cases:
        yield
        return
    hook = item.config.hook
    hook.pytest_timeout_cancel_timer(item=item)
    hook.pytest_timeout_set_timer(item=item, settings=settings._replace(timeout=settings.timeout * cases + LOADING))
    try:
        yield
    finally:
        hook.pytest_timeout_cancel_timer(item=item)
    # Not after an error: only its report is left, and that is not to be timed out again.
    hook.pytest_timeout_set_timer(item=item, settings=settings)
