"""Private names of pytest that we need; `tests/unit/test_compat.py` has a test of each.

Where a version of pytest has another name, we do without: nothing here may fail a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

WIDTH = 80  # columns of a terminal that does not say how wide it is


def add_junit_case(
    config: pytest.Config, nodeid: str, file: str, fault: str, properties: Sequence[tuple[str, str]] = ()
) -> None:
    """Add a test case to the JUnit file that pytest writes at the end of the session; without a file do nothing.

    Only the file has it: pytest's own counts, `--lf` and `--maxfail` know nothing of it.

    Args:
        config: pytest's configuration.
        nodeid: Name of the case, with `::` between its class and its name. Brackets protect the rest of the name.
        file: What the case is about, as a path.
        fault: Why it failed; empty if it passed.
        properties: Facts of it.
    """
    try:
        from _pytest.junitxml import xml_key
    except ImportError:
        return
    log = config.stash.get(xml_key, None)
    if log is None:
        return
    for when in ("call", "teardown"):
        failed = bool(fault) and when == "call"
        log.pytest_runtest_logreport(
            pytest.TestReport(
                nodeid=nodeid,
                location=(file, None, nodeid),
                keywords={},
                outcome="failed" if failed else "passed",
                longrepr=fault if failed else None,
                when=when,
                user_properties=list(properties) if when == "teardown" else [],
            )
        )


def paint_red(reporter: Any) -> None:
    """Let pytest's last line, `1 passed in 2.31s`, be red although no test failed."""
    if hasattr(reporter, "_determine_main_color"):
        reporter._determine_main_color = lambda *_: "red"


def columns_of(reporter: Any) -> int:
    """Width of the screen, which pytest itself draws to."""
    writer = getattr(reporter, "_tw", None)
    return getattr(writer, "fullwidth", WIDTH)
