"""kill -9 before every call that changes files: each case is the old one or the new one."""

from __future__ import annotations

import io
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from pytest_llmcompare.baselines import store
from pytest_llmcompare.baselines.pending import PendingFile
from tests.cli.projects import Project

from .samples import GROUP, baseline, contents_of, many, with_text

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")

OLD = many(20)
NEW = [*(with_text(one, " New.") for one in OLD[:10]), baseline("added")]


CHANGING = {"open", "write", "fsync", "replace", "unlink", "mkdir", "rmdir", "chmod"}


def may_change_files(called: Any) -> bool:
    """Whether a built-in function is one after or before which the files are others."""
    of_system = getattr(called, "__module__", "") in ("posix", "io", "_io")
    return called.__name__ in CHANGING and (of_system or isinstance(getattr(called, "__self__", None), io.FileIO))


def killed(number: int, act: Callable[[], object]) -> bool:
    """Do something in a forked process that is killed at such an event; whether it came so far."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    left = [number]

    def count(_frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call" and may_change_files(argument):
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

    code = 1
    try:
        sys.setprofile(count)
        act()
        code = 0
    finally:
        sys.setprofile(None)
        os._exit(code)


def at_every_event(root: Path, act: Callable[[], object], check: Callable[[], None]) -> int:
    """Kill at the first event, the second and so on, each time beginning anew; how many there are."""
    saved = root.with_name("saved")
    shutil.copytree(root, saved)
    number = 0
    while killed(number := number + 1, act):
        check()
        shutil.rmtree(root)
        shutil.copytree(saved, root)
    assert contents_of(root) != contents_of(saved), "the last one went through"
    return number


def test_an_update(tmp_path: Path) -> None:
    """All cases old, or all as the update wants them; then the same update goes through and leaves no draft."""
    root = tmp_path / "project"
    store.update(root, GROUP, OLD)
    old = {one.row: one.generation.text for one in OLD}
    new = {**old, **{one.row: one.generation.text for one in NEW}}
    seen = []

    def check() -> None:
        found = {row: one.generation.text for row, one in store.load(root, GROUP).baselines.items()}
        assert found in (old, new)
        seen.append(found == new)
        store.update(root, GROUP, NEW)
        assert store.load(root, GROUP).baselines == {one.row: one for one in [*OLD[10:], *NEW]}
        assert sorted(path.name for path in (root / "tests/__baselines__/trivia").iterdir()) == [
            "distilgpt2.baseline",
            "distilgpt2.tokens.jsonl",
        ]

    assert at_every_event(root, lambda: store.update(root, GROUP, NEW), check) > 10
    assert {False, True} == set(seen)


def test_the_first_update(tmp_path: Path) -> None:
    """Where nothing was there, nothing is, or all of it."""
    root = tmp_path / "project"
    (root / "tests").mkdir(parents=True)

    def check() -> None:
        assert len(store.load(root, GROUP).baselines) in (0, len(OLD))
        store.update(root, GROUP, OLD)
        assert len(store.load(root, GROUP).baselines) == len(OLD)
        assert not list(root.rglob("*.tmp"))

    at_every_event(root, lambda: store.update(root, GROUP, OLD), check)


def test_a_prune(tmp_path: Path) -> None:
    """The rows that stay are there; those that go are all there or all gone."""
    root = tmp_path / "project"
    store.update(root, GROUP, OLD)
    stay = [one.row for one in OLD[2:]]

    def check() -> None:
        assert set(store.load(root, GROUP).baselines) in (set(stay), {one.row for one in OLD})

    at_every_event(root, lambda: store.prune(root, GROUP, stay, confirmed=False), check)


def test_an_accept(tmp_path: Path) -> None:
    """An output waits, or it is the baseline, or both; accepting again settles it."""
    project = Project(tmp_path / "project")
    (project.root / "tests").mkdir(parents=True)
    project.drift("sky", "ice")
    root = ("--root", str(project.root))

    def check() -> None:
        texts = project.texts()
        assert set(texts) == {"sky", "ice"}
        waiting = {key.row.prompt_id for key in PendingFile(project.root).read().entries}
        assert all(text == " Red." or name in waiting for name, text in texts.items())
        project.run("accept", "--all", *root)
        assert project.texts() == dict.fromkeys(texts, " Red.")
        assert project.pending() == set()

    at_every_event(project.root, lambda: project.run("accept", "--all", *root), check)
