"""What the model remembers of a prefix that prompts share: computed once, lent to every batch."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, DynamicCache, DynamicLayer
from transformers.cache_utils import DynamicSlidingWindowLayer

from pytest_llmcompare.models.local import LocalModel

from .state import fresh

KEEPS_ALL = {DynamicLayer, DynamicSlidingWindowLayer}
"""Kinds of memory with a key and a value per token, which another kind of that sort can stand for."""


class LentLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keys and values of one row, never written: it serves passes of any number of rows that keep nothing."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lazy_initialization(keys, values)
        self.keys, self.values = keys, values
        self.lent = keys, values  # [1, heads, prefix, size] each

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """What a pass over `key_states` and `value_states` [rows, heads, seq, size] looks at."""
        keys, values = (part.expand(len(key_states), -1, -1, -1) for part in self.lent)
        return torch.cat([keys, key_states], dim=-2), torch.cat([values, value_states], dim=-2)


class Prefix:
    """The memory of a prefix.

    Attributes:
        length: Number of its tokens.
        layers: Keys and values of each layer, [1, heads, length, size].
    """

    def __init__(self, length: int, layers: Sequence[tuple[Tensor, Tensor]]) -> None:
        self.length = length
        self.layers = layers

    def lent(self) -> Cache:
        """For one pass that keeps nothing, over any number of rows."""
        return Cache(layers=[LentLayer(keys, values) for keys, values in self.layers])

    def begun(self, gaps: Sequence[int]) -> DynamicCache:
        """For a loop that goes on from here; the first step copies, so the prefix stays as it is.

        Padding stands before the whole prompt, as without a prefix, because some models measure distances by the place
        in the cache (MPT, the windows of GPT-Neo). So a row keeps its last tokens out of the cache, one per padding.

        Args:
            gaps: Tokens of padding before each row.
        """
        cache = DynamicCache()  # without a config it keeps every key, under a sliding window as well
        for keys, values in self.layers:
            layer: Any = DynamicLayer()  # type: ignore[no-untyped-call]
            layer.lazy_initialization(keys, values)
            layer.keys, layer.values = (shifted(part, gaps) for part in (keys, values))
            cache.layers.append(layer)
        return cache


def shifted(part: Tensor, gaps: Sequence[int]) -> Tensor:
    """Keys or values [1, heads, length, size] for rows that begin with padding, [rows, heads, length, size]."""
    if not any(gaps):
        return part.expand(len(gaps), -1, -1, -1)
    places = torch.arange(part.shape[2], device=part.device)[None] - torch.tensor(gaps, device=part.device)[:, None]
    return part[0][:, places.clamp(min=0)].transpose(0, 1)  # the mask hides what stands for padding


class Lender:
    """Computes prefixes for a model, and keeps the last one."""

    def __init__(self, model: LocalModel) -> None:
        self.model = model
        self.last: tuple[int, ...] = ()
        self.prefix: Prefix | None = None

    def lend(self, tokens: Sequence[int]) -> Prefix | None:
        """The memory of a prefix, or None where this model's cannot be lent.

        Raises:
            Exception: Whatever the model raises; it is not asked for this prefix again.
        """
        if tuple(tokens) != self.last:
            self.prefix = None  # before the next is computed: there may be no room for both
            self.last = tuple(tokens)
            self.prefix = computed(self.model, self.last) if tokens and can_lend(self.model) else None
        return self.prefix


def can_lend(model: LocalModel) -> bool:
    """Whether all that the model remembers of a prefix is a key and a value per token and layer."""
    if model.is_encoder_decoder or not cache_keyword(model):
        return False
    config = model.model.config.get_text_config(decoder=True)
    return {type(layer) for layer in DynamicCache(config=config).layers} <= KEEPS_ALL


def cache_keyword(model: LocalModel) -> str:
    """What the model's `forward` calls a cache; empty where it takes none."""
    known = inspect.signature(model.model.forward).parameters
    return next((name for name in ("cache", "past_key_values") if name in known), "")


@torch.no_grad()
def computed(model: LocalModel, tokens: Sequence[int]) -> Prefix | None:
    """Read a prefix; None if the model did not put it into the cache."""
    cache: Any = DynamicCache()
    known = inspect.signature(model.model.forward).parameters
    options: dict[str, Any] = {"logits_to_keep": 1} if "logits_to_keep" in known else {}
    if "position_ids" in known:  # as `generate` gives them; RoBERTa's own begin elsewhere
        options["position_ids"] = torch.arange(len(tokens), device=model.device)[None]
    with fresh(model.model):
        ids = torch.tensor([tokens], device=model.device)
        model.model(input_ids=ids, use_cache=True, **{cache_keyword(model): cache}, **options)
    if cache.get_seq_length() != len(tokens) or any(type(layer) is not DynamicLayer for layer in cache.layers):
        return None
    return Prefix(len(tokens), [(layer.keys, layer.values) for layer in cache.layers])
