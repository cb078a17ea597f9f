"""Progress on a terminal, in a log, and nowhere else."""

from __future__ import annotations

import io
import os
import re
import select
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TextIO

import pytest

from pytest_llmcompare.generation import Generation
from pytest_llmcompare.records import GroupKey
from pytest_llmcompare.reports.progress import Silent, TerminalProgress
from pytest_llmcompare.suite.extensions import Progress

KEY = GroupKey("tests", "trivia", "gpt2-large")
Terminal = tuple[TextIO, Callable[[], str]]
SAID = Generation("a b", token_ids=(1, 2, 3, 4, 5))


class Clock:
    """Time that passes when told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """A real terminal of 60 columns: its stream, and what has been written to it since the last look."""
    fcntl, termios = (pytest.importorskip(name, reason="needs a pseudo terminal") for name in ("fcntl", "termios"))
    leader, follower = os.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))

    def seen() -> str:
        written = b""
        while select.select([leader], [], [], 0.05)[0]:  # the kernel passes it on in its own time
            written += os.read(leader, 100_000)
        return written.decode()

    with os.fdopen(follower, "w", encoding="utf-8") as stream:
        yield stream, seen
    os.close(leader)


def test_a_group_on_a_terminal(terminal: Terminal, clock: Clock) -> None:
    """Phases and bar replace each other on one line, which is gone at the end."""
    stream, seen = terminal
    progress: Progress = TerminalProgress(stream, nullcontext, clock)
    progress.say("loading gpt2-large")
    assert seen() == "\r\n\rloading gpt2-large"
    progress.begin(KEY, 4)
    assert re.fullmatch(r"\rtrivia x gpt2-large \| +\| 0/4 *", seen())
    clock.now += 2
    progress.step(SAID)
    assert re.fullmatch(r"\rtrivia x gpt2-large \|█+[▏▎▍▌▋▊▉]? *\| 1/4, 2\.5 tok/s *", seen())
    clock.now += 0.01
    progress.step(None)
    assert seen() == ""
    clock.now += 60
    progress.step(SAID)
    assert ", 31 s left" in seen()
    progress.end()
    assert re.fullmatch(r"\r {59}\r", seen())


def test_many_questions_at_once_on_a_terminal(terminal: Terminal, clock: Clock) -> None:
    """What is about to be asked stays; the pace counts from the first question on, and shows once it is known."""
    stream, seen = terminal
    progress: Progress = TerminalProgress(stream, nullcontext, clock)
    progress.begin(KEY, 20)
    progress.announce("asking m: up to 20 requests")
    assert "\rllmcompare: asking m: up to 20 requests\r\n" in seen()
    progress.step(SAID)  # of an interrupted run
    clock.now += 31  # the server compiles
    progress.ask_many(4)
    clock.now += 1
    progress.step(None)
    assert re.search(r"2/20, 1\.0 answers/s *$", seen())
    for _ in range(4):
        clock.now += 1
        progress.step(None)
    assert "6/20, 1.0 answers/s, 14 s left" in seen()


def test_many_questions_at_once_in_a_log(clock: Clock) -> None:
    """The announcement stands at once, whether the group takes long or not."""
    log = io.StringIO()
    progress = TerminalProgress(log, nullcontext, clock)
    progress.begin(KEY, 2)
    progress.announce("asking m: up to 3 requests")
    progress.ask_many(8)
    clock.now += 4
    progress.step(None)
    clock.now += 4
    progress.step(None)
    progress.end()
    assert log.getvalue() == (
        "\nllmcompare: asking m: up to 3 requests\n"
        "llmcompare: trivia x gpt2-large: 2 of 2 cases after 8.0 s\n"
        "llmcompare: trivia x gpt2-large: 2 cases in 8.0 s, 2 failed, 0.2 answers/s\n"
    )


def test_a_bar_keeps_to_the_width(terminal: Terminal, clock: Clock) -> None:
    """Long, wide and hostile names neither break the line nor act."""
    stream, seen = terminal
    progress = TerminalProgress(stream, nullcontext, clock)
    for name in ("中文" * 30, "\x1b[2J" * 20, "{n}{x!r}%s"):
        progress.begin(GroupKey("t", "table", name), 3)
        progress.step(SAID)
        progress.say(f"loading {name}")
        progress.end()
    assert "\x1b" not in (shown := seen())
    assert max(map(len, re.split("[\r\n]", shown))) <= 59


def test_a_short_group_in_a_log(clock: Clock) -> None:
    """What takes a moment is not worth a line."""
    log = io.StringIO()
    progress = TerminalProgress(log, nullcontext, clock)
    progress.say("loading gpt2-large")
    progress.begin(KEY, 1)
    clock.now += 4.9
    progress.step(SAID)
    progress.end()
    assert log.getvalue() == ""


def test_a_long_group_in_a_log(clock: Clock) -> None:
    """A group that takes long has one line when that shows and one when it ends."""
    log = io.StringIO()
    progress = TerminalProgress(log, nullcontext, clock)
    progress.begin(KEY, 50)
    for at in range(50):
        clock.now += 1.5
        progress.step(None if at == 7 else SAID)
    progress.end()
    assert log.getvalue() == (
        "\nllmcompare: trivia x gpt2-large: 4 of 50 cases after 6.0 s\n"
        "llmcompare: trivia x gpt2-large: 50 cases in 1 min 15 s, 1 failed, 3.3 tok/s\n"
    )


def test_groups_that_end_early_in_a_log(clock: Clock) -> None:
    """A group that is broken off says how far it came, a model that does not load what it was at."""
    log = io.StringIO()
    progress = TerminalProgress(log, nullcontext, clock)
    progress.begin(KEY, 50)
    clock.now += 5
    progress.end()
    progress.say("loading gpt2-large")
    clock.now += 30
    progress.end()
    progress.end()
    assert log.getvalue() == (
        "\nllmcompare: trivia x gpt2-large: 0 of 50 cases in 5.0 s\n"
        "\nllmcompare: loading gpt2-large: given up after 30 s\n"
    )


def test_long_steps_before_a_group_are_named(clock: Clock) -> None:
    """In a log a step that took long has a line of its own."""
    log = io.StringIO()
    progress = TerminalProgress(log, nullcontext, clock)
    progress.say("importing torch and transformers")
    clock.now += 12
    progress.say("loading gpt2-large")
    clock.now += 1
    progress.begin(KEY, 1)
    progress.step(SAID)
    progress.end()
    assert log.getvalue().splitlines()[1:] == [
        "llmcompare: importing torch and transformers: 12 s",
        "llmcompare: trivia x gpt2-large: 0 of 1 case after 13 s",
        "llmcompare: trivia x gpt2-large: 1 case in 13 s",
    ]


def test_no_time_left_before_it_can_be_known(clock: Clock) -> None:
    """Not from the first answer, which waits for a warm-up, nor from answers of one batch that come together."""
    progress = TerminalProgress(io.StringIO(), nullcontext, clock)
    progress.begin(KEY, 320)
    guesses = []
    for batch in range(4):
        clock.now += 30 if batch == 0 else 3
        for _ in range(32):
            clock.now += 0.001
            progress.step(SAID)
        guesses.append(progress._left())
    assert guesses == ["", "25 s left", "22 s left", "19 s left"]


def test_answers_of_an_earlier_run_show_no_pace(clock: Clock) -> None:
    """A hundred that were kept come at once, and say nothing of the others."""
    progress = TerminalProgress(io.StringIO(), nullcontext, clock)
    progress.begin(KEY, 110)
    for _ in range(100):
        progress.step(SAID)
    progress.ask_many(0)
    for _ in range(3):
        clock.now += 4
        progress.step(SAID)
    assert progress._left() == "28 s left"


def test_it_writes_only_where_capture_lets_it(terminal: Terminal, clock: Clock) -> None:
    """Every write is inside of the place opened for it, places do not nest, and no thread is left to write later."""
    stream, seen = terminal
    depths = []
    depth = 0

    @contextmanager
    def uncaptured() -> Iterator[None]:
        nonlocal depth
        depth += 1
        depths.append(depth)
        assert seen() == ""
        yield
        depth -= 1
        seen()

    threads = threading.active_count()
    progress = TerminalProgress(stream, uncaptured, clock)
    progress.say("loading")
    progress.begin(KEY, 2)
    for _ in range(2):
        clock.now += 1
        progress.step(SAID)
    progress.end()
    assert seen() == ""
    assert set(depths) == {1}
    assert threading.active_count() == threads


def test_silence() -> None:
    """Workers and quiet runs hear nothing."""
    progress: Progress = Silent()
    progress.begin(KEY, 1)
    progress.step(None)
    progress.end()


def test_reports_are_light() -> None:
    """Importing what makes messages and reports imports nothing but the standard library."""
    code = (
        "import sys\n"
        "from pytest_llmcompare.comparison import summary\n"
        "from pytest_llmcompare.reports import junit, messages, progress, terminal\n"
        "heavy = {'torch', 'transformers', 'mlflow', 'pandas', 'numpy', 'tqdm', 'yaml', 'filelock', 'pytest'}\n"
        "heavy |= {'rich', 'scipy', 'wcwidth'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
