"""Who may ask the review page for what. Pure.

Any page that is open in the same browser can send requests to 127.0.0.1, and any program of this machine. So an address
holds a secret, the host must be this machine by its own name (another name may have been pointed at it), and what
changes anything must come from our page.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")
MOST_BYTES = 4096  # of a body; the largest that the page sends has 60
PAGE = ""
METHODS: Mapping[str, str] = {PAGE: "GET", "state": "GET", "decide": "POST", "undo": "POST", "done": "POST"}
"""What there is below the secret part of the address, each with the one method that it takes."""

WRONG_ADDRESS = "Open the whole address that llmcompare printed; it holds a secret part."


class Refused(Exception):  # noqa: N818
    """A request that is not answered.

    Attributes:
        status: HTTP's status.
        why: What to say.
        allow: The method that would be answered.
    """

    def __init__(self, status: HTTPStatus, why: str, *, allow: str = "") -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.allow = allow


class Request(NamedTuple):
    """What counts of a request.

    Attributes:
        method: HTTP's method.
        path: The path with all that follows it.
        headers: Its headers, all values of each, by their names in lower case.
    """

    method: str
    path: str
    headers: Mapping[str, Sequence[str]]

    def header(self, name: str) -> str | None:
        """The value of a header; None where there is none or more than one."""
        values = self.headers.get(name, ())
        return values[0] if len(values) == 1 else None


class Access:
    """The rules for one review.

    Args:
        port: The port that is served.
        token: The secret part of the address; by default a new one.
    """

    def __init__(self, port: int, token: str = "") -> None:
        self.token = token or secrets.token_urlsafe(32)
        self.hosts = {f"{name}:{port}" for name in NAMES} | (set(NAMES) if port == 80 else set())  # HTTP's own port
        self.address = f"http://{HOST}:{port}/{self.token}/"

    def check(self, request: Request) -> str:
        """What is asked for, one of `METHODS`.

        Raises:
            Refused: It may not be asked for, or not so.
        """
        if request.header("host") not in self.hosts:
            raise Refused(HTTPStatus.FORBIDDEN, f"This page is served to {' and '.join(sorted(self.hosts))} only.")
        what = self._below_token(request.path)
        if what not in METHODS:
            raise Refused(HTTPStatus.NOT_FOUND, "There is no such page.")
        if request.method != METHODS[what]:
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, f"This takes {METHODS[what]} only.", allow=METHODS[what])
        if METHODS[what] == "POST":
            self._check_writing(request)
        return what

    def length(self, request: Request) -> int:
        """How many bytes of a body there are to read.

        Raises:
            Refused: That is not told, or too many.
        """
        told = request.header("content-length")
        if told is None or not (told.isascii() and told.isdecimal()) or "transfer-encoding" in request.headers:
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "The length of the body is not told.")
        if len(told) > 9 or int(told) > MOST_BYTES:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body has more than {MOST_BYTES:,} bytes.")
        return int(told)

    def _below_token(self, path: str) -> str:
        token, slash, what = path.partition("?")[0].removeprefix("/").partition("/")
        same = secrets.compare_digest(token.encode("utf-8", "surrogateescape"), self.token.encode("ascii"))
        if not (same and slash):
            raise Refused(HTTPStatus.FORBIDDEN, WRONG_ADDRESS)
        return what

    def _check_writing(self, request: Request) -> None:
        if request.header("origin") not in {f"http://{host}" for host in self.hosts}:
            raise Refused(HTTPStatus.FORBIDDEN, "Only the review page itself may decide.")
        if (request.header("content-type") or "").partition(";")[0].strip().lower() != "application/json":
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "This takes JSON only.")


def parsed(body: bytes) -> dict[str, Any]:
    """The object in a body.

    Raises:
        Refused: There is none.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Refused(HTTPStatus.BAD_REQUEST, "This takes a JSON object.")
    return found
