"""Reads one answer of a server and checks it, so that nothing but a whole, finite answer becomes an output. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TOKEN_ID = re.compile(r"token_id:(\d+)")
"""How vLLM writes a token that it was asked to name by its id."""

LARGEST_LOGPROB = 1e-3  # rounding may make a log-probability slightly positive
MOST_SHOWN = 200  # characters of an answer in a message


class BadAnswerError(Exception):
    """An answer that cannot be used."""


@dataclass(frozen=True)
class ShownToken:
    """A generated token as the server shows it.

    Attributes:
        id: Its id.
        logprob: Its log-probability (nats), before penalties.
        alternatives: Log-probabilities of the most likely tokens at its position, by id.
    """

    id: int
    logprob: float
    alternatives: Mapping[int, float]

    @property
    def lead(self) -> float:
        """Log-probability minus that of the most likely other token (nats); infinite if no other is shown."""
        return self.logprob - max(
            (value for name, value in self.alternatives.items() if name != self.id), default=-math.inf
        )


@dataclass(frozen=True)
class Answer:
    """An answer that was checked.

    Attributes:
        text: The generated text.
        stop: Finish reason: `eos`, `length`, `stop` or empty (unknown).
        tokens: Generated tokens; None if the server shows no ids or no log-probabilities.
        pieces: Texts of tokens, by id.
        model: Name by which the server calls its model, without a folder.
        fingerprint: The server's `system_fingerprint`; empty if there is none.
        prompt_tokens: Length of the prompt by the server's count; 0 if unknown.
        output_tokens: Length of the output by the server's count; 0 if unknown.
    """

    text: str
    stop: str
    tokens: tuple[ShownToken, ...] | None
    pieces: Mapping[int, str]
    model: str
    fingerprint: str
    prompt_tokens: int
    output_tokens: int

    @property
    def token_ids(self) -> tuple[int, ...]:
        """Ids of the tokens; empty if they are unknown."""
        return tuple(token.id for token in self.tokens or ())

    @property
    def logprobs(self) -> tuple[float, ...]:
        """Log-probabilities of the tokens; empty if they are unknown."""
        return tuple(token.logprob for token in self.tokens or ())


def read_answer(content: bytes, *, has_stop_strings: bool) -> Answer:
    """Read the body of a completion.

    Args:
        content: The body.
        has_stop_strings: Whether the request had any; then `stop` may stand for one of them or for the end token.

    Raises:
        BadAnswerError: It is no completion, has no text, holds a number that is not finite, was cut by a content
            filter, or its tokens do not spell its text.
    """
    body = _json(content)
    choices = body.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        raise BadAnswerError(f"the answer does not have exactly one choice: {shown(content)}")
    choice = choices[0]
    text, reason = choice.get("text"), choice.get("finish_reason")
    if reason == "content_filter":
        raise BadAnswerError("the server's content filter withheld the answer (finish_reason content_filter)")
    if not isinstance(text, str) or not isinstance(reason, str):
        raise BadAnswerError(f"the answer has no text or no finish reason: {shown(content)}")
    tokens, pieces = _tokens(choice)
    if tokens is not None:
        _check_spelling(text, [pieces.get(token.id) for token in tokens])
    usage = body.get("usage")
    return Answer(
        text,
        _stop(reason, choice.get("stop_reason"), has_stop_strings=has_stop_strings),
        tokens if tokens or not text else None,
        pieces,
        _without_folder(str(body.get("model") or "")),
        str(body.get("system_fingerprint") or ""),
        _count(usage, "prompt_tokens"),
        _count(usage, "completion_tokens"),
    )


def shown(content: bytes) -> str:
    """The beginning of a body, on one line, for a message."""
    text = " ".join(content.decode("utf-8", "replace").split())
    return repr(text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…")


def _json(content: bytes) -> dict[str, Any]:
    def refuse(name: str) -> float:
        raise BadAnswerError(f"the answer holds a number that is not finite: {name}")

    try:
        body = json.loads(content, parse_constant=refuse)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise BadAnswerError(f"the answer is no JSON object: {shown(content)}")
    return body


def _without_folder(model: str) -> str:
    """The name of a model; some servers give the path of its file, which is nobody's business."""
    is_path = model.startswith("/") or model[1:3] in (":\\", ":/")
    return re.split(r"[/\\]", model)[-1] if is_path else model


