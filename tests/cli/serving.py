"""`llmcompare review --web` as a process, and requests to its server."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from .projects import Result

SECONDS = 30.0  # timeout, generous for a busy machine
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Answer(NamedTuple):
    """The answer of a server."""

    status: int
    text: str
    headers: Mapping[str, str]


def ask(address: str, what: str = "", body: object = None, *, method: str = "", **headers: str | None) -> Answer:
    """Send a request as the page does.

    Args:
        address: The address that was printed.
        what: What is asked for, below it; from the root of the server where it begins so.
        body: What is sent: bytes, or else as JSON; None for none.
        method: HTTP's method.
        headers: Headers in another way than the page sends them, with `_` for `-`; None for none.
    """
    parts = urlsplit(address)
    origin = f"{parts.scheme}://{parts.netloc}"
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    sent = {"Origin": origin, "Content-Type": "application/json"} if data is not None else {}
    for name, value in headers.items():
        sent.pop(name.replace("_", "-"), None)
        if value is not None:
            sent[name.replace("_", "-")] = value.format(origin=origin, **parts._asdict())
    url = origin + what if what.startswith("/") else address + what
    request = urllib.request.Request(url, data, sent, method=method or ("GET" if data is None else "POST"))
    if data is not None and "Content-Type" not in sent:
        request.add_unredirected_header("Content-Type", "")
    try:
        with OPENER.open(request, timeout=SECONDS) as answer:
            return Answer(answer.status, answer.read().decode(), dict(answer.headers))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read().decode(), dict(error.headers))


class Served:
    """A review that is served.

    Args:
        root: The folder in which it is.
        arguments: More arguments of the command.
        stdin: Its standard input.
    """

    def __init__(self, root: Path, *arguments: str, stdin: int = subprocess.DEVNULL) -> None:
        command = [sys.executable, "-m", "pytest_llmcompare.cli.main", "review", "--web", "--no-browser", *arguments]
        self.process = subprocess.Popen(
            command, cwd=root, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
        )
        assert self.process.stdout is not None
        self.printed = [self.process.stdout.readline() for _ in range(3)]
        self.address = self.printed[1].strip()
        assert self.address.startswith("http://"), (self.printed, self.process.communicate(timeout=SECONDS))

    def submit(self, *decisions: str | None) -> Any:
        """Submit decisions, one per output, as Done does; return what the page is told."""
        answer = ask(self.address, "decisions", list(decisions))
        assert answer.status == 200, answer
        return json.loads(answer.text)

    def send(self, number: signal.Signals) -> Result:
        """Send the command a signal; return its result."""
        self.process.send_signal(number)
        return self.end()

    def end(self) -> Result:
        """Wait for the end of the command; return its result."""
        out, err = self.process.communicate(timeout=SECONDS)
        return Result(self.process.returncode, out, err)

    def close(self) -> None:
        """Kill the command if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
