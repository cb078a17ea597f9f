"""Texts of the tokens of a model: cached with its answers, so that a model that is not asked need not be loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_llmcompare.models import in_memory

from .ask_served import ServedTokens
from .cached_answers import CachedAnswers
from .served_model import served_model_of
from .verdicts import Tokenizer, tokenizer_of

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel

    from .pyfunc import HeldTransformer


def tokens_of(model: PyFuncModel, ours: HeldTransformer | None, cached: CachedAnswers | None) -> Tokenizer | None:
    """The object that shows the tokens of a model; None for a model that gives texts only.

    Args:
        model: The loaded pyfunc.
        ours: Our own pyfunc inside it, which a local model has.
        cached: Its answers in the cache; if all are there, the model is not asked for tokens either.
    """
    is_asked = cached is None or not cached.answers_all
    if ours is not None:
        return tokenizer_of(ours) if cached is None or is_asked else CachedTokens(cached, ours)
    served = served_model_of(model)
    if served is None:
        return None
    return ServedTokens(served.server().pieces if cached is None or is_asked else pieces_of(cached))


def pieces_of(cached: CachedAnswers) -> dict[int, str]:
    """Cached texts of single tokens."""
    return {token: text for answer in cached.hits.values() for token, text in answer.pieces.items()}


@dataclass
class CachedTokens:
    """Shows tokens and decodes baselines from what is cached with the answers, else with the model's tokenizer."""

    cached: CachedAnswers
    ours: HeldTransformer
    pieces: dict[int, str] = field(default_factory=dict)
    texts: dict[tuple[int, ...], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.pieces = pieces_of(self.cached)
        for index, answer in self.cached.hits.items():
            baseline = self.cached.expected.get(self.cached.cases[index].key.row)
            tokens = baseline.generation.token_ids if baseline else None
            if tokens is not None and answer.decoded is not None:
                self.texts[tokens] = answer.decoded

    def show(self, token: int) -> str:
        """Text of a single token, special tokens included."""
        piece = self.pieces.get(token)
        return in_memory.hold(self.ours.located()).show(token) if piece is None else piece

    @property
    def decode(self) -> Callable[[Sequence[int]], str]:
        """Returns the text of generated tokens."""
        return self._decode

    def _decode(self, tokens: Sequence[int]) -> str:
        text = self.texts.get(tuple(tokens))
        return in_memory.hold(self.ours.located()).decode(tokens) if text is None else text
