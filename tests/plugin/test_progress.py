"""What is shown while a group runs."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest

from pytest_llmcompare.reports import progress
from tests.platforms import needs_terminal

from .suites import Suite


@pytest.fixture
def every_group_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups count as long from the start."""
    monkeypatch.setattr(progress, "LONG", 0.0)


@pytest.mark.usefixtures("every_group_is_long")
@pytest.mark.parametrize("options", [[], ["-s"], ["--capture=sys"]])
def test_a_log_names_what_takes_long(suite: Suite, options: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    """In a log a long group is announced, and closed with its numbers, whatever pytest captures; so is a long step."""
    suite.trivia(recorded=True)
    capfd.readouterr()
    suite.run(*options).assert_outcomes(passed=3)
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("llmcompare: ")]
    assert len(lines) == 3
    assert lines[0].startswith("llmcompare: loading m: ")
    assert lines[2].startswith("llmcompare: trivia x m: 3 cases in ")
    assert lines[2].endswith(" tok/s")


@pytest.mark.usefixtures("every_group_is_long")
def test_quiet_runs_say_nothing(suite: Suite, capfd: pytest.CaptureFixture[str]) -> None:
    """`-q` has no progress."""
    suite.trivia(recorded=True)
    capfd.readouterr()
    suite.run("-q").assert_outcomes(passed=3)
    assert "llmcompare:" not in capfd.readouterr().err


def test_short_groups_are_not_worth_a_line(suite: Suite, capfd: pytest.CaptureFixture[str]) -> None:
    """A group of a moment leaves no trace in a log."""
    suite.trivia(recorded=True)
    capfd.readouterr()
    suite.run().assert_outcomes(passed=3)
    assert "trivia x m: " not in capfd.readouterr().err


@needs_terminal
def test_a_terminal_has_a_bar_that_goes_away(suite: Suite) -> None:
    """On a terminal the phase and then a bar are drawn on one line, which is empty in the end."""
    suite.trivia(recorded=True)
    shown = on_terminal(lambda: suite.run().assert_outcomes(passed=3))
    pictures = shown.split("\r")
    assert any(picture.strip() == "loading m" for picture in pictures)
    assert any(picture.startswith("trivia x m |") and " 3/3" in picture for picture in pictures)
    assert pictures[-1] == ""
    assert pictures[-2].strip() == ""


def on_terminal(act: Callable[[], None]) -> str:
    """What is written to the error stream while it is a terminal."""
    import pty

    master, slave = pty.openpty()
    shown: list[bytes] = []

    def read() -> None:
        while True:
            try:
                data = os.read(master, 4096)
            except OSError:  # the other end is closed
                return
            if not data:
                return
            shown.append(data)

    reader = threading.Thread(target=read)
    before = os.dup(2)
    os.dup2(slave, 2)
    os.close(slave)
    reader.start()
    try:
        act()
    finally:
        os.dup2(before, 2)
        os.close(before)
        reader.join(10)
        os.close(master)
    return b"".join(shown).decode()
