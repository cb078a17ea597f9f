"""What a test needs of the machine that it runs on; elsewhere it is skipped, with the reason."""

from __future__ import annotations

import os
import signal
import sys

import pytest

needs_posix = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX system: sh, mode bits, rlimits")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
needs_fifo = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs os.mkfifo")
needs_signals = pytest.mark.skipif(
    not hasattr(signal, "SIGKILL"), reason="needs POSIX signals: SIGKILL, SIGTERM, SIGHUP, and SIGINT to one process"
)
needs_terminal = pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo terminal")
needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, where nobody can write")
needs_file_limit = pytest.mark.skipif(os.name != "posix", reason="needs rlimits, to stand for a full disk")
needs_symlinks = pytest.mark.skipif(os.name != "posix", reason="needs symbolic links, which Windows reserves to some")

PYTEST_9 = pytest.version_tuple >= (9,)
"""Has the fixture `subtests`, and shows in the short summary why a test failed that was given a text as its failure."""

needs_subtests = pytest.mark.skipif(not PYTEST_9, reason="needs the fixture subtests, of pytest 9.0")

not_for_root = pytest.mark.skipif(
    getattr(os, "geteuid", lambda: 1)() == 0, reason="root may write where mode bits forbid it"
)
