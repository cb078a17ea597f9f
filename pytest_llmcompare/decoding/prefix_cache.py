"""What the model remembers of a prefix that prompts share: computed once, lent to every batch."""

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

from pytest_llmcompare.models.local import LocalModel

from .state import fresh

LEAST = 16
"""Fewest tokens worth sharing: below that, lending them costs as much as reading them again."""
PASS = 64
"""What a family costs besides its prefix, in tokens: a pass of its own, and a last batch that is not full."""


@dataclass(frozen=True)
class Family:
    """Prompts that start with the same tokens.

    Attributes:
        length: How many tokens they share; 0 where it is not worth it.
        members: Their places in the list of prompts.
    """

    length: int
    members: tuple[int, ...]


@dataclass
class Block:
    """Neighbours in the order of their tokens, and how best to share among them.

    Attributes:
        first, last: Which ones.
        length: How many tokens all of them share, with one of its own left to each.
        saved: Tokens that need not be read if they are split as `parts` say.
        parts: Blocks to split it into, none to share within the whole.
    """

    first: int
    last: int
    length: int
    saved: int = 0
    parts: tuple[Block, ...] = ()


def families(prompts: Sequence[Sequence[int]], least: int = LEAST) -> list[Family]:
    """Split prompts into families, such that most is shared: those with the same few-shot examples come together.

    Args:
        prompts: Token ids of each prompt.
        least: Fewest tokens worth sharing.

    Returns:
        Each prompt in exactly one family, whose prefix leaves it at least one token of its own. Those that share
        nothing with others make up one family of length 0, the last.
    """
    order = sorted(range(len(prompts)), key=lambda place: tuple(prompts[place]))
    found = [
        Family(block.length, tuple(order[block.first : block.last + 1]))
        for block in best_blocks([prompts[place] for place in order], least)
        if block.saved
    ]
    shared = {place for family in found for place in family.members}
    rest = tuple(place for place in range(len(prompts)) if place not in shared)
    return [*found, *([Family(0, rest)] if rest else [])]


def best_blocks(prompts: Sequence[Sequence[int]], least: int) -> list[Block]:
    """Blocks of prompts in the order of their tokens: neighbours are joined, those that share most first."""
    blocks = [Block(at, at, len(prompt) - 1) for at, prompt in enumerate(prompts)]
    of = dict(enumerate(blocks))  # by the first and by the last of its prompts
    shared = [common(one, other) for one, other in pairwise(prompts)]
    for at in sorted(range(len(shared)), key=lambda at: -shared[at]):
        whole = joined(of[at], of[at + 1], shared[at], least)
        of[whole.first] = of[whole.last] = whole
    waiting, found = [of[0]] if of else [], []
    while waiting:
        block = waiting.pop()
        waiting.extend(reversed(block.parts))
        if not block.parts:
            found.append(block)
    return found


def joined(one: Block, other: Block, shared: int, least: int) -> Block:
    """Two neighbours as one block, to be split again where that saves more."""
    length = min(one.length, other.length, shared)
    block = Block(one.first, other.last, length)
    whole = length * (block.last - block.first) - PASS if length >= least else 0
    split = one.saved + other.saved
    block.saved = max(whole, split, 0)
    block.parts = (one, other) if split >= whole and split else ()
    return block


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two prompts start with in common."""
    most = min(len(one), len(other))
    return next((at for at in range(most) if one[at] != other[at]), most)


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
