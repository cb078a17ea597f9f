"""Search a text for a pattern of Python's `re`, for a limited time.

A search of `re` cannot be interrupted: it holds the interpreter's lock, and on Windows no signal reaches it. Packages
that have a time limit, such as `regex`, understand some patterns in another way. So `re` searches in a process of its
own, which ends itself when the time is over.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

SECONDS = 5.0
"""Most seconds for one search. Patterns that do not backtrack take milliseconds."""

REWRITE = "Repetitions inside repetitions backtrack: rewrite the pattern, such as [ab]+ for (a+|b+)+"
"""What to do about a search that took too long."""

PROGRAM = Path(__file__).with_name("_search_process.py")
OUT_OF_TIME = 1
"""Exit code of the process after a search that took too long."""


class SearchError(Exception):
    """A search without a result; the message says why."""


class Searcher:
    """A process that searches; it is started at the first search, and again after one that took too long."""

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def search(self, pattern: str, text: str, seconds: float) -> bool:
        """True if a pattern matches anywhere in a text.

        Raises:
            SearchError: It took too long, or the process ended for another reason.
        """
        request = json.dumps([pattern, text, seconds]).encode("ascii") + b"\n"
        with self._lock:
            try:
                process = self._running()
            except OSError:  # where no process can be started, a search without a limit is better than none
                return re.search(pattern, text) is not None
            answer = self._answer(process, request)
            if not answer:
                code = process.wait()
                self.close()
                why = f"took more than {seconds:g} s" if code == OUT_OF_TIME else f"crashed with exit code {code}"
                raise SearchError(why)
        result = json.loads(answer)
        if isinstance(result, bool):
            return result
        raise SearchError(f"raised {result}")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:
            self.close()
        if self._process is None:
            self._process = _started()
        return self._process

    def _answer(self, process: subprocess.Popen[bytes], request: bytes) -> bytes:
        """The line that answers a request; empty if the process ended."""
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(request)
            process.stdin.flush()
            return process.stdout.readline()
        except OSError:
            return b""
        except BaseException:  # such as Ctrl-C: this answer would be taken for that to the next request
            self.close()
            raise

    def close(self) -> None:
        """End the process, unless this is a fork of the process that started it."""
        if self._process is not None and self._owner == os.getpid():
            self._process.kill()
            self._process.communicate()
            self._process = None


def _started() -> subprocess.Popen[bytes]:
    """A new process, with this interpreter and only its standard library."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(PROGRAM)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),  # only on Windows
    )


_searchers: dict[int, Searcher] = {}
"""By the id of the process that asks: a fork must not share one with its parent."""


def bounded_search(pattern: str, text: str) -> bool:
    """True if `re.search` of a pattern in a text has a match.

    Raises:
        SearchError: It took too long.
    """
    searcher = _searchers.get(os.getpid())
    if searcher is None:
        searcher = _searchers[os.getpid()] = Searcher()
        atexit.register(searcher.close)
    return searcher.search(pattern, text, SECONDS)
