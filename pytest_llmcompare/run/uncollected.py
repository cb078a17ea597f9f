"""Find functions and classes that have our marker but are not collected by pytest, so that they compare nothing."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from .items import MARKER


def uncollected(collector: pytest.Collector, collected: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Functions and classes of a module or class that have a marker and are not collected.

    A function whose marker is also on a collected test was wrapped or renamed, so it is left out. So is a class whose
    name says that it is a base class.

    Args:
        collector: The module or class.
        collected: What pytest has collected of it.

    Yields:
        Name and object of each.
    """
    if not isinstance(collector, (pytest.Module, pytest.Class)) or type(collector).__module__ == "_pytest.doctest":
        return
    if has_constructor(collector):
        if any(map(raw_marks, (collector.obj, *vars(collector.obj).values()))):
            yield collector.name, collector.obj
        return
    collected = list(collected)
    used = {id(mark) for node in collected if isinstance(node, pytest.Function) for mark in node.own_markers}
    home = getattr(collector.obj, "__module__", None) or getattr(collector.obj, "__name__", None)
    for name, value in list(vars(collector.obj).items()):
        what = getattr(value, "__func__", value) if isinstance(value, (staticmethod, classmethod)) else value
        if getattr(what, "__module__", None) != home or getattr(what, "__test__", True) is not True:
            continue
        if inspect.isfunction(what):
            marks = raw_marks(what)
            if marks and not any(id(mark) in used for mark in marks):
                yield name, what
        elif isinstance(what, type) and not any(getattr(node, "obj", None) is what for node in collected):
            tests = [value for key, value in vars(what).items() if key.startswith("test")]
            is_base = name.startswith("_") or any(word in name for word in ("Base", "Mixin", "Abstract", "Common"))
            if tests and not is_base and (raw_marks(what) or any(map(raw_marks, tests))):
                yield name, what


def has_constructor(node: pytest.Collector) -> bool:
    """True if a class has a constructor; pytest collects no tests from such a class."""
    cls: Any = getattr(node, "obj", None) if isinstance(node, pytest.Class) else object
    return cls is not None and (cls.__init__ is not object.__init__ or cls.__new__ is not object.__new__)


def raw_marks(what: Any) -> list[pytest.Mark]:
    """Our markers on a function or class that is not collected."""
    marks = vars(what).get("pytestmark", ()) if hasattr(what, "__dict__") else ()
    each: list[Any] = [*marks] if isinstance(marks, (list, tuple)) else [marks]
    return [
        mark
        for decorator in each
        for mark in [getattr(decorator, "mark", decorator)]
        if getattr(mark, "name", "") == MARKER
    ]


def passed_over(collector: pytest.Collector, name: str, what: Any) -> str:
    """The fault of a function or class that has a marker and is not collected."""
    path = collector.nodeid.partition("::")[0]
    if isinstance(what, type):
        why, advice = "its name does not begin with Test", f"Rename it to Test{name}"
        if name.startswith("Test"):
            why, advice = "pytest collects no class with __init__", "Remove __init__"
        line = _line_of(what)
    else:
        why, advice = "its name does not begin with test", f"Rename it to test_{name}"
        line = f":{what.__code__.co_firstlineno}"
    return (
        f"{path}{line}: {name} is marked with llm_prompts, but pytest does not collect it ({why}), so nothing would be "
        f"compared. {advice}, or set `__test__ = False` on it if it is not a test."
    )


def _line_of(cls: type) -> str:
    """The line of a class, with a colon before it; empty if its source cannot be read."""
    try:
        return f":{inspect.getsourcelines(cls)[1]}"
    except (OSError, TypeError):
        return ""
