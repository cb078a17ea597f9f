"""One key from the terminal, without Enter."""

from __future__ import annotations

import os
import sys


def read_key() -> str:
    """Wait for a key; empty where the terminal has gone."""
    try:
        import termios
        import tty
    except ImportError:  # Windows
        import msvcrt

        return str(msvcrt.getwch())  # type: ignore[attr-defined, unused-ignore]
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal)
        return os.read(terminal, 1).decode("ascii", "replace")
    except (KeyboardInterrupt, OSError):
        return ""
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
