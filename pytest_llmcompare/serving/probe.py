"""Finds what a server shows of its answers, by the content of its answer to one short request."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from pytest_llmcompare.comparison.environments import VERSION
from pytest_llmcompare.errors import ModelError
from pytest_llmcompare.generation import Environment, names_tokens_alike

from .answer import Answer, BadAnswerError
from .chat import NEEDS, logprob_fields, question_fields
from .client import Client, RefusedError

ALTERNATIVES = 5
"""Most likely tokens that are asked for at each position; OpenAI's completions give no more."""
PROMPT_ALTERNATIVES = 2
"""Most likely tokens that are asked for at each position of a prompt: the server's own choice and the next best."""
VLLM_FIELDS = {"return_token_ids": True, "return_tokens_as_token_ids": True}
PROBE = "The capital of"
REQUESTS = 3
"""Most requests of the probe, plus one for each field below that the server refuses or takes by another name."""
LENGTH, NEWER_LENGTH = "max_tokens", "max_completion_tokens"
REFUSED_TEMPERATURE = re.compile(
    r"unsupported (?:value|parameter)\W{1,3}temperature"
    r"|temperature\W{1,3}(?:does not support|is not supported|is unsupported|is deprecated)",
    re.IGNORECASE,
)
"""How servers say that a model decodes only at its own temperature."""
BAD_REQUEST = 400
TAKE_TOP_K = ("vllm", "llama.cpp")
NOT_FOUND = 404
REFUSALS = (400, 404, 422, 500)
"""Statuses by which servers refuse a field that they do not know, or more alternatives than they give."""
ALLOWED = re.compile(r"(?:max[a-z]*|less than or equal to|at most|up to|<=)(?: allowed| of| value)?\D{0,4}(\d+)")
"""How a server says how many alternatives it gives at most."""

VERSION_TIMEOUT = 5.0  # seconds
VERSION_FORM = re.compile(r"[\w.+-]{1,60}")


class Level(StrEnum):
    """What a server shows of its answers, the most first."""

    PATH = "path"
    OUTPUT = "output"
    TEXT = "text"


