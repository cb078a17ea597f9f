"""Signals that end a command, noted instead of acting at once: what was decided is still carried out, as a whole."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator
from types import FrameType

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # Ctrl-C, a kill, a terminal that was closed; Windows has no SIGHUP


class Ending:
    """Whether the command is to end.

    Attributes:
        came: Set once it is.
        wakes: Readable from then on, for callers that wait with `select`.
    """

    def __init__(self, wakes: socket.socket) -> None:
        self.came = threading.Event()
        self.wakes = wakes

    def note(self, _number: int, _frame: FrameType | None) -> None:
        """Take note of a signal."""
        self.came.set()


@contextlib.contextmanager
def noted() -> Iterator[Ending]:
    """Let signals interrupt nothing; a signal that is ignored already, as under nohup, stays so."""
    wakes, woken = socket.socketpair()
    woken.setblocking(False)
    ending = Ending(wakes)
    numbers = [number for name in NAMES if (number := getattr(signal, name, None)) is not None]
    heeded = {number: signal.getsignal(number) for number in numbers}
    heeded = {number: handler for number, handler in heeded.items() if handler is not signal.SIG_IGN}
    before = signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
    try:
        for number in heeded:
            signal.signal(number, ending.note)
        yield ending
    finally:
        for number, handler in heeded.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before)
        wakes.close()
        woken.close()
