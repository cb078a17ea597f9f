"""Which requests the review page's server answers. Pure.

Any page that is open in the same browser can send requests to 127.0.0.1, and so can any program on this machine.
Therefore the address holds a secret token, the host must be this machine by its own name (another name may have been
pointed at it), and decisions must come from our page.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from email.message import Message
from http import HTTPStatus

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")
MAX_BYTES_PER_DECISION = 16
PAGE, DECISIONS = "", "decisions"
METHODS: Mapping[str, Sequence[str]] = {PAGE: ("GET", "HEAD"), DECISIONS: ("POST",)}
"""The two routes below the token, each with its methods."""

WRONG_ADDRESS = "Open the whole address that llmcompare printed; it holds a secret token."


class RefusedError(Exception):
    """A request that is answered with an error.

    Attributes:
        status: The HTTP status.
        reason: The body of the answer.
        allow: The methods that are allowed, if the method was wrong.
    """

    def __init__(self, status: HTTPStatus, reason: str, *, allow: str = "") -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.allow = allow


class Access:
    """The rules for one review.

    Args:
        port: The port of the server.
        entries: How many outputs there are to decide about.
    """

    def __init__(self, port: int, entries: int) -> None:
        self.token = secrets.token_urlsafe(32)
        self.hosts = {f"{name}:{port}" for name in NAMES} | (set(NAMES) if port == 80 else set())  # HTTP's own port
        self.address = f"http://{HOST}:{port}/{self.token}/"
        self.entries = entries
        self.max_bytes = 64 + MAX_BYTES_PER_DECISION * entries

    def check(self, method: str, path: str, headers: Message) -> str:
        """Return which of the routes a request takes.

        Args:
            method: The HTTP method.
            path: The path with the query.
            headers: The headers.

        Raises:
            RefusedError: The request is not allowed.
        """
        if _single(headers, "Host") not in self.hosts:
            raise RefusedError(HTTPStatus.FORBIDDEN, f"This page is served to {' and '.join(sorted(self.hosts))} only.")
        route = self._below_token(path)
        if route not in METHODS:
            raise RefusedError(HTTPStatus.NOT_FOUND, "There is no such page.")
        if method not in METHODS[route]:
            allow = ", ".join(METHODS[route])
            raise RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, f"Allowed here: {allow}.", allow=allow)
        if route == DECISIONS:
            self._check_sender(headers)
        return route

    def length(self, headers: Message) -> int:
        """Return the length of the body in bytes.

        Raises:
            RefusedError: It is not given, or too large.
        """
        length = _single(headers, "Content-Length")
        if not (length.isascii() and length.isdecimal()) or "Transfer-Encoding" in headers:
            raise RefusedError(HTTPStatus.LENGTH_REQUIRED, "The body needs a Content-Length.")
        if len(length) > 9 or int(length) > self.max_bytes:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body has more than {self.max_bytes:,} bytes.")
        return int(length)

    def decisions(self, body: bytes) -> list[str | None]:
        """Return the decisions in a body: one of "accept", "reject", "skip" or null for each output, in their order.

        Raises:
            RefusedError: The body is something else.
        """
        try:
            values = json.loads(body)
        except (ValueError, RecursionError):
            values = None
        if not (
            isinstance(values, list)
            and len(values) == self.entries
            and all(value in (None, "accept", "reject", "skip") for value in values)
        ):
            raise RefusedError(HTTPStatus.BAD_REQUEST, f"Expected a JSON list of {self.entries:,} decisions.")
        return values

    def _below_token(self, path: str) -> str:
        token, slash, route = path.partition("?")[0].removeprefix("/").partition("/")
        same = secrets.compare_digest(token.encode("utf-8", "surrogateescape"), self.token.encode("ascii"))
        if not (same and slash):
            raise RefusedError(HTTPStatus.FORBIDDEN, WRONG_ADDRESS)
        return route

    def _check_sender(self, headers: Message) -> None:
        if _single(headers, "Origin") not in {f"http://{host}" for host in self.hosts}:
            raise RefusedError(HTTPStatus.FORBIDDEN, "Only the review page itself may decide.")
        if _single(headers, "Content-Type").partition(";")[0].strip().lower() != "application/json":
            raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Decisions must be JSON.")


def _single(headers: Message, name: str) -> str:
    """Return the value of a header; empty if it is missing or given more than once."""
    values = headers.get_all(name, [])
    return str(values[0]) if len(values) == 1 else ""