@dataclass(frozen=True)
class Capabilities:
    """What the probe found.

    Attributes:
        level: What the server shows.
        alternatives: Most likely tokens to ask for at each position; 0 asks for no log-probs.
        extra: Fields that are not of OpenAI's API, to send with each request.
        server: Name of the software; empty if unknown.
        model: Name by which the server calls its model.
        fingerprint: Its `system_fingerprint`; empty if there is none.
        chat: Whether questions go to the chat endpoint.
        version: Version of the software; empty if unknown.
        names_bytes: Whether it names tokens by their bytes; then an answer with a part of a character may have none.
        length: Name of the field for the number of tokens.
        takes_temperature: Whether a temperature may be sent; if not, the model samples at one of its own.
    """

    level: Level
    alternatives: int
    extra: Mapping[str, Any]
    server: str
    model: str
    fingerprint: str
    chat: bool = False
    version: str = ""
    names_bytes: bool = False
    length: str = LENGTH
    takes_temperature: bool = True

    def taken(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Fields of a request, by the names that the server takes and without those that it refuses.

        Hosted APIs refuse `top_k`, so the one that means all tokens goes only to servers that are known to take it.
        """
        taken = _taken(fields, self.length, takes_temperature=self.takes_temperature)
        return {
            name: value for name, value in taken.items() if self.server in TAKE_TOP_K or (name, value) != ("top_k", 0)
        }

    @property
    def fields(self) -> dict[str, Any]:
        """Fields of OpenAI's API to send with each question."""
        return logprob_fields(self.alternatives, chat=self.chat)

    @property
    def scoring_fields(self) -> dict[str, Any]:
        """Fields of OpenAI's API to send with tokens to score, which never go to the chat endpoint."""
        return logprob_fields(self.alternatives, chat=False)

    @property
    def of_prompts(self) -> dict[str, Any]:
        """The field that asks for the log-probs of a prompt."""
        return {"prompt_logprobs": min(PROMPT_ALTERNATIVES, self.alternatives)}

    @property
    def environment(self) -> Environment:
        """Facts that an output depends on; those that the server does not name are left out."""
        facts = {
            "fingerprint": self.fingerprint,
            "level": self.level.value,
            "server": self.server or "unknown",
            VERSION: "" if self.version in self.fingerprint else self.version,
        }
        return tuple(sorted((name, value) for name, value in facts.items() if value))


def find_capabilities(
    client: Client, read: Callable[[bytes], Answer], name: str, *, chat: bool = False
) -> Capabilities:
    """Find what a server shows: request one token, again with other fields if it refuses, and look at the answer.

    Args:
        client: Sends the requests.
        read: Reads an answer.
        name: Name of the model, for messages.
        chat: Whether to ask the chat endpoint.

    Raises:
        ModelError: The server does not answer.
    """
    attempt, left = _Attempt(chat=chat), REQUESTS - 1
    needs = f"\n{NEEDS}" if chat else ""
    while True:
        try:
            received = client.send({**question_fields(PROBE, chat=chat), **attempt.fields}, attempt.extra, tries=1)
            return _with_version(client, attempt.capabilities(read(received.content), received.server))
        except RefusedError as error:
            following = attempt.as_named_by(error)
            if following is None:
                following, left = attempt.after(error, left), left - 1
            if following is None:
                raise ModelError(f"model {name!r}: {error}{needs}") from None
            attempt = following
        except BadAnswerError as error:
            raise ModelError(f"model {name!r}: {client.clean(str(error))}") from None


def _taken(fields: Mapping[str, Any], length: str, *, takes_temperature: bool) -> dict[str, Any]:
    renamed = {length if name == LENGTH else name: value for name, value in fields.items()}
    return {name: value for name, value in renamed.items() if takes_temperature or name != "temperature"}


@dataclass(frozen=True)
class _Attempt:
    """What one request of the probe asks to be shown."""

    alternatives: int = ALTERNATIVES
    asks_vllm: bool = True
    chat: bool = False
    length: str = LENGTH
    takes_temperature: bool = True

    @property
    def fields(self) -> dict[str, Any]:
        fields = {LENGTH: 1, "temperature": 0.0, **logprob_fields(self.alternatives, chat=self.chat)}
        return _taken(fields, self.length, takes_temperature=self.takes_temperature)

    @property
    def extra(self) -> dict[str, Any]:
        most = min(PROMPT_ALTERNATIVES, self.alternatives)
        return {**VLLM_FIELDS, "prompt_logprobs": most} if self.asks_vllm else {}

    def as_named_by(self, error: RefusedError) -> _Attempt | None:
        """The same attempt with a field renamed or left out as the refusal says; None if the refusal names no field."""
        if error.status != BAD_REQUEST:
            return None
        if self.length != NEWER_LENGTH and NEWER_LENGTH in str(error):
            return replace(self, length=NEWER_LENGTH)
        if self.takes_temperature and REFUSED_TEMPERATURE.search(str(error)):
            return replace(self, takes_temperature=False)
        return None

    def after(self, error: RefusedError, left: int) -> _Attempt | None:
        """The next attempt after a refusal, given the number of requests left; None if there is none."""
        is_missing = self.chat and error.status == NOT_FOUND
        if error.status not in REFUSALS or is_missing or not left or not self.alternatives:
            return None
        allowed = ALLOWED.search(str(error)) if "logprobs" in str(error) else None
        if allowed is not None and 0 < int(allowed[1]) < self.alternatives:
            return replace(self, alternatives=int(allowed[1]))
        if self.asks_vllm and left > 1:
            return replace(self, asks_vllm=False)
        return replace(self, alternatives=0, asks_vllm=False)

    def capabilities(self, answer: Answer, header: str) -> Capabilities:
        """What an answer to this attempt shows."""
        level = _level_of(answer)
        shows = level is not Level.TEXT
        return Capabilities(
            level,
            self.alternatives if shows else 0,
            VLLM_FIELDS if shows and self.asks_vllm else {},
            _software(header, answer),
            answer.model,
            answer.fingerprint,
            chat=self.chat,
            names_bytes=shows and not names_tokens_alike((0,), answer.token_ids),
            length=self.length,
            takes_temperature=self.takes_temperature,
        )


def _level_of(answer: Answer) -> Level:
    """The level by what the answer holds, not by what the server accepted."""
    if not answer.tokens or not all(token.alternatives for token in answer.tokens):
        return Level.TEXT
    return Level.OUTPUT if answer.prompt is None else Level.PATH


def _software(header: str, answer: Answer) -> str:
    """Name of the server's software: from the header `Server`, or from vLLM's fingerprint, which begins with it."""
    if answer.fingerprint.startswith("vllm-"):
        return "vllm"
    return header if header and header.lower() not in ("uvicorn", "nginx", "cloudflare") else ""


def _with_version(client: Client, capabilities: Capabilities) -> Capabilities:
    """Add the version: from the fingerprint of vLLM and llama.cpp, else from an older vLLM's `/version`."""
    fingerprint = capabilities.fingerprint
    if capabilities.server == "vllm":
        return replace(capabilities, version=fingerprint.split("-")[1])
    if capabilities.server or fingerprint:
        return replace(capabilities, version=fingerprint if capabilities.server == "llama.cpp" else "")
    try:
        body = json.loads(client.get("/version", VERSION_TIMEOUT))
    except (BadAnswerError, ValueError, RecursionError):
        return capabilities
    version = body.get("version") if isinstance(body, dict) else None
    if not isinstance(version, str) or not VERSION_FORM.fullmatch(version):
        return capabilities
    return replace(capabilities, server="vllm", version=version)
