"""Outputs of models with their log-probs. Standard library only, no I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self

Environment = tuple[tuple[str, str], ...]
"""What a generation depended on besides the prompt, as sorted pairs: library versions, device, dtype, weights."""


@dataclass(frozen=True)
class Path:
    """Log-probs of given tokens under a model (teacher forcing).

    All per position, in the processed distribution. Where the output would have ended before the given tokens do, what
    follows is not told.

    Attributes:
        tokens: The given tokens.
        choices: The model's own choice after the given tokens before it: the likeliest token, or its draw.
        logprobs: Natural logarithm of the given token's probability.
        margins: By how much (nats) the likeliest token is ahead of the given one; 0 where that is the likeliest.
        leads: By how much (nats) the likeliest token is ahead of the second.
        scale: Largest score (logit) of a likeliest token by magnitude: numerical noise grows with it.
        stop: Why the output ends after the last of `choices`; empty where it would go on.
        draws: Whether tokens are drawn, so that another choice than the likeliest token means nothing.
    """

    tokens: tuple[int, ...]
    choices: tuple[int, ...]
    logprobs: tuple[float, ...]
    margins: tuple[float, ...]
    leads: tuple[float, ...]
    scale: float = 0.0
    stop: str = ""
    draws: bool = False


@dataclass(frozen=True, repr=False)
class Generation(str):
    """Output of a model for a case: its text, tokens and log-probs.

    It is a `str`, so `"Paris" in llm_output`, `llm_output == "Paris."`, `llm_output.strip()`, `re.search("[0-9]+",
    llm_output)` and `json.loads(llm_output)` do what they do with the text. Equal to a text means equal to the
    character. Two generations are equal if their tokens, log-probabilities, stop and environment are, too.

    Attributes:
        text: The generated text, without the prompt.
        token_ids: Generated tokens, or None for a model that we cannot look into.
        logprobs: Natural logarithm of each token's probability in the processed distribution (nats), where known.
        stop: Why it ended: `eos`, `length`, `stop` (a stop string) or `` (unknown).
        environment: What it depended on besides the prompt.
        margins: By how much (nats) the likeliest token led the second, at each position, where known.
        verified: Whether it is a draft that one forward pass confirmed.
        unverified: Why it is not, where there was a draft; empty otherwise.
        path: What the model says along the draft, where there was one and the model can be looked into.
        samples: All draws of the case, this one the first, where a test asked for several.
        lengths: How many characters of `text` each token makes, for reports to mark them; None where tokens by
            themselves do not make up the text.

    The last six tell how it came about, and count for nothing when two are compared.
    """

    text: str
    token_ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    stop: str = ""
    environment: Environment = ()
    margins: tuple[float, ...] | None = field(default=None, compare=False)
    verified: bool = field(default=False, compare=False)
    unverified: str = field(default="", compare=False)
    path: Path | None = field(default=None, compare=False)
    samples: tuple[Generation, ...] = field(default=(), compare=False)
    lengths: tuple[int, ...] | None = field(default=None, compare=False)

    def __new__(cls, text: str, *_: object, **__: object) -> Self:  # noqa: D102
        return super().__new__(cls, text)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Generation):
            return self._compared == other._compared
        return str.__eq__(self, other)

    def __ne__(self, other: object) -> bool:  # str has one of its own, which would see the texts alone
        equal = self.__eq__(other)
        return equal if equal is NotImplemented else not equal

    __hash__ = str.__hash__  # equal to its text, so found under it

    @property
    def _compared(self) -> tuple[object, ...]:
        """The fields that count when two are compared."""
        return tuple(getattr(self, one.name) for one in fields(self) if one.compare)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        # pytest shows it with every failure, where tokens and log-probabilities would be a screenful.
        tokens = "" if self.token_ids is None else f", {len(self.token_ids)} tokens"
        return f"<generation {harmless(self.text)}{tokens}>"


def end_of(generation: Generation) -> str:
    """The text that stands for the end of a generation in messages."""
    return f"<{generation.stop or 'end'}>"


def first_difference(one: Sequence[Any], other: Sequence[Any]) -> int | None:
    """Index of the first difference: the shorter length if one is a prefix of the other, None if equal."""
    for at, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return at
    return None if len(one) == len(other) else min(len(one), len(other))


def joined(text: str) -> str:
    """A text with surrogate pairs joined to the characters that they stand for, as JSON files have them."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def harmless(text: str) -> str:
    """The `repr` of a text, safe in CI logs: commands such as `##[group]` are escaped."""
    return re.sub(r"##(?=[A-Za-z]*\[)", r"#\\x23", repr(text))
