"""Single keys from the terminal, without Enter."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def single_keys() -> Iterator[Callable[[], str]]:
    """Let the terminal hand over each key at once; what waits for one, empty where the terminal has gone."""
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
        yield _key
    finally:
        with contextlib.suppress(termios.error):  # it has gone
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _key() -> str:
    try:
        return os.read(sys.stdin.fileno(), 1).decode("ascii", "replace")
    except (KeyboardInterrupt, OSError):
        return ""
