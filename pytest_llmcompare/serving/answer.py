"""Reads one answer of a server and checks it, so that nothing but a whole, finite answer becomes an output. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pytest_llmcompare.generation import names_tokens_alike
from pytest_llmcompare.text import digest

from .chat import OF_PROMPTS, message_of
from .shown_tokens import BadAnswerError, ShownPrompt, ShownToken, output_tokens, prompt_ids, shown_prompt

__all__ = ["Answer", "BadAnswerError", "Received", "ShownToken", "read_answer", "shown"]

MOST_SHOWN = 200  # characters of an answer in a message


class Received(NamedTuple):
    """What came back for a request.

    Attributes:
        content: The body of the answer.
        server: The name that the server gives itself.
        seconds: Time from sending the request to the end of the answer; waits and failed requests before are left out.
    """

    content: bytes
    server: str
    seconds: float


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
        prompt_ids: Ids of the prompt's tokens as the server made them; empty if it does not show them.
        prompt: The prompt with the log-probs of its tokens; None if the server does not show all of them.
        reasoning: Reasoning before the text, in a field of its own.
        is_spelled: False if its tokens spell something else than its text, so that `tokens` is None: tool calls, or
            reasoning, too.
        seconds: Time from sending the request that was answered to the end of its answer.
    """

    text: str
    stop: str
    tokens: tuple[ShownToken, ...] | None
    pieces: Mapping[int, str]
    model: str
    fingerprint: str
    prompt_tokens: int
    output_tokens: int
    prompt_ids: tuple[int, ...] = ()
    prompt: ShownPrompt | None = None
    reasoning: str = ""
    is_spelled: bool = True
    seconds: float = 0.0

    @property
    def token_ids(self) -> tuple[int, ...]:
        """Ids of the tokens; empty if they are unknown."""
        return tuple(token.id for token in self.tokens or ())

    @property
    def prompt_shown(self) -> str:
        """What the server shows of its own prompt, as `Generation.prompt_shown`."""
        count = len(self.prompt_ids) or self.prompt_tokens
        digits = digest(",".join(map(str, self.prompt_ids))) if self.prompt_ids else ""
        return f"{count}:{digits}" if digits else str(count or "")

    @property
    def logprobs(self) -> tuple[float, ...]:
        """Log-probabilities of the tokens; empty if they are unknown."""
        return tuple(token.logprob for token in self.tokens or ())


def read_answer(content: bytes, *, has_stop_strings: bool) -> Answer:
    """Read the body of a completion, of a prompt or of a chat.

    Args:
        content: The body.
        has_stop_strings: Whether the request had any; then `stop` may mean one of them or the end token.

    Raises:
        BadAnswerError: It is no completion, has no text, holds a number that is not finite, was cut by a content
            filter, or its tokens do not spell its text.
    """
    body = _json(content)
    choices = body.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        raise BadAnswerError(f"the answer does not have exactly one choice: {shown(content)}")
    choice = choices[0]
    message, reason = message_of(choice), choice.get("finish_reason")
    text = message.text
    if reason == "content_filter":
        raise BadAnswerError("the server's content filter withheld the answer (finish_reason content_filter)")
    if text is None or not isinstance(reason, str):
        raise BadAnswerError(f"the answer has no text or no finish reason: {shown(content)}")
    tokens, pieces = output_tokens(choice) if message.is_spelled else (None, {})
    if tokens is not None:
        spelled = _spelled(text, [pieces.get(token.id) for token in tokens])
        if spelled is not None and names_tokens_alike((0,), [token.id for token in tokens]):
            raise BadAnswerError(f"the tokens of the answer spell {spelled[:60]!r}, its text is {text.lstrip()[:60]!r}")
        tokens = tokens if spelled is None else None  # some servers show texts of tokens with marks of their own
    usage = body.get("usage")
    of_prompt = {**choice, **{name: body[name] for name in OF_PROMPTS if body.get(name) is not None}}
    prompt_tokens = _count(usage, "prompt_tokens")
    return Answer(
        text,
        _stop(reason, choice, has_stop_strings=has_stop_strings),
        tokens if tokens or not text else None,
        pieces,
        _without_folder(_label(body.get("model"))),
        _label(body.get("system_fingerprint")),
        prompt_tokens,
        _count(usage, "completion_tokens"),
        prompt_ids(of_prompt),
        shown_prompt(of_prompt, prompt_tokens),
        message.reasoning,
        message.is_spelled,
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
        raise BadAnswerError(f"the answer is not a JSON object: {shown(content)}")
    return body


def _label(value: object) -> str:
    """A name that the server gives, as text that fits into a file, a parameter of MLflow and a line."""
    text = "" if value is None else str(value)[:MOST_SHOWN]
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _without_folder(model: str) -> str:
    """The name of a model; some servers give the path of its file, which tells nothing about the model."""
    is_path = model.startswith("/") or model[1:3] in (":\\", ":/")
    return re.split(r"[/\\]", model)[-1] if is_path else model


def _count(usage: object, name: str) -> int:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and value > 0 else 0


def _stop(reason: str, choice: Mapping[str, Any], *, has_stop_strings: bool) -> str:
    """The finish reason in our words; with stop strings, `stop` is unknown unless the server names what it met."""
    if reason != "stop":
        return "length" if reason == "length" else ""
    if isinstance(choice.get("stop_reason"), str):
        return "stop"
    return "" if has_stop_strings and "stop_reason" not in choice else "eos"


def _spelled(text: str, pieces: Sequence[str | None]) -> str | None:
    """What tokens spell if it is another text, up to where a stop string cut one of both; else None."""
    known = [piece for piece in pieces if piece is not None]
    if len(known) < len(pieces):
        return None
    raw = "".join(known).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    spelled, whole = (one.partition("\N{REPLACEMENT CHARACTER}")[0].lstrip() for one in (raw, text))
    return None if whole.startswith(spelled) or spelled.startswith(whole) else spelled
