"""Tests run on every system: what only some of them have is named in `platforms`, and never imported at once."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
POSIX_CALLS = re.compile(
    r"\b(os\.(fork|mkfifo|killpg|openpty)\(|signal\.SIG(KILL|HUP|ALRM)\b|import pty\b|setrlimit\()"
)
POSIX_MODULES = {"fcntl", "pty", "pwd", "resource", "termios", "tty"}
EXCUSES = re.compile(r"\bneeds_\w+|\bskipif\(|\bimportorskip\(")


def modules() -> Iterator[tuple[Path, str]]:
    """Each module of the tests with its text."""
    for path in sorted(TESTS.rglob("*.py")):
        if path != Path(__file__):
            yield path, path.read_text(encoding="utf-8")


def test_what_some_systems_lack_is_skipped_there() -> None:
    """A test module that uses it says what it needs, so that it is skipped with a reason."""
    uses = {path for path, text in modules() if path.name.startswith("test_") and POSIX_CALLS.search(text)}
    assert uses
    assert [path for path, text in modules() if path in uses and not EXCUSES.search(text)] == []


def test_modules_of_one_system_are_imported_where_they_are_used() -> None:
    """At the top of a module they would be an error at collection elsewhere."""
    for path, text in modules():
        for node in ast.parse(text).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert POSIX_MODULES.isdisjoint(names), path
