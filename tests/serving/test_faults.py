"""Faults of servers: each is an error of its case with the address and the cause, and none becomes a baseline."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from pytest_llmcompare.models.served import Address, ServerOptions
from pytest_llmcompare.serving.answer import BadAnswerError
from pytest_llmcompare.serving.client import Client
from pytest_llmcompare.serving.server import Level, Question, Server
from pytest_llmcompare.serving.threads import in_threads
from tests.plugin.suites import Suite, says

from .servers import Faulty, Reply, completion

GREEDY = {"do_sample": False, "max_new_tokens": 4}
FIELDS = {"prompt": "x", "max_tokens": 1, "temperature": 0.0}
CUT: Reply = (200, {"content-length": "999", "connection": "close"}, b"{")
KEYS: Mapping[str, str] = {"QA_KEY": "sk-mine"}


def client(url: str, **options: Any) -> Client:
    return Client(Address("m", url), ServerOptions(**options), KEYS)


def refused(status: int, **headers: str) -> Reply:
    return status, {name.replace("_", "-"): value for name, value in headers.items()}, b'{"error": {"message": "no"}}'


def test_429_pauses_all_threads_once() -> None:
    """The first answers ask for a second; then everything passes, and nobody asks within that second."""
    with Faulty(lambda number, _: refused(429, Retry_After="1") if number < 2 else completion()) as faulty:
        one = client(faulty.url)
        questions = {index: Question("x", GREEDY) for index in range(4)}
        start = time.monotonic()
        outcomes = dict(in_threads(lambda _: one.send(FIELDS, {}), questions, 2))
        assert len(outcomes) == 4
        assert 1 <= time.monotonic() - start < 3
        assert len(faulty.requests) == 6


@pytest.mark.parametrize(
    ("reply", "requests", "message"),
    [
        (refused(429, Retry_After="86400"), 1, "answered 429 (Retry-After: 86400): no"),
        (refused(500), 3, "answered 500 to 3 requests: no"),
        (refused(401), 1, "answered 401: no"),
        (None, 3, "cannot be asked after 3 requests: Server disconnected"),
        (CUT, 3, "cannot be asked after 3 requests: peer closed connection"),
    ],
)
def test_what_is_asked_again(reply: Reply | None, requests: int, message: str) -> None:
    """A quota of a day fails at once; a server's own errors and lost connections are tried twice more."""
    with Faulty(lambda *_: reply) as faulty:
        with pytest.raises(BadAnswerError) as caught:
            client(faulty.url).send(FIELDS, {})
        assert message in str(caught.value)
        assert faulty.url in str(caught.value)
        assert len(faulty.requests) == requests


def test_503_twice_passes() -> None:
    """The third answer is taken."""
    with Faulty(lambda number, _: refused(503) if number < 2 else completion()) as faulty:
        assert client(faulty.url).send(FIELDS, {})[0] == completion()


def test_a_timeout_is_not_repeated() -> None:
    """The server would still be busy with the first request; the message says how to wait longer."""

    def slow(*_: object) -> bytes:
        time.sleep(1)
        return completion()

    with Faulty(slow) as faulty:
        with pytest.raises(BadAnswerError) as caught:
            client(faulty.url, timeout=0.2).send(FIELDS, {})
        assert "did not answer within 0.2 s" in str(caught.value)
        assert len(faulty.requests) == 1


def test_a_dead_server_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the cause, whatever proxy is set."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with pytest.raises(BadAnswerError) as caught:
        client("http://127.0.0.1:1/v1").send(FIELDS, {})
    assert "http://127.0.0.1:1/v1 cannot be asked after 3 requests: " in str(caught.value)
    assert "refused" in str(caught.value)


