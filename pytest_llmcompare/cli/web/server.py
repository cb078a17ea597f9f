"""The review page's server: 127.0.0.1 only, for as long as the review lasts."""

from __future__ import annotations

import contextlib
import json
import os
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pytest_llmcompare.cli.review_state import Decision

from .access import HOST, PAGE, Access, Refused, Request, parsed
from .desk import Closed, Desk, State

NEWS_SECONDS = 20.0  # that a request for news waits for some
LAST_SECONDS = 0.4  # that a page has to ask for the last news, between one question and the next
END_SECONDS = 90.0  # that carrying out may take: longer than a lock is waited for
SLOW_SECONDS = 10.0  # that a browser may take to say what it wants
MOST_DISCARDED = 1 << 16  # bytes of a body that nobody wants
NOTHING = "default-src 'none'"

Page = Callable[[State], tuple[str, str]]
"""The page at a state, and the policy that says what it may do."""


class Server(ThreadingHTTPServer):
    """Serves one review.

    Args:
        port: The port; 0 for one that is free.
        desk: The review.
        page: Draws the page.

    Raises:
        OSError: The port cannot be used.
    """

    daemon_threads = True
    allow_reuse_address = os.name == "posix"  # elsewhere it would let two programs have one port

    def __init__(self, port: int, desk: Desk, page: Page) -> None:
        self.desk = desk
        self.page = page
        self.is_watched = False
        self._answering = 0
        self._quiet = threading.Condition()
        super().__init__((HOST, port), Handler)
        self.access = Access(self.server_port)

    def server_bind(self) -> None:
        """Take the port; HTTPServer's own would ask the network for a name of this machine."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Answer requests meanwhile; at the end, those in flight, and pages that are about to ask for news."""
        thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            if self.is_watched:
                time.sleep(LAST_SECONDS)
            self.shutdown()
            thread.join()
            with self._quiet:
                self._quiet.wait_for(lambda: not self._answering, 2.0)
            self.server_close()

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """Count a request as in flight."""
        with self._quiet:
            self._answering += 1
        try:
            yield
        finally:
            with self._quiet:
                self._answering -= 1
                self._quiet.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away is no error."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Answers one request. Each has a connection of its own, so that nothing of one is taken for the next."""

    server: Server
    timeout = SLOW_SECONDS
    has_read = False  # whether the body was read

    def __getattr__(self, name: str) -> Callable[[], None]:
        """One way to answer, whatever the method: `do_GET`, `do_POST` and all others."""
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def answer(self) -> None:
        """Check the request, and do what it asks for."""
        headers: dict[str, list[str]] = {}
        for name, value in self.headers.items():
            headers.setdefault(name.lower(), []).append(value)
        request = Request(self.command, self.path, headers)
        with self.server.answering():
            try:
                what = self.server.access.check(request)
                if request.method == "POST":
                    body = self.rfile.read(self.server.access.length(request))
                    self.has_read = True
                    self.tell(self.do(what, parsed(body)))
                elif what == PAGE:
                    self.send("text/html", *self.server.page(self.server.desk.state()))
                else:
                    self.server.is_watched = True
                    self.tell(self.server.desk.state(version_in(self.path), NEWS_SECONDS))
            except Refused as refused:
                self.refuse(refused)

    def do(self, what: str, body: dict[str, Any]) -> State:
        """Do what changes the review; the state after it."""
        desk = self.server.desk
        try:
            if what == "decide":
                return desk.decide(*wanted(body))
            if what == "undo":
                return desk.undo()
        except (ValueError, IndexError):
            raise Refused(HTTPStatus.BAD_REQUEST, "There is no such entry or decision.") from None
        except Closed:
            raise Refused(HTTPStatus.CONFLICT, "The review has ended.") from None
        desk.ask_to_end()
        return desk.end(END_SECONDS)

    def tell(self, state: State) -> None:
        """Answer with the state of the review."""
        self.send("application/json", json.dumps(state))

    def refuse(self, refused: Refused) -> None:
        """Say why not, once the body is read: the answer to a connection with more in it may be lost."""
        told = self.headers.get("Content-Length", "")
        if told.isascii() and told.isdecimal() and not self.has_read:
            self.rfile.read(min(int(told[:9]), MOST_DISCARDED))
        more = {"Allow": refused.allow} if refused.allow else {}
        self.send("text/plain", refused.why + "\n", status=refused.status, **more)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """What the base class refuses, a line that is no HTTP for example, is refused as the rest is."""
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
        """Answer with a text."""
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
        """What the server calls itself."""
        return "llmcompare"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Requests are nobody's concern, and their addresses hold the secret."""


def version_in(path: str) -> int | None:
    """The version that a request for news has: `state?after=3`."""
    after = path.partition("?after=")[2]
    return int(after) if after.isascii() and after.isdecimal() and len(after) < 10 else None


def wanted(body: dict[str, Any]) -> tuple[int, Decision, bool]:
    """What is to be decided: the number of the entry, the decision, whether of all alike.

    Raises:
        ValueError: It is not told.
    """
    number, whole_group = body.get("entry"), body.get("group", False)
    if type(number) is not int or not isinstance(whole_group, bool):
        raise ValueError
    return number, Decision(body.get("decision")), whole_group
