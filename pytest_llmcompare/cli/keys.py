"""Single keys from the terminal, without Enter."""

from __future__ import annotations

import contextlib
import os
import select
import sys
from collections.abc import Callable, Iterator
from functools import partial

from .ending import Ending


@contextlib.contextmanager
def single_keys(ending: Ending) -> Iterator[Callable[[], str]]:
    """Let the terminal hand over each key at once.

    Args:
        ending: Whether the command is to end.

    Yields:
        What waits for a key; empty where the command is to end or the terminal has gone.
    """
    try:
        import termios
        import tty
    except ImportError:  # Windows
        import msvcrt

        yield msvcrt.getwch  # type: ignore[attr-defined, unused-ignore]
        return
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal, termios.TCSADRAIN)  # keys that were pressed ahead count
    try:
        yield partial(_key, terminal, ending)
    finally:
        with contextlib.suppress(termios.error):  # it has gone
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _key(terminal: int, ending: Ending) -> str:
    try:
        select.select([terminal, ending.wakes.fileno()], [], [])
        return "" if ending.came.is_set() else os.read(terminal, 1).decode("ascii", "replace")
    except OSError:
        return ""
