"""Questions about a test, class or module: its markers, parameters and fixtures, and where it is defined.

It is imported in every pytest run, so it imports little.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_llmcompare.compat import fixture_definitions

MARKER = "llm_prompts"
MARKER_HELP = (
    f"{MARKER}(table, *, name, input, target, examples, gen_config, variants, models, seed, samples, tolerance, "
    "similarity, metrics, thresholds, expect, model_type, experiment): run the test for each row of a prompt table and "
    "each model (pytest-llmcompare)"
)
"""For `pytest --markers`."""

FIXTURES = "pytest_llmcompare.fixtures"
"""The module of our own fixtures."""


def place(node: pytest.Item | pytest.Collector) -> str:
    """Where a test or class is defined, as editors open it: `test_geo.py:4`."""
    if isinstance(node, pytest.Item):
        path, line, _ = node.location
        return f"{path}:{(line or 0) + 1}"
    path = node.nodeid.partition("::")[0]
    line = node.reportinfo()[1] if isinstance(node, pytest.Class) else None
    return path if line is None else f"{path}:{line + 1}"


def markers(node: pytest.Item | pytest.Collector) -> list[pytest.Mark]:
    """The markers on a test, class or module itself."""
    return [mark for mark in node.own_markers if mark.name == MARKER]


def chain(node: pytest.Item | pytest.Collector) -> list[pytest.Collector]:
    """The collectors from the session down to a class or module, itself included; for a test, those above it."""
    return [above for above in node.listchain() if isinstance(above, pytest.Collector)]


def asked_by_fixtures(item: pytest.Item, name: str) -> bool:
    """True if one of the user's fixtures asks for one of this plugin's."""
    every = [fixture for definitions in fixture_definitions(item).values() for fixture in definitions]
    return any(name in fixture.argnames for fixture in every if fixture.func.__module__ != FIXTURES)


def replaced_by(item: pytest.Item, name: str) -> list[Any]:
    """The user's fixture that overrides ours of the same name: a list of one, or empty."""
    in_force = tuple(fixture_definitions(item).get(name, ()))[-1:]
    return [fixture for fixture in in_force if fixture.func.__module__ != FIXTURES]


def callspec(item: pytest.Item, what: str) -> Any:
    """`params` or `marks` of a parametrized test; empty for others."""
    return getattr(getattr(item, "callspec", None), what, ())


def code_place(item: pytest.Item, fixture: Any) -> str:
    """Where a fixture is defined, relative to pytest's root if it lies below."""
    function = inspect.unwrap(fixture.func)
    code = getattr(function, "__code__", None)
    if code is None:
        return str(fixture.func)
    path, root = Path(code.co_filename), item.config.rootpath
    shown = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
    return f"{shown}:{code.co_firstlineno}"


def is_unittest(item: pytest.Item) -> bool:
    """True if a test is a method of a `unittest.TestCase`."""
    unittest = sys.modules.get("unittest")
    cls = getattr(item, "cls", None)
    return unittest is not None and isinstance(cls, type) and issubclass(cls, unittest.TestCase)
