"""Signals that end a review: noted, so that the decisions made so far are carried out completely."""

from __future__ import annotations

import signal
from types import FrameType

import click

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # Ctrl-C, kill, a closed terminal; Windows has no SIGHUP


class Interrupts:
    """A context manager inside of which signals only set a flag, or end a wait for a key.

    A signal that is ignored already, as under nohup, stays ignored.

    Attributes:
        received: Whether a signal has come.
        aborts: Whether it was Ctrl-C, by which the user drops what was decided.
    """

    def __init__(self) -> None:
        self.received = False
        self.aborts = False
        self._waits = False

    def __enter__(self) -> Interrupts:
        numbers = [number for name in SIGNALS if (number := getattr(signal, name, None)) is not None]
        handlers = {number: signal.getsignal(number) for number in numbers}
        self._before = {number: old for number, old in handlers.items() if old not in (signal.SIG_IGN, None)}
        for number in self._before:
            signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.received = True
        self.aborts = self.aborts or number == signal.SIGINT
        if self._waits:
            raise KeyboardInterrupt

    def wait_for_keys(self) -> str:
        """Wait for the user to press a key.

        Returns:
            The key, or several if they were pressed at once; empty after a signal, Ctrl-D, or if the terminal is gone.
        """
        try:
            self._waits = True
            return "" if self.received else click.getchar() or ""
        except KeyboardInterrupt:
            self.aborts = self.aborts or not self.received  # the key Ctrl-C, which is no signal while click reads
            return ""
        except (EOFError, OSError, RuntimeError):  # click fails so if the terminal is gone
            return ""
        finally:
            self._waits = False