def test_nothing_meant_for_openai_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither key nor organisation nor headers of the environment; a key and headers only where they are named."""
    for name in ("API_KEY", "ORG_ID", "PROJECT_ID", "ADMIN_KEY"):
        monkeypatch.setenv(f"OPENAI_{name}", "theirs")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Theirs: theirs\nAuthorization: Bearer theirs")
    with Faulty(lambda *_: completion()) as faulty:
        for options in ({}, {"api_key_env": "QA_KEY"}, {"headers_env": {"api-key": "QA_KEY"}}):
            client(faulty.url, **options).send(FIELDS, {})
        none, key, header = (headers for headers, _ in faulty.requests)
    assert "theirs" not in str(faulty.requests)
    assert not {"authorization", "openai-organization", "openai-project"} & none.keys()
    assert key["authorization"] == "Bearer sk-mine"
    assert "authorization" not in header
    assert header["api-key"] == "sk-mine"


def test_a_key_in_the_words_of_a_server_is_hidden() -> None:
    """Some servers repeat a wrong key."""
    reply: Reply = 401, {}, b'{"error": {"message": "Incorrect key: sk-mine"}}'
    with Faulty(lambda *_: reply) as faulty, pytest.raises(BadAnswerError) as caught:
        client(faulty.url, api_key_env="QA_KEY").send(FIELDS, {})
    assert "Incorrect key: ***" in str(caught.value)


LOGPROBS = {"content": [{"id": 1, "logprob": -0.5, "top_logprobs": [{"id": 1, "logprob": -0.5}]}]}


@pytest.mark.parametrize(
    ("reply", "level", "requests"),
    [
        (lambda body: completion(logprobs=LOGPROBS), Level.OUTPUT, 1),
        (lambda body: completion(), Level.TEXT, 1),  # the fields are ignored in silence
        (lambda body: refused(422) if "return_token_ids" in body else completion(logprobs=LOGPROBS), Level.OUTPUT, 2),
        (lambda body: refused(400) if "logprobs" in body else completion(), Level.TEXT, 3),
    ],
)
def test_the_level_follows_the_content(reply: Callable[[Any], Any], level: Level, requests: int) -> None:
    """Of one answer, after at most three requests, of which later ones learn."""
    with Faulty(lambda _, body: reply(body)) as faulty:
        server = Server(client(faulty.url))
        assert server.probe("m").level is level
        assert server.probe("m").level is level
        assert len(faulty.requests) == requests
        server.ask(Question("x", GREEDY))
        _, body = faulty.requests[-1]
        assert ("logprobs" in body) is (level is Level.OUTPUT)
        assert (body["temperature"], body["max_tokens"]) == (0.0, 4)


def test_no_more_than_so_many_at_once() -> None:
    """And not one after the other either."""

    def slow(*_: object) -> bytes:
        time.sleep(0.1)
        return completion()

    with Faulty(slow) as faulty:
        server = Server(client(faulty.url, concurrency=5))
        server.probe("m")
        start = time.monotonic()
        outcomes = dict(in_threads(server.ask, {index: Question("x", GREEDY) for index in range(20)}, 5))
        assert len(outcomes) == 20
        assert faulty.most == 5
        assert time.monotonic() - start < 1.5


ROWS = [{"id": f"q{number}", "prompt": f"Question {number}"} for number in range(9)]
BAD: Mapping[str, Reply | bytes | None] = {
    "Question 0": refused(500),
    "Question 1": b"<html>login</html>",
    "Question 2": b'{"choices": []}',
    "Question 3": completion(finish_reason="content_filter"),
    "Question 4": completion(logprobs={"token_logprobs": [float("nan")], "tokens": ["x"]}),
    "Question 5": None,
    "Question 8": CUT,
}


def test_faulty_cases_are_errors_and_the_others_are_judged(suite: Suite) -> None:
    """Nothing of a faulty case is recorded, and the messages name address and cause."""
    suite.trivia(ROWS)
    with Faulty(lambda _, body: BAD.get(body["prompt"], completion())) as faulty:
        result = suite.run("--llm-update", models=[f"m=openai:m@{faulty.url}"])
        result.assert_outcomes(passed=2, errors=7)
        assert sorted(suite.cases()) == ["q6", "q7"]
        for words in (
            "answered 500",
            "not a JSON object",
            "exactly one choice",
            "content filter",
            "NaN",
            "disconnected",
            "peer closed",
        ):
            assert says(result, words), words
        assert says(result, "texts are compared; silent drift cannot be seen")
        suite.run(models=[f"m=openai:m@{faulty.url}"]).assert_outcomes(passed=2, errors=7)


def test_a_missing_variable_is_a_usage_error(suite: Suite) -> None:
    """Before the first request, and by its name."""
    suite.trivia(ROWS)
    with Faulty(lambda *_: completion()) as faulty:
        table = f'[tool.llmcompare.models.m]\nsource = "openai:m@{faulty.url}"\napi_key_env = "MISSING_KEY"\n'
        suite.write("pyproject.toml", table)
        result = suite.run(models=["m"])
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        assert "environment variable MISSING_KEY" in result.stderr.str()
        assert suite.run("--collect-only", models=["m"]).ret == 0
        assert faulty.requests == []


def test_settings_without_a_counterpart_are_refused(suite: Suite) -> None:
    """Before any request: most servers would ignore them in silence."""
    test = """
    import pytest

    @pytest.mark.llm_prompts("trivia.jsonl", gen_config={"no_repeat_ngram_size": 2}, model_type=None)
    def test_trivia(llm_output, llm_baseline):
        assert llm_output == llm_baseline
    """
    suite.trivia(ROWS, test)
    with Faulty(lambda *_: completion()) as faulty:
        result = suite.run(models=[f"m=openai:m@{faulty.url}"])
        assert result.ret == pytest.ExitCode.INTERRUPTED
        assert says(result, "model 'm': no_repeat_ngram_size cannot be asked of a served model")
        assert faulty.requests == []


def test_a_server_that_is_replaced_records_nothing(suite: Suite) -> None:
    """Another model answers in the middle of the run."""
    suite.trivia(ROWS)
    other = completion().replace(b'"model": "m"', b'"model": "other"')
    with Faulty(lambda number, _: other if number > 4 else completion()) as faulty:
        result = suite.run("--llm-update", models=[f"m=openai:m@{faulty.url}"])
        result.assert_outcomes(errors=9)
        assert says(result, "the server was replaced while it was asked")
        assert suite.stored() == {}
    assert not list(suite.path.glob(".llmcompare/journal/*"))  # answers of two models, which no run may resume


def test_the_package_is_named_where_it_is_missing(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence with the extra's name."""
    suite.trivia(ROWS)
    monkeypatch.setitem(sys.modules, "openai", None)
    result = suite.run(models=["m=openai:m@http://127.0.0.1:1/v1"])
    assert says(result, "need the package 'openai', which is not installed")
    assert says(result, 'pip install "pytest-llmcompare[openai]"')


def test_the_sdk_is_not_imported_before_the_first_request() -> None:
    """Nor torch, by all of this room."""
    code = (
        "import sys, pytest_llmcompare.plugin; "
        "import pytest_llmcompare.serving.measure_noise, pytest_llmcompare.serving.server; "
        "print({'openai', 'httpx2', 'torch', 'mlflow'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, encoding="utf-8")
    assert done.stdout.strip() == "set()", done.stderr
