"""Models behind an OpenAI-compatible server: `openai:MODEL@URL`, and the settings of their tables. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from pytest_llmcompare.errors import UsageError

FORM = "openai:MODEL@URL, with the URL up to and including /v1"

KEYS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "api_key_env": ((str,), "text: the name of the environment variable that holds the key"),
    "headers_env": ((dict,), "a table of header names, each with the name of an environment variable"),
    "timeout": ((int, float), "a number of seconds above 0"),
    "concurrency": ((int,), "a whole number from 1"),
    "chat": ((bool,), "true to ask at /v1/chat/completions, false (the default) at /v1/completions"),
    "extra_body": ((dict,), "a table of further fields for each request"),
    "max_requests": ((int,), "a whole number from 1"),
}
"""Keys of a model's table that only served models have."""

RESERVED = frozenset(
    {
        "model",
        "prompt",
        "messages",
        "max_tokens",
        "temperature",
        "logprobs",
        "stream",
        "n",
        "stop",
        "seed",
        "echo",
        "tools",
    }
)
"""Fields of a request that `extra_body` cannot set."""


OF_LOCAL_MODELS = (*("revision", "chat_template", "raw_prompts", "device", "allow_pickle", "trust_remote_code"),)
"""Fields of `ModelSpec` that have no effect on a served model."""


@dataclass(frozen=True)
class Address:
    """A model on a server.

    Attributes:
        model: Name of the model, as the server knows it.
        url: Address of its API, without a slash at the end; it never holds a user, a query or a fragment.
    """

    model: str
    url: str


@dataclass(frozen=True)
class ServerOptions:
    """How a served model is asked.

    Attributes:
        api_key_env: Name of the environment variable that holds the key; empty sends no key.
        headers_env: Names of environment variables by the header that takes their value.
        timeout: Seconds that one answer may take.
        concurrency: Number of requests that may be in flight.
        chat: Whether texts are asked as messages of a user; conversations always are messages.
        extra_body: Further fields of each request.
        max_requests: Most requests of a run to this model; None for no limit.
    """

    api_key_env: str = ""
    headers_env: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 600.0
    concurrency: int = 8
    chat: bool = False
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    max_requests: int | None = None


def parse_address(source: str, where: str) -> Address:
    """Read an `openai:` source.

    Args:
        source: Such as `openai:tiny-gpt2@http://127.0.0.1:8000/v1`.
        where: Where it was written, for messages, without the secrets of addresses.

    Raises:
        UsageError: It names no model or no address, or the address holds a user, a query or a fragment.
    """
    model, at, rest = source.partition(":")[2].rpartition("@http")
    url = f"http{rest}"
    if not at or not model.strip():
        raise UsageError(f"{where}: a served model needs a name and an address. Expected {FORM}.")
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address or " " in url:
        raise UsageError(f"{where}: the address cannot be read. Expected {FORM}.")
    if "@" in parts.netloc or "?" in url or "#" in url:
        raise UsageError(
            f"{where}: the address holds a user, a query or a fragment, which would be stored with the model.\n"
            "Name an environment variable in the model's table of pyproject.toml instead: api_key_env for a key, "
            "headers_env for any other header."
        )
    return Address(model.strip(), url.rstrip("/"))


def read_options(table: Mapping[str, Any], where: str) -> ServerOptions:
    """Check the keys of a served model's table; their types have been checked.

    Raises:
        UsageError: A value is out of range.
    """
    options = ServerOptions(**{key: table[key] for key in KEYS if key in table})
    for name in ("concurrency", "max_requests"):
        value = getattr(options, name)
        if isinstance(value, bool) or (value is not None and value < 1):
            raise UsageError(f"{where}: {name} = {value!r}, expected {KEYS[name][1]}.")
    if isinstance(options.timeout, bool) or not 0 < options.timeout < math.inf:
        raise UsageError(f"{where}: timeout = {options.timeout!r}, expected {KEYS['timeout'][1]}.")
    if not all(isinstance(variable, str) and variable for variable in options.headers_env.values()):
        raise UsageError(
            f"{where}: headers_env holds a value that cannot name an environment variable; "
            f"expected {KEYS['headers_env'][1]}."
        )
    if reserved := sorted(RESERVED & options.extra_body.keys()):
        raise UsageError(
            f"{where}: extra_body sets {', '.join(reserved)}, which the plugin sets itself. "
            "Decoding settings belong into gen_config."
        )
    return options


def check_fields(is_served: bool, fields: Mapping[str, Any], where: str) -> None:
    """Check that only a served model has settings of a server, and that it has no others that it cannot follow.

    Args:
        is_served: Whether it is a served model.
        fields: Fields of its `ModelSpec` that were given.
        where: Where they were written, for messages.

    Raises:
        UsageError: A setting does not fit.
    """
    if not is_served:
        if "server" in fields:
            raise UsageError(f"{where}: {', '.join(KEYS)} are only for served models (openai:MODEL@URL).")
        return
    if unused := next((name for name in OF_LOCAL_MODELS if fields.get(name)), ""):
        name = "chat_template" if unused == "raw_prompts" else unused
        raise UsageError(f"{where}: {name} has no effect on a served model: its server decides. Leave it out.")


def missing_variable(options: ServerOptions, environment: Mapping[str, str]) -> str:
    """Name of the first environment variable that is needed and not set, or empty."""
    names = [*filter(None, [options.api_key_env]), *options.headers_env.values()]
    return next((name for name in names if not environment.get(name, "").strip()), "")


def check_variables(name: str, options: ServerOptions, environment: Mapping[str, str]) -> None:
    """Check that the environment holds every variable that a model's table names.

    Raises:
        UsageError: One is missing.
    """
    if variable := missing_variable(options, environment):
        raise UsageError(
            f"model {name!r}: the environment variable {variable}, which its table in pyproject.toml names, is not "
            f"set. Set it before the run: export {variable}=..."
        )
