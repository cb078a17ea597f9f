"""Outputs of models with their log-probabilities. Standard library only, no I/O."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Self, get_type_hints

Environment = tuple[tuple[str, str], ...]
"""Library versions, device, dtype and weights that a generation depends on, as sorted pairs of name and value."""


@dataclass(frozen=True)
class Path:
    """A model's log-probs of given tokens (teacher forcing), which need not be those it would generate.

    Values are per position and of the processed distribution (after logits processors). They end where the model's
    own output would have ended, if that is before the given tokens do.

    Attributes:
        tokens: The given tokens.
        choices: The model's own token at each position, given the tokens before it: the argmax, or its sample.
        logprobs: Log-probability (nats) of each given token.
        margins: Log-prob of the argmax minus that of the given token (nats); 0 if they are the same.
        leads: Top-2 margin: log-prob of the argmax minus that of the second (nats).
        scale: Largest logit of an argmax by magnitude; numerical noise grows with it. 0 if unknown.
        stop: Finish reason after the last of `choices`; empty if the model would go on.
        draws: True for sampled decoding, where a choice other than the argmax means nothing.
        is_partial: True if it ends at the first other choice, because a server shows no more.
        unprocessed: Log-probability (nats) of each given token before logits processors; None if they changed none.
        is_coarse: True if it was computed in a low precision, whose rounding hides small changes.
    """

    tokens: tuple[int, ...]
    choices: tuple[int, ...]
    logprobs: tuple[float, ...]
    margins: tuple[float, ...]
    leads: tuple[float, ...]
    scale: float = 0.0
    stop: str = ""
    draws: bool = False
    is_partial: bool = False
    unprocessed: tuple[float, ...] | None = None
    is_coarse: bool = False

    @property
    def as_read(self) -> tuple[float, ...] | None:
        """Log-probability (nats) of each given token before logits processors; None if it is coarse."""
        if self.is_coarse:
            return None
        return self.logprobs if self.unprocessed is None else self.unprocessed


OPTIONAL = ("as_read", "reasoning", "prompt_shown")
"""Fields of a `Generation` that are written only if they have a value."""


@dataclass(frozen=True, repr=False)
class Generation(str):
    """Output of a model for a case: a `str` that also knows its tokens, log-probs and environment.

    As a `str` it works in `"Paris" in llm_output`, `llm_output == "Paris."`, `llm_output.strip()`,
    `re.search("[0-9]+", llm_output)` and `json.loads(llm_output)`. It equals a plain text that is the same character
    by character, and another generation only if tokens, log-probs, finish reason and environment are equal, too.

    Attributes:
        text: The generated text, without the prompt.
        token_ids: Generated tokens, or None if the model does not expose them. A server that names its tokens by bytes
            alone has numbers made of these.
        logprobs: Log-probability (nats) of each token in the processed distribution, or None.
        stop: Finish reason: `eos`, `length`, `stop` (a stop string) or `` (unknown).
        environment: Library versions, device, dtype and weights that it depends on.
        margins: Top-2 margin (nats) at each position, or None.
        verified: True if it is a draft (the baseline's tokens) that one forward pass confirmed.
        unverified: Why its draft was not confirmed; empty otherwise.
        untried: Why its draft was not even tried: a reason in the settings or in the model. Kept in memory only.
        path: The model's log-probs of the draft, if there was one and the model exposes them.
        as_read: Log-probability (nats) of each token before logits processors, in one pass over prompt and output. A
            low-precision checkpoint is read in float32, so it is not that of the written token. None if it was not
            read.
        samples: All outputs of the case, this one first, if a test asked for several.
        lengths: Number of characters of `text` that each token makes, for reports to mark them; None if the decoded
            tokens do not add up to the text.
        reasoning: What a served model reasoned before the text, if its server gives that in a field of its own.
        prompt_shown: Number of tokens that a server made of the prompt and, if it shows their ids, a hash of these:
            `12:3f1c9a2e`. Empty for other models.

    The last ten describe how it came about; equality ignores them.
    """

    text: str
    token_ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    stop: str = ""
    environment: Environment = ()
    margins: tuple[float, ...] | None = field(default=None, compare=False)
    verified: bool = field(default=False, compare=False)
    unverified: str = field(default="", compare=False)
    untried: str = field(default="", compare=False)
    path: Path | None = field(default=None, compare=False)
    samples: tuple[Generation, ...] = field(default=(), compare=False)
    lengths: tuple[int, ...] | None = field(default=None, compare=False)
    reasoning: str = field(default="", compare=False)
    prompt_shown: str = field(default="", compare=False)
    as_read: tuple[float, ...] | None = field(default=None, compare=False)

    def __new__(cls, text: str, *_: object, **__: object) -> Self:  # noqa: D102
        return super().__new__(cls, text)

    @classmethod
    def __get_pydantic_core_schema__(cls, _: object, handler: Any) -> Any:
        """Make pydantic call the constructor: a `str` gets its text when it is made.

        `untried` is not written, nor what has no value in `OPTIONAL`, and `samples` are not read.
        """
        from pydantic_core import core_schema

        types = {**get_type_hints(cls), "samples": Any}
        attributes = core_schema.typed_dict_schema(
            {
                one.name: core_schema.typed_dict_field(
                    handler.generate_schema(types[one.name]), required=one.default is MISSING
                )
                for one in fields(cls)
            }
        )
        return core_schema.no_info_after_validator_function(
            lambda given: cls(**{**given, "samples": ()}),
            attributes,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda output: {
                    name: value
                    for name, value in vars(output).items()
                    if name != "untried" and (value or name not in OPTIONAL)
                },
                return_schema=attributes,
            ),
        )

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Generation):
            return self._compared == other._compared
        return str.__eq__(self, other)

    def __ne__(self, other: object) -> bool:  # that of str would compare only the texts
        equal = self.__eq__(other)
        return equal if equal is NotImplemented else not equal

    __hash__ = str.__hash__  # equal to its text, so found under it

    @property
    def _compared(self) -> tuple[object, ...]:
        """The fields that equality compares."""
        return tuple(getattr(self, part.name) for part in fields(self) if part.compare)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        # pytest shows it with every failure, where tokens and log-probabilities would be a screenful.
        tokens = "" if self.token_ids is None else f", {len(self.token_ids)} tokens"
        return f"<generation {harmless(self.text)}{tokens}>"


def end_of(generation: Generation) -> str:
    """What reports show at the end of a generation: `<eos>`."""
    return f"<{generation.stop or 'end'}>"


def first_difference(one: Sequence[Any], other: Sequence[Any]) -> int | None:
    """Index of the first item that differs; the shorter length if one is a prefix of the other, None if equal."""
    for at, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return at
    return None if len(one) == len(other) else min(len(one), len(other))


_OF_BYTES = 1 << 48
"""Least number that is made of bytes; ids of tokens are smaller."""


def number_of_bytes(raw: bytes) -> int:
    """A number that stands for a token of which only the bytes are known, and not its id."""
    return _OF_BYTES | int.from_bytes(hashlib.sha256(raw).digest()[:6], "big")


def names_tokens_alike(one: Sequence[int], other: Sequence[int]) -> bool:
    """True if both name tokens by ids, or both by their bytes; only then they can be compared."""
    return not one or not other or (one[0] >= _OF_BYTES) == (other[0] >= _OF_BYTES)


def joined(text: str) -> str:
    """A text with each surrogate pair joined into the character it encodes, as in a text read from JSON."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def harmless(text: str) -> str:
    """The `repr` of a text without commands that a CI service obeys in the middle of a line (`##[group]`)."""
    return re.sub(r"##(?=[A-Za-z]*\[)", r"#\\x23", repr(text))
