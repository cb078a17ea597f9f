"""Decisions when the disk is full or read-only, or when somebody else decides at the same time."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.disks import full_disk
from tests.platforms import needs_file_limit, needs_proc
from tests.unit.baselines.samples import baseline

from .projects import Project

AGAIN = "The baselines are unchanged. Fix that, and run the update again."
LONG = " Red." * 400  # more than there is room for


@needs_file_limit
def test_accepting_on_a_full_disk(project: Project) -> None:
    """No baseline changes, the output stays pending, the message names the file."""
    project.record(baseline("sky"))
    project.pend(project.entry(baseline("sky", LONG)))
    before = project.stored()
    with full_disk(1000):
        result = project.run("accept", "--all")
    path = project.root / "tests/__baselines__/trivia/tiny.baseline"
    assert result == (1, "0 accepted.\n", f"{path}: cannot be written: File too large.\n{AGAIN}\n")
    assert project.stored() == before
    assert project.pending() == {"trivia/tiny/sky"}
    assert project.run("accept", "--all").code == 0
    assert project.texts() == {"sky": LONG}


@needs_file_limit
@pytest.mark.parametrize(
    ("command", "out", "before"),
    [("accept", "1 accepted.\n", "The baselines are written, but "), ("reject", "", "llmcompare: ")],
)
def test_a_pending_file_that_cannot_grow(project: Project, command: str, out: str, before: str) -> None:
    """Baselines that fit are written; what could not be removed is reported, and the next try removes it."""
    project.record(baseline("ice"))
    project.pend(*(project.entry(baseline("ice", f" {at}")) for at in range(5)))  # a long file of one entry
    with full_disk(project.file.path.stat().st_size):
        result = project.run(command, "--all")
    what = f"{before}.llmcompare/pending.jsonl: cannot be written: File too large.\n"
    assert (result.code, result.out.endswith(out), result.err) == (1, True, what)
    assert project.pending() == {"trivia/tiny/ice"}
    assert project.run(command, "--all").code == 0
    assert project.pending() == set()
    assert project.texts() == {"ice": " 4" if command == "accept" else " Blue."}


@needs_proc
def test_accepting_where_nothing_can_be_written(project: Project) -> None:
    """Even root cannot make files in /proc, which stands for a checkout that is read only."""
    project.pend(project.entry(baseline("sky")))
    (project.root / "tests/__baselines__").symlink_to("/proc")
    result = project.run("accept", "--all")
    assert (result.code, result.out) == (1, "0 accepted.\n")
    assert "/proc" in result.err or "tests/__baselines__" in result.err
    assert "cannot be written: No such file or directory." in result.err
    assert AGAIN in result.err
    assert project.pending() == {"trivia/tiny/sky"}


def test_two_who_accept_at_the_same_time(project: Project) -> None:
    """Each case is accepted once, by the first of them; nothing is lost and neither fails."""
    names = [f"case_{at}" for at in range(20)]
    project.drift(*names)
    halves = ("trivia/tiny/case_*", "trivia/tiny/case_?")
    command = [sys.executable, "-m", "pytest_llmcompare.cli.main", "accept"]
    both = [subprocess.Popen([*command, half], stdout=subprocess.PIPE, stderr=subprocess.PIPE) for half in halves]
    result = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] in ([0, 0], [0, 1]), result  # 1: all were gone when it came to look
    assert project.texts() == dict.fromkeys(names, " Red.")
    assert project.pending() == set()
