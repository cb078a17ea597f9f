"""Reads the tokens that a server shows, of an output and of a prompt, and checks their numbers. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TOKEN_ID = re.compile(r"token_id:(\d+)")
"""How vLLM writes a token that it was asked to name by its id."""

LARGEST_LOGPROB = 1e-3  # rounding may make a log-probability slightly positive


class BadAnswerError(Exception):
    """An answer that cannot be used."""


@dataclass(frozen=True)
class ShownToken:
    """A token as the server shows it.

    Attributes:
        id: Its id.
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
    """Tokens of an output and the texts of tokens in it; None if it does not show ids and log-probabilities of all.

    Raises:
        BadAnswerError: They have another form, or a log-probability is no finite number.
    """
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
        BadAnswerError: A log-probability is no finite number.
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
            alternatives = {int(name): finite(one["logprob"]) for name, one in best_first}
            pieces.update(
                {int(name): str(one["decoded_token"]) for name, one in best_first if one.get("decoded_token")}
            )
            tokens.append(ShownToken(id_, alternatives[id_], alternatives))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadAnswerError(f"the log-probabilities of the prompt cannot be read: {error!r}") from error
    return ShownPrompt(ids, tuple(tokens), pieces)


def finite(value: object) -> float:
    """A log-probability (nats).

    Raises:
        BadAnswerError: It is no finite number, or above 0.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadAnswerError(f"the answer holds a log-probability that is no finite number: {value!r}")
    if value > LARGEST_LOGPROB:
        raise BadAnswerError(f"the answer holds a log-probability above 0: {value!r}")
    return float(value)


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _tokens_with_ids(content: Sequence[Any]) -> tuple[tuple[ShownToken, ...] | None, dict[int, str]]:
    """Tokens in the shape of a chat answer, with ids."""
    if any(_id_of(entry) is None for entry in content):
        return None, {}
    pieces: dict[int, str] = {}
    tokens = []
    for entry in content:
        pairs = [(id_, one) for one in entry.get("top_logprobs") or [] if (id_ := _id_of(one)) is not None]
        own = _id_of(entry) or 0
        pieces.update({id_: _piece(one) for id_, one in [*pairs, (own, entry)] if "id" in one})
        by_id = {id_: finite(one["logprob"]) for id_, one in pairs}
        tokens.append(ShownToken(own, finite(entry["logprob"]), by_id))
    return tuple(tokens), pieces


def _id_of(entry: Mapping[str, Any]) -> int | None:
    """Id of a token: in a field of its own (llama.cpp), or as its name (vLLM); None if the server shows none."""
    if "id" in entry:
        return int(entry["id"])
    name = TOKEN_ID.fullmatch(str(entry.get("token", "")))
    return None if name is None else int(name[1])


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
        ShownToken(int(name[1]), finite(value), _alternatives(tops[at] if at < len(tops) else None))
        for at, (name, value) in enumerate(zip(names, values, strict=True))
        if name is not None
    )


def _alternatives(named: Mapping[str, Any] | None) -> dict[int, float]:
    pairs = ((TOKEN_ID.fullmatch(name), value) for name, value in (named or {}).items())
    return {int(name[1]): finite(value) for name, value in pairs if name is not None}
