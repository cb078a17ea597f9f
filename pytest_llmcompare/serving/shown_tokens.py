"""Reads the tokens that a server shows, of an output and of a prompt, and checks their numbers. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_llmcompare.generation import number_of_bytes

TOKEN_ID = re.compile(r"token_id:(\d+)")
"""How vLLM writes a token that it was asked to name by its id."""

BYTES = re.compile(r"bytes:(?:\\x[0-9a-f]{2})+")
"""How OpenAI's older completions write a token that is not text by itself."""

LARGEST_LOGPROB = 1e-3  # rounding may make a log-probability slightly positive
LARGEST_NUMBER = 1e308  # a whole number of JSON may be too large for a float
LARGEST_ID = 1 << 32  # larger numbers would be taken for names made of bytes


class BadAnswerError(Exception):
    """An answer that cannot be used."""


@dataclass(frozen=True)
class ShownToken:
    """A token as the server shows it.

    Attributes:
        id: Its id, or the number made of its bytes.
        logprob: Its log-probability (nats), before penalties.
        alternatives: Log-probabilities (nats) of the most likely tokens at its position, by id, the best first; the
            token itself may be among them.
    """

    id: int
    logprob: float
    alternatives: Mapping[int, float]

    @property
    def best(self) -> int:
        """Id of the most likely token; the token itself if no other is shown."""
        return max(self.alternatives, key=self.alternatives.__getitem__, default=self.id)

    @property
    def lead(self) -> float:
        """Log-probability minus that of the most likely other token (nats); infinite if no other is shown."""
        return self.logprob - max(
            (value for name, value in self.alternatives.items() if name != self.id), default=-math.inf
        )


@dataclass(frozen=True)
class ShownPrompt:
    """A prompt as the server shows it.

    Attributes:
        ids: Ids of its tokens.
        tokens: Its tokens from the second on: no server predicts the first.
        pieces: Texts of tokens, by id.
    """

    ids: tuple[int, ...]
    tokens: tuple[ShownToken, ...]
    pieces: Mapping[int, str]


Shown = tuple[tuple[ShownToken, ...] | None, dict[int, str]]


def output_tokens(choice: Mapping[str, Any]) -> Shown:
    """Tokens of an output and the texts of tokens in it; None if it does not show log-probabilities and names of all.

    Tokens without ids are named by their bytes, as a number (`generation.number_of_bytes`), if all bytes are known.

    Raises:
        BadAnswerError: They have another form, or a log-probability is not a finite number.
    """
    logprobs = choice.get("logprobs")
    if not isinstance(logprobs, dict):
        return None, {}
    try:
        if isinstance(logprobs.get("content"), list):
            return _tokens_of(logprobs["content"])
        if isinstance(logprobs.get("token_logprobs"), list):
            return _tokens_of(_as_entries(logprobs))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadAnswerError(f"the log-probabilities of the answer cannot be read: {error!r}") from error
    return None, {}


def prompt_ids(choice: Mapping[str, Any]) -> tuple[int, ...]:
    """Ids of the prompt's tokens as the server made them; empty if it does not show them."""
    ids = choice.get("prompt_token_ids")
    return tuple(ids) if isinstance(ids, list) and all(_is_id(one) for one in ids) else ()


def shown_prompt(choice: Mapping[str, Any], count: int) -> ShownPrompt | None:
    """The prompt with the log-probs of its tokens; None if the answer does not show all of them.

    Args:
        choice: The choice of an answer to a request with `prompt_logprobs`.
        count: Number of the prompt's tokens by the server's count.

    Raises:
        BadAnswerError: A log-probability is not a finite number.
    """
    ids, entries = prompt_ids(choice), choice.get("prompt_logprobs")
    if not isinstance(entries, list) or not len(entries) == len(ids) == count or count < 2 or entries[0] is not None:
        return None
    if not all(isinstance(entry, dict) and str(id_) in entry for id_, entry in zip(ids[1:], entries[1:], strict=True)):
        return None
    pieces: dict[int, str] = {}
    tokens = []
    try:
        for id_, entry in zip(ids[1:], entries[1:], strict=True):
            best_first = sorted(entry.items(), key=lambda item: item[1].get("rank") or math.inf)
            alternatives = {_checked_id(int(name)): finite(one["logprob"]) for name, one in best_first}
            pieces.update(
                {int(name): one["decoded_token"] for name, one in best_first if _is_text(one.get("decoded_token"))}
            )
            tokens.append(ShownToken(id_, alternatives[id_], alternatives))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadAnswerError(f"the log-probabilities of the prompt cannot be read: {error!r}") from error
    return ShownPrompt(ids, tuple(tokens), pieces)


