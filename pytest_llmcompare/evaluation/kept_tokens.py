"""Texts of tokens as they were kept with a model's answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_llmcompare.models import in_memory

from .cached_answers import CachedAnswers

if TYPE_CHECKING:
    from .pyfunc import HeldTransformer


@dataclass
class KeptTokens:
    """Shows tokens and decodes baselines by what was kept with the answers; else asks the model's tokenizer."""

    cached: CachedAnswers
    ours: HeldTransformer
    pieces: dict[int, str] = field(default_factory=dict)
    texts: dict[tuple[int, ...], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for index, answer in self.cached.hits.items():
            self.pieces.update(answer.pieces)
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
