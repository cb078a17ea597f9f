"""`openai:MODEL@URL`: how specs and tables of served models are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_llmcompare.errors import UsageError
from pytest_llmcompare.models.served import Address, ServerOptions, check_variables, parse_address
from pytest_llmcompare.models.spec import ModelSpec, SourceKind, parse_specs, shown_spec
from pytest_llmcompare.models.uris import join_specs, split_specs
from pytest_llmcompare.text import in_text_without_secrets

SERVER = SourceKind.SERVER
NOWHERE = Path("/nowhere")
URL = "http://127.0.0.1:8000/v1"


def parse(*texts: str, table: Mapping[str, Any] | None = None) -> tuple[ModelSpec, ...]:
    return parse_specs(texts, {} if table is None else {"m": table}, NOWHERE)


@pytest.mark.parametrize(
    ("text", "name", "address"),
    [
        (f"openai:tiny@{URL}", "tiny", Address("tiny", URL)),
        (f"qa=openai:Qwen/Qwen3-0.6B@{URL}/", "qa", Address("Qwen/Qwen3-0.6B", URL)),
        (f"openai:Qwen/Qwen3-0.6B@{URL}", "Qwen3-0.6B", Address("Qwen/Qwen3-0.6B", URL)),
        (f"openai:llama3:8b@{URL}", "llama3:8b", Address("llama3:8b", URL)),
        (f"openai:@cf/a=b@{URL}", "qa", Address("@cf/a=b", URL)),
        ("openai:m@https://[::1]:8/v1", "m", Address("m", "https://[::1]:8/v1")),
    ],
)
def test_specs(text: str, name: str, address: Address) -> None:
    """The last `@http` parts model and address; no other sign in a spec has a meaning."""
    (spec,) = parse(text if name != "qa" or text.startswith("qa=") else f"qa={text}")
    assert (spec.name, spec.kind) == (name, SERVER)
    assert parse_address(spec.source, "here") == address


def test_a_message_shows_the_whole_spec() -> None:
    """A model's name with a colon is no user with a password."""
    (spec,) = parse(f"openai:llama3:8b@{URL}")
    assert shown_spec(spec) == spec.source
    assert in_text_without_secrets(f"model {spec.source} fails") == f"model {spec.source} fails"


def test_lists() -> None:
    """A comma ends a spec that has its address."""
    specs = (f"openai:a,b@{URL}", f"q=openai:c@{URL}", "gpt2")
    assert split_specs([",".join(specs)]) == specs
    assert split_specs(join_specs(specs)) == specs


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("openai:m", "a served model needs a name and an address. Expected openai:MODEL@URL"),
        (f"openai:@{URL}", "a served model needs a name and an address."),
        ("openai:m@http://", "the address cannot be read."),
        ("openai:m@http://host:port/v1", "the address cannot be read."),
        ("openai:m@http://user:secret@host/v1", "the address holds a user, a query or a fragment"),
        ("openai:m@http://host/v1?key=secret", "the address holds a user, a query or a fragment"),
        ("http://127.0.0.1/v1", "Write openai:MODEL@URL"),
    ],
)
def test_faulty_specs(text: str, message: str) -> None:
    """Each says what is expected, and shows no secret."""
    with pytest.raises(UsageError) as error:
        parse(text)
    assert message in str(error.value)
    assert "secret" not in str(error.value)


def test_tables() -> None:
    """All settings of a server in one field of the spec."""
    options: dict[str, Any] = {
        "api_key_env": "KEY",
        "headers_env": {"api-key": "OTHER"},
        "timeout": 5,
        "concurrency": 2,
        "extra_body": {"top_k": -1},
        "max_requests": 9,
    }
    (spec,) = parse("m", table={"source": f"openai:tiny@{URL}", "examples": "e", **options})
    assert spec == ModelSpec("m", f"openai:tiny@{URL}", SERVER, examples="e", server=ServerOptions(**options))
    assert hash(spec)
    check_variables("m", spec.server, {"KEY": "a", "OTHER": "b"})
    with pytest.raises(UsageError, match="environment variable OTHER"):
        check_variables("m", spec.server, {"KEY": "a", "OTHER": " "})


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"concurrency": 0}, "concurrency = 0, expected a whole number from 1."),
        ({"concurrency": True}, "concurrency = True, expected a whole number from 1."),
        ({"max_requests": 0}, "max_requests = 0"),
        ({"timeout": 0}, "timeout = 0, expected a number of seconds above 0."),
        ({"headers_env": {"a": 1}}, "no name of a variable"),
        ({"extra_body": {"prompt": "x"}}, "extra_body sets prompt"),
        ({"device": "cpu"}, "device has no effect on a served model"),
        ({"chat_template": False}, "chat_template has no effect on a served model"),
        ({"source": "gpt2", "timeout": 3}, "are only for served models"),
    ],
)
def test_faulty_tables(table: Mapping[str, Any], message: str) -> None:
    """Each is found when the table is read."""
    with pytest.raises(UsageError) as error:
        parse("m", table={"source": f"openai:tiny@{URL}", **table})
    assert message in str(error.value)
