"""Servers for the tests: llama.cpp's own, `transformers serve`, and one with faults."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("llama_server.py")


@contextmanager
def llama(file: Path, slots: int = 4) -> Iterator[str]:
    """The address of a llama.cpp server, stopped at the end of the block."""
    with subprocess.Popen(
        [sys.executable, str(SCRIPT), str(file), str(slots)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
    ) as process:
        try:
            assert process.stdout is not None
            address = next((line.strip() for line in process.stdout if line.startswith("http")), "")
            assert address, "llama.cpp's server did not start"
            yield f"{address}/v1"
        finally:
            process.kill()


ADDRESS = re.compile(r"running on (http://127\.0\.0\.1:\d+)")
START = 120.0
"""Seconds that `transformers serve` may take to start: it imports torch."""


@dataclass(frozen=True)
class TransformersServer:
    """A running `transformers serve`.

    Attributes:
        url: Address of its API.
        log: What it prints.
    """

    url: str
    log: Path

    @property
    def requests(self) -> int:
        """Number of requests for a completion so far, by its own count."""
        return self.log.read_text(encoding="utf-8").count('"POST /v1/completions ')


@contextmanager
def transformers_serve(folder: Path, log: Path, executable: str = sys.executable) -> Iterator[TransformersServer]:
    """A `transformers serve` on a free port, stopped at the end of the block.

    Args:
        folder: The model. The server calls it by the name of this folder.
        log: File for what the server prints.
        executable: Interpreter; a warm one has torch imported.
    """
    arguments = ("-m", "transformers.cli.transformers", "serve", folder.name)
    options = ("--host", "127.0.0.1", "--port", "0", "--device", "cpu")
    with (
        log.open("w", encoding="utf-8") as file,
        subprocess.Popen([executable, *arguments, *options], cwd=folder.parent, stdout=file, stderr=file) as process,
    ):
        try:
            end = time.monotonic() + START
            while not (address := ADDRESS.search(log.read_text(encoding="utf-8"))):
                assert process.poll() is None, log.read_text(encoding="utf-8")
                assert time.monotonic() < end, log.read_text(encoding="utf-8")
                time.sleep(0.05)
            yield TransformersServer(f"{address[1]}/v1", log)
        finally:
            process.kill()


Reply = tuple[int, Mapping[str, str], bytes]


def completion(text: str | None = "hi", **fields: Any) -> bytes:
    """The body of a completion, with other fields of its choice."""
    choice = {"index": 0, "text": text, "finish_reason": "stop", "logprobs": None, **fields}
    body = {"model": "m", "choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}
    return json.dumps(body).encode()


class Faulty:
    """A server whose replies a test decides.

    Args:
        reply: Returns status, headers and body for the number of the request, from 0, and its body; None drops the
            connection.
        get: The body of the answer to each GET; without one they are refused.

    Attributes:
        reply: As given; a test may replace it.
        requests: The headers and bodies of all requests.
        most: Largest number of requests that were answered at the same time.
    """

    def __init__(self, reply: Callable[[int, dict[str, Any]], Reply | bytes | None], get: bytes | None = None) -> None:
        self.requests: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.times: list[float] = []
        self.reply = reply
        self.most = self.now = 0
        lock, outer = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # headers and body in one packet; with two, the second waits 40 ms for a confirmation

            def log_message(self, *_: object) -> None: ...

            def do_GET(self) -> None:
                self.send_response(404 if get is None else 200)
                self.send_header("content-length", str(len(get or b"")))
                self.end_headers()
                self.wfile.write(get or b"")

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with lock:
                    number = len(outer.requests)
                    outer.requests.append(({name.lower(): value for name, value in self.headers.items()}, body))
                    outer.times.append(time.monotonic())
                    outer.now += 1
                    outer.most = max(outer.most, outer.now)
                answer = outer.reply(number, body)
                with lock:
                    outer.now -= 1
                if answer is None:
                    self.close_connection = True
                    return
                status, headers, content = answer if isinstance(answer, tuple) else (200, {}, answer)
                self.send_response_only(status)
                self.send_header("server", headers.get("server", self.version_string()))
                for name, value in {"content-length": str(len(content)), **headers}.items():
                    if name != "server":
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self) -> Faulty:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
