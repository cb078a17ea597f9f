"""What ends a run or a test early: SIGTERM, pytest-timeout. Imported in every pytest run, so it imports little."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

TIMER: pytest.StashKey[Any] = pytest.StashKey()
"""On an item: the settings that pytest-timeout uses for it, if its timer runs."""

TERMINATION: pytest.StashKey[Termination] = pytest.StashKey()
"""On the config: what SIGTERM does in this run."""

REPEATED = 5.0  # seconds; `timeout` and most schedulers signal the process and its group, so it arrives twice
LOADING = 600.0  # seconds that loading models may take, whatever a single test may


class Termination:
    """SIGTERM ends the run as Ctrl-C does, while a run of ours watches for it.

    Schedulers and CI services send it before they kill. By default it would end the process on the spot, and baselines
    that were accepted already would not be written.
    """

    def __init__(self) -> None:
        self.process = 0
        self.received = float("-inf")

    def watch(self) -> None:
        """Take over the signal, unless somebody else has, or this is not the main thread."""
        if os.name == "nt" or threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            self.process = os.getpid()
            signal.signal(signal.SIGTERM, self.interrupt)

    def release(self) -> None:
        """Give the signal back."""
        if self.process == os.getpid() and signal.getsignal(signal.SIGTERM) == self.interrupt:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self.process = 0

    def interrupt(self, number: int, _frame: object) -> None:
        """End the run as Ctrl-C does.

        Raises:
            KeyboardInterrupt: Always, but for a signal that follows at once.
        """
        if os.getpid() != self.process:  # a process that was forked from this one
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        now = time.monotonic()
        if now - self.received < REPEATED:
            return
        self.received = now
        raise KeyboardInterrupt("SIGTERM")


def watch_sigterm(config: pytest.Config) -> None:
    """Let SIGTERM end this run as Ctrl-C does."""
    config.stash[TERMINATION] = Termination()
    config.stash[TERMINATION].watch()


def release_sigterm(config: pytest.Config) -> None:
    """Give SIGTERM back, if this run has taken it."""
    if termination := config.stash.get(TERMINATION, None):
        termination.release()


def kept_line(root: Path, started: float) -> str:
    """What an interrupted run has kept of the outputs that it asked for; empty where it asked for none."""
    from pytest_llmcompare.baselines.journal import kept_since

    kept = kept_since(root, started)
    if kept is None:
        return ""
    if not kept.outputs:
        return f"llmcompare: 0 of {kept.asked} outputs are kept: none was finished"
    return f"llmcompare: {kept.outputs} of {kept.asked} outputs are kept; the same command goes on from there"


@contextmanager
def time_for(item: pytest.Item, cases: int) -> Iterator[None]:
    """Give a test the time of all cases that are evaluated on its account, and for loading their models.

    The first test of a table has all of its cases evaluated, which pytest-timeout would count as that test's own time.
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
    # Not after an error: what is left then is to report it, which is not to be timed out again.
    hook.pytest_timeout_set_timer(item=item, settings=settings)