def finite(value: object) -> float:
    """A log-probability (nats).

    Raises:
        BadAnswerError: It is not a finite number, or above 0.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < LARGEST_NUMBER:
        raise BadAnswerError(f"the answer holds a log-probability that is not a finite number: {value!r:.40}")
    if value > LARGEST_LOGPROB:
        raise BadAnswerError(f"the answer holds a log-probability above 0: {value!r:.40}")
    return float(value)


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LARGEST_ID


def _checked_id(value: Any) -> int:
    if not _is_id(value):
        raise ValueError(f"{value!r:.40} is no id of a token")
    return int(value)


def _tokens_of(content: Sequence[Any]) -> Shown:
    """Tokens in the shape of a chat answer; llama.cpp adds ids to it."""
    pieces: dict[int, str] = {}
    tokens = []
    for entry in content:
        id_, alternatives = _name(entry), dict[int, float]()
        if id_ is None:
            return None, {}
        for one in [*(entry.get("top_logprobs") or []), entry]:
            name, piece = _name(one), _piece(one)
            if name is not None:
                alternatives.setdefault(name, finite(one["logprob"]))
                pieces.update({name: piece} if piece is not None else {})
        if not entry.get("top_logprobs"):
            alternatives = {}
        tokens.append(ShownToken(id_, finite(entry["logprob"]), alternatives))
    return tuple(tokens), pieces


def _name(entry: Mapping[str, Any]) -> int | None:
    """Number that names a token: its id, or one made of its bytes; None if neither is known."""
    if "id" in entry:
        return _checked_id(entry["id"])
    if match := _id_in_name(entry):
        return _checked_id(int(match[1]))
    piece = _piece(entry)
    return None if piece is None else number_of_bytes(piece.encode("utf-8", "surrogateescape"))


def _id_in_name(entry: Mapping[str, Any]) -> re.Match[str] | None:
    """The id that vLLM was asked to write in place of a token's text; its bytes then are those of the name."""
    return TOKEN_ID.fullmatch(str(entry.get("token", "")))


def _piece(entry: Mapping[str, Any]) -> str | None:
    """Text of a token, None if unknown; bytes that are not text become surrogates, so that pieces can be joined."""
    if _id_in_name(entry):
        return None
    raw = entry.get("bytes")
    if isinstance(raw, list):
        return bytes(raw).decode("utf-8", "surrogateescape")
    token = entry.get("token")
    return token if "\N{REPLACEMENT CHARACTER}" not in str(token) and _is_text(token) else None


def _is_text(value: object) -> bool:
    """True for text that UTF-8 can hold; JSON can name half a character."""
    if not isinstance(value, str):
        return False
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def _as_entries(logprobs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Tokens in the shape of older completions, as entries of a chat answer.

    Tokens are named by ids if the server was asked to, as vLLM is; else by text, or by bytes as OpenAI writes them.
    """
    tops = logprobs.get("top_logprobs") or []
    entries = []
    for at, (name, value) in enumerate(zip(logprobs["tokens"], logprobs["token_logprobs"], strict=True)):
        named = tops[at] if at < len(tops) and tops[at] else {}
        best = [_entry(one, its_value) for one, its_value in named.items()]
        entries.append({**_entry(name, value), "top_logprobs": best})
    return entries


def _entry(name: str, logprob: object) -> dict[str, Any]:
    if match := TOKEN_ID.fullmatch(name):
        return {"id": _checked_id(int(match[1])), "logprob": logprob}
    if BYTES.fullmatch(name):
        raw = bytes.fromhex(name.removeprefix("bytes:").replace("\\x", ""))
        return {"bytes": list(raw), "logprob": logprob}
    return {"token": name, "logprob": logprob}
