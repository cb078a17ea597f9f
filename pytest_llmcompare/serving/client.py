"""Sends requests to one server through the official SDK: with retries, and one pause for all threads."""

from __future__ import annotations

import ipaddress
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from pytest_llmcompare.errors import ModelError
from pytest_llmcompare.models.served import Address, ServerOptions
from pytest_llmcompare.text import HIDDEN, in_text_without_secrets

from .answer import BadAnswerError, Received, shown
from .bounded_body import bound_body
from .run_limits import LONGEST_PAUSE, Pause, RequestBudget, Slots, seconds_to_wait

if TYPE_CHECKING:
    import openai

TRIES = 3
"""Requests for one answer if the connection fails or the server answers with an error of its own."""
MOST_LIMITED = 6
"""Requests for one answer if the server says that it gets too many."""
IDLE_CONNECTIONS = 4
"""Connections that are kept open: llama.cpp stalls for seconds if more of them are idle than it has threads."""
CONNECT_TIMEOUT = 10.0  # seconds
MOST_WORDS = 1000  # characters of a message that may hold words of the server
OUR_OWN = "pytest-llmcompare"


class RefusedError(BadAnswerError):
    """An answer with an HTTP status of 400 or more.

    Args:
        message: What the server says.
        status: The status.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Client:
    """Sends completion requests for one model.

    Args:
        address: Model and server.
        options: How to ask.
        environment: Environment variables, which hold the key and the values of headers.
        folder: Folder that the processes of a run share, which keep its limits together; None if there is only this
            one.

    Attributes:
        url: The server's address.
        sent: Number of requests that this process sent so far.
        budget: Number of requests that the run may send.

    Raises:
        ModelError: The SDK is not installed.
        UsageError: An environment variable is missing.
    """

    def __init__(
        self,
        address: Address,
        options: ServerOptions,
        environment: Mapping[str, str] = os.environ,
        folder: Path | None = None,
    ) -> None:
        self.url = address.url
        self.model = address.model
        self.options = options
        self.pause = Pause(folder)
        self.sent = 0
        self.budget = RequestBudget(options.max_requests, folder)
        self._slots = Slots(folder, self.pause.stopped)
        self._is_alone = False
        self._lock = threading.Lock()
        key = environment.get(options.api_key_env, "").strip() if options.api_key_env else ""
        headers = {name: environment[variable].strip() for name, variable in options.headers_env.items()}
        self._secrets = sorted({*filter(None, [key]), *headers.values()}, key=len, reverse=True)
        self._sdk = _sdk(address.url, options, key, headers)
        ours = {name.lower() for name in headers} | ({"authorization"} if key else set())
        # The SDK adds OPENAI_CUSTOM_HEADERS to every request and empty ones of its own, and insists on a key.
        lines = [line for line in os.environ.get("OPENAI_CUSTOM_HEADERS", "").split("\n") if ":" in line]
        named = (line.partition(":")[0].strip() for line in lines)
        ambient = ("Authorization", "OpenAI-Organization", "OpenAI-Project", *named)
        self._omitted = [name for name in ambient if name.lower() not in ours]

    def send(self, fields: Mapping[str, Any], extra: Mapping[str, Any], *, tries: int = TRIES) -> Received:
        """Send a request for a completion, of a chat if it has messages.

        Args:
            fields: The question (`prompt`, or `messages`) and the fields that say how to answer it.
            extra: Further fields, which the user's `extra_body` cannot replace.
            tries: Requests if the connection fails or the server is at fault.

        Raises:
            RefusedError: The server answers with an error.
            BadAnswerError: There is no answer.
        """
        import openai

        failures = limited = 0
        while True:
            self.pause.wait()
            self._count()
            try:
                return self._send_once(fields, extra)
            except openai.RateLimitError as error:
                limited += 1
                seconds = seconds_to_wait(error.response.headers, limited)
                if seconds > LONGEST_PAUSE or limited == MOST_LIMITED or error.code == "insufficient_quota":
                    raise self._refused(error, limited + failures) from None
                self.pause.extend(seconds)
            except openai.APITimeoutError:
                raise BadAnswerError(
                    f"{self.url} did not answer within {self.options.timeout:g} s; timeout = SECONDS in the model's "
                    "table of pyproject.toml allows more"
                ) from None
            except openai.APIConnectionError as error:
                if isinstance(error.__cause__, BadAnswerError):  # of our own limits
                    raise error.__cause__ from None
                failures += 1
                if failures >= tries:
                    raise self._unreachable(error, failures) from None
                self.pause.stopped.wait(0.25 * 2**failures)
            except openai.APIStatusError as error:
                failures += 1
                if error.status_code < 500 or failures >= tries:
                    raise self._refused(error, failures) from None
                self.pause.stopped.wait(0.25 * 2**failures)

    def _send_once(self, fields: Mapping[str, Any], extra: Mapping[str, Any]) -> Received:
        import openai

        endpoint = self._sdk.chat.completions if "messages" in fields else self._sdk.completions
        create: Any = endpoint.with_raw_response.create
        question = {name: value for name, value in fields.items() if name in ("prompt", "messages")}
        # The SDK's methods do not know all fields by name.
        body = {name: value for name, value in fields.items() if name not in question}
        with self._slots.hold(self.options.concurrency, alone=self._is_alone):
            started = time.perf_counter()
            answer = create(
                model=self.model,
                extra_body={**body, **self.options.extra_body, **extra},
                extra_headers={name: openai.Omit() for name in self._omitted},
                **question,
            )
            seconds = time.perf_counter() - started
        return Received(answer.http_response.content, answer.headers.get("server", ""), seconds)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Send each request while no other is in flight, from any process of the run."""
        self._is_alone = True
        try:
            yield
        finally:
            self._is_alone = False

    def get(self, path: str, timeout: float) -> bytes:
        """The body of the answer to a GET, whatever its status; it counts as no request.

        Args:
            path: Path on the server, from its root.
            timeout: Seconds to wait.

        Raises:
            BadAnswerError: There is no answer.
        """
        import httpx2
        import openai

        headers = {name: openai.Omit() for name in self._omitted}
        try:
            answer = self._sdk.get(
                urljoin(self.url, path), cast_to=httpx2.Response, options={"headers": headers, "timeout": timeout}
            )
        except openai.APIStatusError as error:
            return error.response.content
        except openai.APITimeoutError:
            raise BadAnswerError(f"{self.url} did not answer within {timeout:g} s") from None
        except openai.APIConnectionError as error:
            raise self._unreachable(error, 1) from None
        return answer.content

    def _count(self) -> None:
        """Count a request that is about to be sent.

        Raises:
            BadAnswerError: The run may send no more, or it has ended.
        """
        if self.pause.stopped.is_set():
            raise BadAnswerError("the run has ended")
        if not self.budget.use_one():
            raise BadAnswerError(
                f"{self.url}: max_requests = {self.budget.limit} in the model's table of pyproject.toml allows no "
                "further request in this run: raise it, or select fewer tests"
            )
        with self._lock:
            self.sent += 1

    def close(self) -> None:
        """End pauses and close the connections."""
        self.pause.stopped.set()
        self._sdk.close()

    def clean(self, text: str) -> str:
        """One line of text without the key, the values of headers and the secrets of addresses; a long one is cut."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        text = " ".join(text.split())
        return in_text_without_secrets(text if len(text) <= MOST_WORDS else f"{text[:MOST_WORDS]}…")

    def _refused(self, error: openai.APIStatusError, requests: int) -> RefusedError:
        body = error.body if isinstance(error.body, dict) else {}
        words = body.get("message") or body.get("detail") or ""  # FastAPI's name for it is detail
        words = words if words and isinstance(words, str) else shown(error.response.content)
        times = f" to {requests} requests" if requests > 1 else ""
        wait = error.response.headers.get("retry-after", "") if error.status_code == 429 else ""
        later = f" (Retry-After: {wait})" if wait else ""
        message = f"{self.url} answered {error.status_code}{later}{times}: {words}"
        return RefusedError(self.clean(message), error.status_code)

    def _unreachable(self, error: openai.APIConnectionError, requests: int) -> BadAnswerError:
        cause = error.__cause__ or error
        proxy = _proxy(self.url)
        through = f" through the proxy {proxy}" if proxy else ""
        times = f" after {requests} requests" if requests > 1 else ""
        why = f"{str(cause) or 'no reason given'} ({type(cause).__name__})"
        return BadAnswerError(self.clean(f"{self.url} cannot be asked{through}{times}: {why}"))


def _sdk(url: str, options: ServerOptions, key: str, headers: Mapping[str, str]) -> openai.OpenAI:
    """The SDK's client, with nothing of the environment that is meant for OpenAI's own server.

    Raises:
        ModelError: The SDK is not installed.
    """
    try:
        import httpx2
        import openai
    except ModuleNotFoundError as error:
        raise ModelError(
            f"served models (openai:MODEL@URL) need the package {error.name!r}, which is not installed. "
            'Install the extra: pip install "pytest-llmcompare[openai]"'
        ) from error
    web = openai.DefaultHttpxClient(
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=IDLE_CONNECTIONS),
        follow_redirects=False,
        trust_env=not is_local(url),  # proxies
        verify=False if _is_plain(url) else httpx2.create_ssl_context(),  # of SSL_CERT_FILE, for local servers, too
        event_hooks={"response": [bound_body(options.timeout, httpx2.SyncByteStream, httpx2.ReadTimeout)]},
    )
    return openai.OpenAI(
        base_url=url,
        api_key=key,
        admin_api_key="",
        organization="",
        project="",
        webhook_secret="",
        default_headers={"User-Agent": OUR_OWN, **({"Authorization": f"Bearer {key}"} if key else {}), **headers},
        timeout=httpx2.Timeout(options.timeout, connect=min(CONNECT_TIMEOUT, options.timeout)),
        max_retries=0,
        http_client=web,
    )


def _is_plain(url: str) -> bool:
    """True if no TLS is involved, not even of a proxy; to read all authorities takes 35 ms."""
    return is_local(url) and urlsplit(url).scheme == "http"


def is_local(url: str) -> bool:
    """True for an address of this machine, for which no proxy is used."""
    host = urlsplit(url).hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def _proxy(url: str) -> str:
    """The proxy by which an address is reached, without its secrets; empty if there is none."""
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    if is_local(url) or proxy_bypass(parts.hostname or ""):
        return ""
    proxies = getproxies()
    return in_text_without_secrets(proxies.get(parts.scheme) or proxies.get("all") or "")
