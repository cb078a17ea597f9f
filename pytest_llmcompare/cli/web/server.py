"""The review page's server, on 127.0.0.1 only: it serves the page and takes the decisions once."""

from __future__ import annotations

import json
import os
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pytest_llmcompare.cli.apply_decisions import Applied

from .access import HOST, PAGE, Access, RefusedError
from .page import ReviewPage

SLOW_SECONDS = 10.0  # that a browser may take to send its request
MAX_DISCARDED_BYTES = 1 << 16  # of a body that is not wanted

Apply = Callable[[Sequence[str | None]], Applied]
"""Carries out the decisions, one per output."""


class ReviewServer(ThreadingHTTPServer):
    """Serves one review.

    Args:
        port: The port; 0 for a free one.
        page: The page.
        apply: Carries out the decisions; called at most once, in a thread of the server.

    Attributes:
        access: The rules by which requests are checked.
        page_loaded: Set once a browser has the page.
        answered: Set once the decisions are carried out and the page has the result.

    Raises:
        OSError: The port cannot be used.
    """

    daemon_threads = True
    allow_reuse_address = os.name == "posix"  # elsewhere it would let two programs have one port

    def __init__(self, port: int, page: ReviewPage, apply: Apply) -> None:
        self.page = page
        self.page_loaded = threading.Event()
        self.answered = threading.Event()
        self._apply = apply
        self._applied: Applied | None = None
        self._is_open = True
        self._lock = threading.Lock()
        super().__init__((HOST, port), Handler)
        self.access = Access(self.server_port, page.entries)

    def server_bind(self) -> None:
        """Take the port, without the look-up of this machine's name that HTTPServer does."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Answer requests until the end of the block."""
        thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.shutdown()
            thread.join()
            self.server_close()

    def submit(self, decisions: Sequence[str | None]) -> dict[str, Any]:
        """Carry out the decisions; return what the page shows of it.

        Raises:
            RefusedError: Decisions were submitted before, or the review has ended.
        """
        with self._lock:
            if not self._is_open:
                raise RefusedError(HTTPStatus.CONFLICT, "The review has ended.")
            self._is_open = False
            try:
                self._applied = self._apply(decisions)
            except BaseException:
                self.answered.set()  # a bug ends the review, too
                raise
        return self.page.result(self._applied)

    def close(self) -> Applied | None:
        """Take no more decisions; return what was done about those submitted, or None if there were none."""
        with self._lock:  # waits for decisions that are being carried out
            if not self._is_open:
                self.answered.wait(SLOW_SECONDS)
            self._is_open = False
            return self._applied

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore browsers that went away."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Answers one request. Each has its own connection, so that no part of one is taken for the next."""

    server: ReviewServer
    timeout = SLOW_SECONDS
    has_read = False  # whether the body was read

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Return the handler of any HTTP method: `do_GET`, `do_POST` and all others."""
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def answer(self) -> None:
        """Check the request and answer it."""
        server = self.server
        try:
            if server.access.check(self.command, self.path, self.headers) == PAGE:
                self.send("text/html", server.page.html, server.page.policy)
                server.page_loaded.set()
                return
            body = self.rfile.read(server.access.length(self.headers))
            self.has_read = True
            result = server.submit(server.access.decisions(body))
        except RefusedError as refused:
            self.refuse(refused)
            return
        try:
            self.send("application/json", json.dumps(result))
        finally:
            server.answered.set()

    def refuse(self, refused: RefusedError) -> None:
        """Send an error, after reading the body: the answer to a connection with unread data may be lost."""
        length = self.headers.get("Content-Length", "")
        if length.isascii() and length.isdecimal() and not self.has_read:
            self.rfile.read(min(int(length[:9]), MAX_DISCARDED_BYTES))
        more = {"Allow": refused.allow} if refused.allow else {}
        self.send("text/plain", refused.reason + "\n", status=refused.status, **more)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Send the errors of the base class, such as for a line that is not HTTP, with our headers."""
        self.close_connection = True
        self.send("text/plain", f"{HTTPStatus(code).phrase}.\n", status=HTTPStatus(code))

    def send(
        self,
        kind: str,
        text: str,
        policy: str = "default-src 'none'",
        *,
        status: HTTPStatus = HTTPStatus.OK,
        **more: str,
    ) -> None:
        """Send an answer.

        Args:
            kind: Its content type.
            text: Its body.
            policy: Its content security policy.
            status: The HTTP status.
            **more: Further headers.
        """
        data = text.encode("utf-8")
        headers = {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(data)),
            "Content-Security-Policy": f"{policy}; frame-ancestors 'none'",
            "Cache-Control": "no-store",
            "Connection": "close",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            **more,
        }
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def version_string(self) -> str:
        """Return the value of the Server header."""
        return "llmcompare"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Log nothing: the addresses hold the token."""
