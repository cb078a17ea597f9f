"""SIGTERM ends a run as Ctrl-C does, and the last line says how many outputs are kept.

It is imported in every pytest run, so it imports little.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

TERMINATION: pytest.StashKey[Termination] = pytest.StashKey()
"""On the config: what SIGTERM does in this run."""

REPEATED = 5.0
"""Seconds in which a second SIGTERM is ignored: `timeout` and most schedulers signal the process and its group."""


class Termination:
    """Makes SIGTERM end the run as Ctrl-C does.

    Schedulers and CI services send SIGTERM before they kill. By default it ends the process at once, and accepted
    baselines would not be written.
    """

    def __init__(self) -> None:
        self.process = 0
        self.received = float("-inf")

    def watch(self) -> None:
        """Install the signal handler, unless there is one already or this is not the main thread."""
        if os.name == "nt" or threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            self.process = os.getpid()
            signal.signal(signal.SIGTERM, self.interrupt)

    def release(self) -> None:
        """Restore the default handler."""
        if self.process == os.getpid() and signal.getsignal(signal.SIGTERM) == self.interrupt:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self.process = 0

    def interrupt(self, number: int, _frame: object) -> None:
        """Handle the signal.

        Raises:
            KeyboardInterrupt: Always, except for a repeated signal.
        """
        if os.getpid() != self.process:  # in a fork of this process
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        now = time.monotonic()
        if now - self.received < REPEATED:
            return
        self.received = now
        raise KeyboardInterrupt("SIGTERM")


def watch_sigterm(config: pytest.Config) -> None:
    """Make SIGTERM end this run as Ctrl-C does."""
    config.stash[TERMINATION] = Termination()
    config.stash[TERMINATION].watch()


def release_sigterm(config: pytest.Config) -> None:
    """Restore SIGTERM if this run has taken it."""
    if termination := config.stash.get(TERMINATION, None):
        termination.release()


def kept_line(root: Path, started: float, *, selected: bool = False) -> str:
    """How many outputs an interrupted run has kept, as a line; empty if it had none to ask for.

    Args:
        root: pytest's root folder.
        started: When the run started, in seconds since the epoch.
        selected: Whether tests that ask models were selected.
    """
    from pytest_llmcompare.baselines.journal import kept_since

    kept = kept_since(root, started)
    if kept is None:
        return "llmcompare: no model was asked yet; the same command starts again" if selected else ""
    if not kept.outputs:
        return f"llmcompare: 0 of {kept.asked} outputs are kept: none was finished"
    return f"llmcompare: {kept.outputs} of {kept.asked} outputs are kept; the same command goes on from there"
