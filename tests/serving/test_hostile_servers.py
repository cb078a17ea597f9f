"""Answers of hostile or broken servers: wrong types, endless bodies, odd headers, text that acts."""

from __future__ import annotations

import contextlib
import copy
import json
import math
import socket
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pytest_llmcompare.serving import bounded_body
from pytest_llmcompare.serving.answer import Answer, BadAnswerError, read_answer
from pytest_llmcompare.serving.run_limits import seconds_to_wait

from .servers import Faulty, completion
from .test_faults import FIELDS, client, refused

TOP = {"token": "a", "id": 1, "bytes": [97], "logprob": -0.5}
OTHER = {"token": "b", "id": 2, "bytes": [98], "logprob": -1.5}
USAGE = {"usage": {"prompt_tokens": 2, "completion_tokens": 1}, "model": "m", "system_fingerprint": "f"}
END = {"index": 0, "finish_reason": "stop"}
LOGPROBS = {"content": [{**TOP, "top_logprobs": [TOP, OTHER]}]}
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
ENTRIES = [None, {"5": {"logprob": -0.5, "rank": 1, "decoded_token": "q"}, "6": {"logprob": -1.0, "rank": 2}}]
OLDER = {
    "tokens": ["token_id:1"],
    "token_logprobs": [-0.5],
    "top_logprobs": [{"token_id:1": -0.5, "token_id:2": -1.0}],
}
BODIES: dict[str, dict[str, Any]] = {
    "llama.cpp": {**USAGE, "choices": [{**END, "text": "a", "logprobs": LOGPROBS}]},
    "chat": {**USAGE, "choices": [{**END, "message": {"content": "a"}, "logprobs": LOGPROBS}]},
    "tools": {**USAGE, "choices": [{**END, "message": {"content": "a", "reasoning": "x", "tool_calls": [CALL]}}]},
    "vllm": {
        **USAGE,
        "choices": [
            {**END, "text": "a", "prompt_token_ids": [4, 5], "prompt_logprobs": ENTRIES, "logprobs": OLDER},
        ],
    },
}
WRONG: tuple[Any, ...] = (
    *(None, True, 0, -1, 3, 1.5, 10**400, -(10**400), 1e300, math.inf, math.nan, 2**60),
    *("", "x", "\ud800", "\0", "-5", "9" * 5000, [], [[]], [None], ["x"], [1], {}, {"x": 1}, {"5": None}),
)


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Keys that lead to each value inside a value."""
    yield place
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inside:
        yield from places(one, (*place, key))


def replaced(body: dict[str, Any], place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed: Any = copy.deepcopy(body)
    inside = changed
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    return dict(changed)


@pytest.mark.parametrize("name", BODIES)
def test_wrong_types_anywhere(name: str) -> None:
    """Each value of an answer, replaced by each of many others: an answer with finite numbers, or an error of it."""
    for place in list(places(BODIES[name]))[1:]:
        for value in WRONG:
            content = json.dumps(replaced(BODIES[name], place, value)).encode()
            answer = None
            with contextlib.suppress(BadAnswerError):
                answer = read_answer(content, has_stop_strings=False)
            assert answer is None or is_sound(answer), (place, value, answer)


def is_sound(answer: Answer) -> bool:
    shown = [*(answer.tokens or ()), *(answer.prompt.tokens if answer.prompt else ())]
    numbers = [value for token in shown for value in (token.logprob, *token.alternatives.values())]
    ids = [token.id for token in shown]
    return (
        all(math.isfinite(value) for value in numbers)
        and all(type(one) is int and one >= 0 for one in ids)
        and answer.prompt_shown.isascii()
    )


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 4.0),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "7", "retry-after-ms": "250"}, 0.25),
        ({"retry-after": "-3"}, 4.0),
        ({"retry-after": "0"}, 4.0),
        ({"retry-after": "nan"}, 4.0),
        ({"retry-after": "inf"}, math.inf),
        ({"retry-after": "soon"}, 4.0),
        ({"retry-after": formatdate(time.time() - 100, usegmt=True)}, 4.0),
        ({"retry-after": "Wed, 21 Oct 99999 07:28:00 GMT"}, 4.0),
        ({"retry-after": "2", "retry-after-ms": "x"}, 2.0),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], seconds: float) -> None:
    """What the server asks for if it is a time to come, else longer each time."""
    assert seconds_to_wait(headers, 3) == seconds


def test_a_date_to_wait_for() -> None:
    """As proxies write it."""
    assert 50 < seconds_to_wait({"retry-after": formatdate(time.time() + 60, usegmt=True)}, 1) <= 60


def test_an_answer_that_never_ends() -> None:
    """Pieces that arrive in time do not extend the time of the whole answer."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n")
                while True:
                    try:
                        connection.sendall(b" ")
                    except OSError:
                        return
                    time.sleep(0.05)

        threading.Thread(target=drip, daemon=True).start()
        start = time.monotonic()
        with pytest.raises(BadAnswerError, match=r"did not answer within 0\.5 s"):
            client(f"http://127.0.0.1:{listening.getsockname()[1]}/v1", timeout=0.5).send(FIELDS, {})
        assert time.monotonic() - start < 5


def test_an_answer_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up, and not asked again."""
    monkeypatch.setattr(bounded_body, "MOST_BYTES", 1 << 20)
    with Faulty(lambda *_: b" " * (3 << 20)) as faulty:
        with pytest.raises(BadAnswerError, match="the answer is larger than 1 MB"):
            client(faulty.url).send(FIELDS, {})
        assert len(faulty.requests) == 1


def test_words_of_a_server_are_cut() -> None:
    """They stand in a message of one case."""
    words = json.dumps({"error": {"message": "no " * 100_000}}).encode()
    with Faulty(lambda *_: (400, {}, words)) as faulty, pytest.raises(BadAnswerError) as caught:
        client(faulty.url).send(FIELDS, {})
    assert len(str(caught.value)) < 1100


def test_an_address_of_ip_version_6() -> None:
    """Asked directly, like any address of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(completion())

    class Six(ThreadingHTTPServer):
        address_family = socket.AF_INET6

    try:
        server = Six(("::1", 0), Handler)
    except OSError:
        pytest.skip("this machine has no ::1")
    with server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert client(f"http://[::1]:{server.server_port}/v1").send(FIELDS, {})[0] == completion()
        server.shutdown()


def test_a_negative_wait_does_not_storm() -> None:
    """A server that asks for a time that is over is asked again later, not at once."""
    with Faulty(lambda number, _: refused(429, Retry_After="-1") if number == 0 else completion()) as faulty:
        client(faulty.url).send(FIELDS, {})
        assert faulty.times[1] - faulty.times[0] >= 0.95
