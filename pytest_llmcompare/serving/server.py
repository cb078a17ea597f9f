"""A model on a server: what the server shows of its answers, found by a probe, and the outputs that it gives."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pytest_llmcompare.errors import GenerationError, ModelError
from pytest_llmcompare.generation import Environment, Generation

from .answer import Answer, BadAnswerError, read_answer
from .client import Client, RefusedError
from .request_fields import request_fields

ALTERNATIVES = 5
"""Most likely tokens that are asked for at each position; OpenAI's completions give no more."""
VLLM_FIELDS = {"return_token_ids": True, "return_tokens_as_token_ids": True}
PROBE = "The capital of"
REFUSALS = (400, 404, 422, 500)
"""Statuses by which servers refuse a field that they do not know."""

RAW_UNTIL = frozenset({"logit_bias", "grammar", "json_schema", "guided_json", "guided_regex", "guided_choice"})
"""Further fields that change which token is chosen, but not the log-probabilities that a server shows."""


class Level(StrEnum):
    """What a server shows of its answers."""

    OUTPUT = "output"
    TEXT = "text"


@dataclass(frozen=True)
class Capabilities:
    """What the probe found.

    Attributes:
        level: What the server shows.
        fields: Fields of OpenAI's API to send with each request.
        extra: Further fields to send with each request.
        server: Name of the software; empty if unknown.
        model: Name by which the server calls its model.
        fingerprint: Its `system_fingerprint`; empty if there is none.
    """

    level: Level
    fields: Mapping[str, Any]
    extra: Mapping[str, Any]
    server: str
    model: str
    fingerprint: str

    @property
    def environment(self) -> Environment:
        """Facts that an output depends on; those that the server does not name are left out."""
        facts = {
            "fingerprint": self.fingerprint,
            "level": self.level.value,
            "server": self.server or "unknown",
        }
        return tuple(sorted((name, value) for name, value in facts.items() if value))


@dataclass(frozen=True)
class Question:
    """One prompt to answer.

    Attributes:
        prompt: The whole text.
        gen_config: Complete decoding settings.
        seed: Seed for sampling.
    """

    prompt: str
    gen_config: Mapping[str, Any]
    seed: int | None = None


class Server:
    """A model on a server.

    Args:
        client: Sends the requests.

    Attributes:
        prompt_tokens: Number of prompt tokens so far, by the server's count.
        output_tokens: Number of generated tokens so far, by the server's count.
        pieces: Texts of the tokens seen so far, by id.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self.prompt_tokens = 0
        self.output_tokens = 0
        self.pieces: dict[int, str] = {}
        self._capabilities: Capabilities | None = None
        self._lock = threading.Lock()

    @property
    def is_probed(self) -> bool:
        """True once the probe has been sent."""
        return self._capabilities is not None

    def probe(self, name: str) -> Capabilities:
        """Find what the server shows, by the content of its answer to a request of one token, sent once.

        Args:
            name: Name of the model, for messages.

        Raises:
            ModelError: The server does not answer.
        """
        with self._lock:
            if self._capabilities is None:
                self._capabilities = self._probed(name)
            return self._capabilities

    @property
    def capabilities(self) -> Capabilities:
        """What the probe found."""
        if self._capabilities is None:
            raise RuntimeError("the server has not been probed")
        return self._capabilities

    @property
    def shows_choices(self) -> bool:
        """True if the token with the largest log-probability is the one that greedy decoding takes."""
        names = self.client.options.extra_body
        return not any(name in RAW_UNTIL or "penalty" in name for name in names)

    def ask(self, question: Question) -> Answer:
        """Ask one question.

        Raises:
            GenerationError: There is no answer, or one that cannot be used.
        """
        capabilities = self.capabilities
        fields = {**request_fields(question.gen_config, question.seed), **capabilities.fields}
        try:
            content, _ = self.client.send({"prompt": question.prompt, **fields}, capabilities.extra)
            answer = self._read(content, has_stop_strings="stop" in fields)
        except BadAnswerError as error:
            raise GenerationError(self.client.clean(str(error))) from None
        if capabilities.level is Level.OUTPUT and answer.tokens is None:
            raise GenerationError("the answer shows no log-probabilities of its tokens, though the server's others do")
        return answer

    def generation(self, answer: Answer) -> Generation:
        """An answer as the output of a case."""
        environment = self.capabilities.environment
        if self.capabilities.level is Level.TEXT or answer.tokens is None:
            return Generation(answer.text, stop=answer.stop, environment=environment)
        pieces = [answer.pieces.get(token) for token in answer.token_ids]
        known = [piece for piece in pieces if piece is not None]
        spelled = len(known) == len(pieces) and "".join(known) == answer.text
        return Generation(
            answer.text,
            answer.token_ids,
            answer.logprobs,
            answer.stop,
            environment,
            lengths=tuple(map(len, known)) if spelled else None,
        )

    def _read(self, content: bytes, *, has_stop_strings: bool = False) -> Answer:
        answer = read_answer(content, has_stop_strings=has_stop_strings)
        with self._lock:
            self.prompt_tokens += answer.prompt_tokens
            self.output_tokens += answer.output_tokens
            self.pieces.update(answer.pieces)
        return answer

    def _probed(self, name: str) -> Capabilities:
        fields = {"prompt": PROBE, "max_tokens": 1, "temperature": 0.0}
        attempts: list[tuple[dict[str, Any], dict[str, Any]]] = [
            ({"logprobs": ALTERNATIVES}, dict(VLLM_FIELDS)),
            ({"logprobs": ALTERNATIVES}, {}),
            ({}, {}),
        ]
        for further, extra in attempts:
            try:
                content, software = self.client.send({**fields, **further}, extra, tries=1)
                answer = read_answer(content, has_stop_strings=False)
            except RefusedError as error:
                if error.status in REFUSALS and further:
                    continue
                raise ModelError(f"model {name!r}: {error}") from None
            except BadAnswerError as error:
                raise ModelError(f"model {name!r}: {self.client.clean(str(error))}") from None
            is_shown = bool(answer.tokens) and all(token.alternatives for token in answer.tokens or ())
            level = Level.OUTPUT if is_shown else Level.TEXT
            sent = (further, extra) if is_shown else ({}, {})
            return Capabilities(level, *sent, _software(software, answer), answer.model, answer.fingerprint)
        raise AssertionError("the last attempt either returns or raises")


def _software(header: str, answer: Answer) -> str:
    """Name of the server's software: from the header `Server`, or from vLLM's fingerprint, which begins with it."""
    if answer.fingerprint.startswith("vllm-"):
        return "vllm"
    return header if header and header.lower() not in ("uvicorn", "nginx", "cloudflare") else ""
