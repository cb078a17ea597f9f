"""Addresses as they may be shown: no key that stands in one reaches a text, whatever the text around it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_llmcompare.errors import LlmCompareError
from pytest_llmcompare.text import in_text_without_secrets, source_without_secrets, without_secrets

SECRET = "Xq7SECRETz9"
SCHEMES = ("http", "https", "postgresql", "mysql+pymysql", "sqlite", "s3", "databricks", "mine:http", "mine", "wss")
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=8)
CODED = st.lists(
    st.sampled_from(["a", "Z", "0", "%40", "%2F", "%3A", "%20", "~", "!", "$", "+", "=", ".", ";"]), max_size=4
)
PARTS = CODED.map("".join)


@st.composite
def addresses(draw: st.DrawFn) -> str:
    """An address with a secret as its user, its password, a value of its query or its fragment."""
    place = draw(st.sampled_from(["user", "password", "query", "bare query", "fragment"]))
    secret = draw(PARTS) + SECRET + draw(PARTS)
    user = {"user": f"{secret}@", "password": f"{draw(NAMES)}:{secret}@"}.get(place, draw(st.sampled_from(["", "me@"])))
    port = draw(st.sampled_from(["", ":80", ":5432"]))
    path = draw(st.sampled_from(["", "/", "/v1", "/models/qa@champion", "/a,b/c;d"]))
    query = {"query": f"?a=1&key={secret}", "bare query": f"?{secret}"}.get(place, draw(st.sampled_from(["", "?a=b"])))
    end = f"#access_token={secret}" if place == "fragment" else ""
    return f"{draw(st.sampled_from(SCHEMES))}://{user}{draw(NAMES)}{port}{path}{query}{end}"


SURROUNDINGS = (
    "{}",
    "API request to {} failed",
    "('Connection aborted.', host='{}'), url={}",
    "first line\nmodel 'm': {}: no answer\nlast line",
    '{{"url": "{}", "n": 1}}',
    "see <{}>, or [here]({}).",
    "`{}`;{}",
    "m={}",
)


@given(addresses(), st.sampled_from(SURROUNDINGS))
@example(f"http://host/?token={SECRET}", "Max retries exceeded with url: {}")
def test_no_secret_of_an_address_is_shown(address: str, around: str) -> None:
    """User, password, query and fragment never reach a message, a report or a store."""
    assert SECRET not in without_secrets(address)
    assert SECRET not in source_without_secrets(address)
    assert SECRET not in source_without_secrets(f"name={address}")
    text = around.replace("{}", address).replace("{{", "{").replace("}}", "}")
    assert SECRET not in in_text_without_secrets(text)
    assert SECRET not in str(LlmCompareError(text))
    assert SECRET not in in_text_without_secrets(json.dumps({"error": text}))
    assert SECRET not in in_text_without_secrets(repr(ValueError(text)))


@pytest.mark.parametrize(
    "text",
    [
        f"Max retries exceeded with url: /?token={SECRET}/api/2.0/mlflow (Caused by NewConnectionError)",
        f"url: /api/2.0/x?run_id=1&sig={SECRET}",
        rf'{{"u":"http:\/\/me:{SECRET}@h\/x?k={SECRET}"}}',
        f"GET /?uri=http%3A%2F%2Fme%3A{SECRET}%40h",
        f"store/http%3A%2F%2Fme%3A{SECRET}%40h/artifacts",
        f"'postgresql://me:pa/ss#{SECRET}@host/db'",
        f"postgresql://me:{SECRET}?x@host/db",
        f"postgresql://me:a@b/{SECRET}@host/db",
        f"https://proxy/https://me:{SECRET}@host/x",
        f"model 'm' (mine:me:{SECRET}@host/x)",
    ],
)
def test_secrets_in_odd_places(text: str) -> None:
    """Bare paths, escaped and encoded addresses, passwords with signs that should have been encoded."""
    assert SECRET not in in_text_without_secrets(text)


@pytest.mark.parametrize(
    "text",
    [
        "tests/test_a.py::test_a[qa-sky@greedy] drifted at token 7",
        "models:/qa@champion, models:/qa/3, runs:/0a1b/model",
        "What is 2+2? It is 4. #1, C:\\models\\tiny, ~/x@y",
        "see https://mlflow.org/docs/latest.",
        "http://localhost:5000/models/qa@champion",
        "sqlite:////home/a@b/mlflow.db",
        "Q: Which? A=b\n\tlines  and blanks stay",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    """Names, aliases, paths and plain sentences are shown as they are."""
    assert in_text_without_secrets(text) == text


@pytest.mark.parametrize("address", [f"http:/me:{SECRET}@h/x", f"//me:{SECRET}@h/x"])
@pytest.mark.parametrize("clean", [without_secrets, source_without_secrets, in_text_without_secrets])
def test_slashes_that_are_missing(address: str, clean: Callable[[str], str]) -> None:
    assert SECRET not in clean(address)
