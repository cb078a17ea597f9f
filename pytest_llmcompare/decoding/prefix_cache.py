"""KV cache of a prefix that prompts share: computed once and expanded for every batch."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, DynamicCache, DynamicLayer
from transformers.cache_utils import DynamicSlidingWindowLayer

from pytest_llmcompare.models.load import LocalModel

from .buffers import Buffers
from .float32_trial import reading
from .module_state import fresh

LEAST_SHARED = 16
"""Fewest tokens worth sharing: below that, expanding their cache costs as much as reading them again."""
GROUP_COST = 64
"""Cost of a group besides its prefix, in tokens: one more pass, and one more batch that is not full."""


@dataclass(frozen=True)
class PrefixGroup:
    """Prompts that start with the same tokens.

    Attributes:
        length: How many tokens they share; 0 if that is not worth it.
        members: Their indices in the list of prompts.
    """

    length: int
    members: tuple[int, ...]


@dataclass
class Block:
    """Prompts that are neighbours when sorted by their tokens, and how best to share prefixes among them.

    Attributes:
        first, last: Positions in the sorted list.
        length: How many tokens all of them share, with at least one left to each.
        saved: Tokens that need not be read if the block is split into `parts`.
        parts: Blocks to split it into; none to share one prefix in the whole block.
    """

    first: int
    last: int
    length: int
    saved: int = 0
    parts: tuple[Block, ...] = ()


def group_by_prefix(prompts: Sequence[Sequence[int]], least: int = LEAST_SHARED) -> list[PrefixGroup]:
    """Group prompts such that most tokens are shared: those with the same few-shot examples come together.

    Args:
        prompts: Token ids of each prompt.
        least: Fewest tokens worth sharing.

    Returns:
        Each prompt in exactly one group, with at least one token after the group's prefix. Prompts that share nothing
        are the last group, of length 0.
    """
    order = sorted(range(len(prompts)), key=lambda index: tuple(prompts[index]))
    groups = [
        PrefixGroup(block.length, tuple(order[block.first : block.last + 1]))
        for block in _best_blocks([prompts[index] for index in order], least)
        if block.saved
    ]
    shared = {index for group in groups for index in group.members}
    rest = tuple(index for index in range(len(prompts)) if index not in shared)
    return [*groups, *([PrefixGroup(0, rest)] if rest else [])]


def _best_blocks(prompts: Sequence[Sequence[int]], least: int) -> list[Block]:
    """Merge neighbours of sorted prompts, those that share most first, and split again where that saves more."""
    blocks = [Block(at, at, len(prompt) - 1) for at, prompt in enumerate(prompts)]
    block_at = dict(enumerate(blocks))  # by the first and by the last of its prompts
    shared = [_common_length(one, other) for one, other in pairwise(prompts)]
    for at in sorted(range(len(shared)), key=lambda at: -shared[at]):
        merged = _merged(block_at[at], block_at[at + 1], shared[at], least)
        block_at[merged.first] = block_at[merged.last] = merged
    waiting, best = [block_at[0]] if block_at else [], []
    while waiting:
        block = waiting.pop()
        waiting.extend(reversed(block.parts))
        if not block.parts:
            best.append(block)
    return best


def _merged(one: Block, other: Block, shared: int, least: int) -> Block:
    length = min(one.length, other.length, shared)
    block = Block(one.first, other.last, length)
    saved_whole = length * (block.last - block.first) - GROUP_COST if length >= least else 0
    saved_split = one.saved + other.saved
    block.saved = max(saved_whole, saved_split, 0)
    block.parts = (one, other) if saved_split >= saved_whole and saved_split else ()
    return block


def _common_length(one: Sequence[int], other: Sequence[int]) -> int:
    most = min(len(one), len(other))
    return next((at for at in range(most) if one[at] != other[at]), most)


KEEPS_ALL = {DynamicLayer, DynamicSlidingWindowLayer}
"""Cache layers with a key and a value per token, which a plain `DynamicLayer` can replace."""


class ReadOnlyLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keys and values of one row, expanded to any number of rows; what a pass adds is not kept.

    Args:
        keys: Keys of the prefix, [1, heads, prefix, size].
        values: Its values, of the same shape.
        buffers: Memory for those of whole rows, which one layer after the other uses while it attends.
    """

    def __init__(self, keys: Tensor, values: Tensor, buffers: Buffers) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lazy_initialization(keys, values)
        self.keys, self.values = keys, values
        self.shared = keys, values
        self.buffers = buffers

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """The shared keys and values, followed by `key_states` and `value_states` [rows, heads, seq, size]."""
        return self._after_prefix(self.shared[0], key_states), self._after_prefix(self.shared[1], value_states)

    def _after_prefix(self, prefix: Tensor, own: Tensor) -> Tensor:
        """Keys or values of whole rows, [rows, heads, prefix + seq, size]."""
        start = prefix.shape[-2]
        whole = self.buffers.take((*own.shape[:2], start + own.shape[2], own.shape[3]), own)
        whole[:, :, :start] = prefix
        whole[:, :, start:] = own
        return whole


class GrowingLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keys and values of a shared prefix, held once for all rows, and those of each row after it.

    They are put together for one layer at a time, while it attends. `DynamicLayer` holds a copy of the prefix for each
    row and layer, and copies all of it at each token.

    Args:
        keys: Keys of the prefix, [1, heads, prefix, size].
        values: Its values, of the same shape.
        gaps: Tokens of padding before each row; see `SharedPrefix.growing_cache`.
    """

    def __init__(self, keys: Tensor, values: Tensor, gaps: Sequence[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lazy_initialization(keys, values)  # of the rows: none yet
        self.shared = keys, values
        self.spans = _spans([min(gap, keys.shape[-2]) for gap in gaps])  # own tokens hold the rest

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Add `key_states` and `value_states` [rows, heads, seq, size]; return all, prefix first."""
        keys, values = super().update(key_states, value_states)
        return self._after_prefix(self.shared[0], keys), self._after_prefix(self.shared[1], values)

    def get_seq_length(self) -> int:
        """How many tokens there are, padding and prefix included."""
        return self.shared[0].shape[-2] + int(super().get_seq_length())

    def _after_prefix(self, prefix: Tensor, own: Tensor) -> Tensor:
        """Keys or values of whole rows, [rows, heads, prefix + seq, size]."""
        rows, heads, length, size = own.shape
        start = prefix.shape[-2]
        whole = own.new_empty(rows, heads, start + length, size)
        whole[:, :, start:] = own
        whole[:, :, : max(gap for gap, _, _ in self.spans)] = prefix[:, :, :1]  # the mask hides what is padding
        for gap, first, end in self.spans:
            whole[first:end, :, gap:start] = prefix[:, :, : start - gap]
        return whole


def _spans(gaps: Sequence[int]) -> list[tuple[int, int, int]]:
    """Neighbouring rows with equal gaps: the gap, the first row and the row after the last."""
    spans: list[tuple[int, int, int]] = []
    for row, gap in enumerate(gaps):
        first = spans.pop()[1] if spans and spans[-1][0] == gap else row
        spans.append((gap, first, row + 1))
    return spans


class SharedPrefix:
    """KV cache of a shared prefix.

    Attributes:
        length: Number of its tokens.
        layers: Keys and values of each layer, [1, heads, length, size].
    """

    def __init__(self, length: int, layers: Sequence[tuple[Tensor, Tensor]]) -> None:
        self.length = length
        self.layers = layers
        self.buffers = Buffers()

    def read_only_cache(self) -> Cache:
        """A cache for one pass that keeps nothing, over any number of rows."""
        return Cache(layers=[ReadOnlyLayer(keys, values, self.buffers) for keys, values in self.layers])

    def growing_cache(self, gaps: Sequence[int]) -> DynamicCache:
        """A cache for a loop that goes on from here; the prefix stays as it is.

        Padding comes before the whole prompt, as without a prefix, because some models measure distances by position
        in the cache (MPT, the windows of GPT-Neo). So a row keeps its last tokens out of the cache, one per padding.

        Args:
            gaps: Tokens of padding before each row.
        """
        self.buffers.clear()  # writing needs the memory
        cache = DynamicCache()  # without a config it keeps every key, under a sliding window as well
        for keys, values in self.layers:
            cache.layers.append(GrowingLayer(keys, values, gaps))
        return cache


class PrefixCache:
    """Computes the KV caches of prefixes, and keeps the last one."""

    def __init__(self, model: LocalModel) -> None:
        self.model = model
        self.tokens: tuple[int, ...] = ()
        self.prefix: SharedPrefix | None = None

    def get(self, tokens: Sequence[int]) -> SharedPrefix | None:
        """The KV cache of a prefix, or None if this model does not support one.

        Raises:
            Exception: Any error of the model; the same prefix is not tried again.
        """
        if tuple(tokens) != self.tokens:
            self.prefix = None  # before the next is computed: there may be no room for both
            self.tokens = tuple(tokens)
            self.prefix = compute_prefix(self.model, tokens) if tokens and supports_prefixes(self.model) else None
        return self.prefix


def supports_prefixes(model: LocalModel) -> bool:
    """True if all that the model keeps of a prefix is a key and a value per token and layer."""
    if model.is_encoder_decoder or not cache_keyword(model):
        return False
    config = model.model.config.get_text_config(decoder=True)
    return {type(layer) for layer in DynamicCache(config=config).layers} <= KEEPS_ALL


def cache_keyword(model: LocalModel) -> str:
    """Name of the argument of the model's `forward` that takes a KV cache; empty if there is none."""
    parameters = inspect.signature(model.model.forward).parameters
    return next((name for name in ("cache", "past_key_values") if name in parameters), "")


@torch.no_grad()
def compute_prefix(model: LocalModel, tokens: Sequence[int]) -> SharedPrefix | None:
    """Compute the KV cache of a prefix; None if the model did not fill the cache.

    That of a low-precision checkpoint is in float32, because it is only read from and never written after.
    """
    cache: Any = DynamicCache()
    parameters = inspect.signature(model.model.forward).parameters
    options: dict[str, Any] = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}
    if "position_ids" in parameters:  # as `generate` gives them; RoBERTa's own begin elsewhere
        options["position_ids"] = torch.arange(len(tokens), device=model.device)[None]
    with fresh(model.model), reading(model):
        ids = torch.tensor([list(tokens)], device=model.device)
        model.model(input_ids=ids, use_cache=True, **{cache_keyword(model): cache}, **options)
    if cache.get_seq_length() != len(tokens) or any(type(layer) is not DynamicLayer for layer in cache.layers):
        return None
    return SharedPrefix(len(tokens), [(layer.keys, layer.values) for layer in cache.layers])
