"""How a run leaves its process: quickly, and with everything done that others have asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SUITE = """
import pytest


@pytest.mark.llm_prompts(["Q: Is it cold?\\nA:"], models=["echo:"])
def test_answer(llm_output, llm_baseline):
    assert llm_output == llm_baseline
"""

OTHERS = """
import atexit
import gc
from pathlib import Path

FOLDER = Path.cwd()


class Log:
    def __init__(self):
        self.itself = self
        self.file = open("log.txt", "w")
        self.file.write("written, not flushed")


LOG = Log()


@atexit.register
def at_end():
    (FOLDER / "atexit.txt").write_text(str(gc.get_freeze_count()))


def pytest_unconfigure():
    (FOLDER / "unconfigured.txt").write_text(str(gc.get_freeze_count()))
"""


def test_the_last_collections_are_left_out_and_nothing_else(tmp_path: Path) -> None:
    """Exit code, JUnit, hooks, `atexit` functions, and files that only a cycle holds open are as without us."""
    (tmp_path / "test_it.py").write_text(SUITE)
    (tmp_path / "conftest.py").write_text(OTHERS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--junit-xml=junit.xml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 1, result.stdout + result.stderr  # there is no baseline
    assert result.stderr == ""
    assert 'failures="1"' in (tmp_path / "junit.xml").read_text()
    assert (tmp_path / "log.txt").read_text() == "written, not flushed"
    assert (tmp_path / "unconfigured.txt").read_text() == "0"
    assert int((tmp_path / "atexit.txt").read_text()) > 100_000