def _count(usage: object, name: str) -> int:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and value > 0 else 0


def _stop(reason: str, matched: object, *, has_stop_strings: bool) -> str:
    """The finish reason in our words; with stop strings, `stop` is unknown unless the server names the string."""
    if reason != "stop":
        return "length" if reason == "length" else ""
    if isinstance(matched, str):
        return "stop"
    return "" if has_stop_strings else "eos"


def _tokens(choice: Mapping[str, Any]) -> tuple[tuple[ShownToken, ...] | None, dict[int, str]]:
    """Tokens of an answer and the texts of tokens in it; None if it does not show ids and log-probabilities of all."""
    logprobs = choice.get("logprobs")
    if not isinstance(logprobs, dict):
        return None, {}
    try:
        if isinstance(logprobs.get("content"), list):
            return _tokens_with_ids(logprobs["content"])
        if isinstance(logprobs.get("token_logprobs"), list):
            return _tokens_by_name(logprobs), {}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadAnswerError(f"the log-probabilities of the answer cannot be read: {error!r}") from error
    return None, {}


def _tokens_with_ids(content: Sequence[Any]) -> tuple[tuple[ShownToken, ...] | None, dict[int, str]]:
    """Tokens in the shape of a chat answer, as llama.cpp gives them, which adds ids."""
    if any("id" not in entry for entry in content):
        return None, {}
    pieces: dict[int, str] = {}
    tokens = []
    for entry in content:
        alternatives = [one for one in entry.get("top_logprobs") or [] if "id" in one]
        pieces.update({int(one["id"]): _piece(one) for one in [*alternatives, entry]})
        by_id = {int(one["id"]): _finite(one["logprob"]) for one in alternatives}
        tokens.append(ShownToken(int(entry["id"]), _finite(entry["logprob"]), by_id))
    return tuple(tokens), pieces


def _piece(entry: Mapping[str, Any]) -> str:
    """Text of a token; bytes that are no text of their own become surrogates, so that pieces can be joined again."""
    raw = entry.get("bytes")
    return bytes(raw).decode("utf-8", "surrogateescape") if isinstance(raw, list) else str(entry.get("token", ""))


def _tokens_by_name(logprobs: Mapping[str, Any]) -> tuple[ShownToken, ...] | None:
    """Tokens in the shape of older completions, if they are named by ids, as vLLM was asked to."""
    names = [TOKEN_ID.fullmatch(str(name)) for name in logprobs.get("tokens") or []]
    values, tops = logprobs["token_logprobs"], logprobs.get("top_logprobs") or []
    if not all(names) or len(names) != len(values):
        return None
    return tuple(
        ShownToken(int(name[1]), _finite(value), _alternatives(tops[at] if at < len(tops) else None))
        for at, (name, value) in enumerate(zip(names, values, strict=True))
        if name is not None
    )


def _alternatives(named: Mapping[str, Any] | None) -> dict[int, float]:
    pairs = ((TOKEN_ID.fullmatch(name), value) for name, value in (named or {}).items())
    return {int(name[1]): _finite(value) for name, value in pairs if name is not None}


def _finite(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadAnswerError(f"the answer holds a log-probability that is no finite number: {value!r}")
    if value > LARGEST_LOGPROB:
        raise BadAnswerError(f"the answer holds a log-probability above 0: {value!r}")
    return float(value)


def _check_spelling(text: str, pieces: Sequence[str | None]) -> None:
    """Check that tokens spell the text up to where a stop string cut one of both.

    Raises:
        BadAnswerError: They do not.
    """
    known = [piece for piece in pieces if piece is not None]
    if len(known) < len(pieces):
        return
    raw = "".join(known).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    spelled, whole = (one.partition("\N{REPLACEMENT CHARACTER}")[0].lstrip() for one in (raw, text))
    if not (whole.startswith(spelled) or spelled.startswith(whole)):
        raise BadAnswerError(f"the tokens of the answer spell {spelled[:60]!r}, its text is {whole[:60]!r}")
