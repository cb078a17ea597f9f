"""Attention to a shared prefix whose keys and values are held once, not once for each row of a batch.

Transformers' attention takes keys and values of whole rows, so those of the prefix would be copied into each row, in
each layer. Here the queries of all rows meet the one copy in a single multiplication; only the softmax looks at the
scores of prefix and row together:

    queries of all rows  x  keys of the prefix   ->  scores  |p p p p p ...|
    queries of each row  x  keys of the row      ->  scores              |r r r|
                                                     softmax over both, then the same with the values

It takes the place of `sdpa` (torch's `scaled_dot_product_attention`) for the moment of one pass, through the registry
that transformers has for that (`AttentionInterface`). A model that does not ask the registry, or does something to its
keys on the way, is noticed: then the keys and values are copied, as before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor
from transformers import Cache, DynamicLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from pytest_llmcompare.models.load import LocalModel

from .buffers import Buffers

SDPA = "sdpa"
PREFIX = "_llmcompare_prefix"
"""Name of an attribute of a tensor of keys; its value is the layer whose prefix comes before these keys."""
LEAST_SIZE = 16
"""Smallest size of a key for which this is used, so that the rows of `self_check.py` are short beside it, too."""

_copied: WeakSet[Any] = WeakSet()


class PrefixError(Exception):
    """A model's attention is not the one that this module computes."""


class PrefixLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keys and values of a prefix, which stay apart from those of the rows; what a pass adds is not kept.

    Args:
        keys: Keys of the prefix, [1, heads, prefix, size].
        values: Its values, of the same shape.
        buffers: Memory for scores, which one layer after the other uses.
    """

    def __init__(self, keys: Tensor, values: Tensor, buffers: Buffers) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lazy_initialization(keys, values)
        self.keys, self.values = self.shared = keys, values
        self.buffers = buffers
        self.is_attended = True

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """The rows' own keys and values [rows, heads, seq, size] as they are; the keys know that a prefix precedes."""
        if not self.is_attended:
            raise PrefixError("keys of a layer were added twice before it attended to them")
        self.is_attended = False
        setattr(key_states, PREFIX, self)
        return key_states, value_states


def can_attend_apart(model: LocalModel, length: int, keys: Tensor) -> bool:
    """Whether to keep a prefix apart in a pass.

    Only on a CPU, where it was measured, and for short rows: for long ones the scores take more time and memory than
    copies of the prefix would, and torch's own attention never has all scores in memory.

    Args:
        model: The model.
        length: Tokens of a row after the prefix.
        keys: Keys of the prefix in any layer, [1, heads, prefix, size].
    """
    config = model.model.config.get_text_config(decoder=True)
    is_torchs = getattr(config, "_attn_implementation", None) == SDPA
    is_short = length <= keys.shape[3] and keys.shape[3] >= LEAST_SIZE
    return is_torchs and is_short and _is_measured(keys) and model.model not in _copied


def _is_measured(keys: Tensor) -> bool:
    return keys.device.type == "cpu" and keys.dtype == torch.float32


def copy_prefixes(model: LocalModel) -> bool:
    """Copy the keys and values of prefixes for this model from now on; False if they were before."""
    is_new = model.model not in _copied
    _copied.add(model.model)
    return is_new


@contextmanager
def prefix_apart(layers: Sequence[tuple[Tensor, Tensor]], buffers: Buffers) -> Iterator[Cache]:
    """Let `sdpa` attend to a prefix that is kept apart; yield the cache for one pass.

    Args:
        layers: Keys and values of the prefix in each layer, [1, heads, prefix, size].
        buffers: Memory for scores.

    Raises:
        PrefixError: The model's attention is of another kind.
    """
    apart = [PrefixLayer(keys, values, buffers) for keys, values in layers]
    before = ALL_ATTENTION_FUNCTIONS[SDPA]

    def attend(
        module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
    ) -> Any:
        layer: PrefixLayer | None = getattr(key, PREFIX, None)
        if layer is None:
            return before(module, query, key, value, attention_mask, **options)
        layer.is_attended = True
        return attention(layer, query, key, value, attention_mask, **options), None

    ALL_ATTENTION_FUNCTIONS[SDPA] = attend
    try:
        yield Cache(layers=[*apart])
    finally:
        ALL_ATTENTION_FUNCTIONS.pop(SDPA)
        if ALL_ATTENTION_FUNCTIONS[SDPA] is not before:  # somebody else's took the place of transformers' own, too
            ALL_ATTENTION_FUNCTIONS[SDPA] = before
    if not all(layer.is_attended for layer in apart):
        raise PrefixError("a layer has not attended to the prefix")


def attention(
    layer: PrefixLayer,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    *,
    scaling: float | None = None,
    **options: Any,
) -> Tensor:
    """Attend to a prefix and to the rows' own tokens after it.

    Args:
        layer: The prefix.
        query: Queries, [rows, heads, seq, size].
        key: Keys of the rows' own tokens, [rows, key heads, seq, size]; a key head may serve several heads.
        value: Their values, [rows, key heads, seq, value size].
        mask: What a token attends to, [rows, 1, seq, prefix + seq]; None for everything.
        scaling: Factor of the scores; None for one over the square root of `size`.
        **options: Other arguments of transformers' `sdpa_attention_forward`.

    Returns:
        [rows, seq, heads, value size].

    Raises:
        PrefixError: An argument asks for an attention of another kind.
    """
    rows, heads, length, size = query.shape
    keys, values = layer.shared
    key_heads, shared = key.shape[1], keys.shape[2]
    _check(query, keys, mask, options)
    # All rows that meet the same keys are next to each other: [key heads, rows * groups * seq, ...].
    groups = heads // key_heads
    tokens = rows * groups * length
    scaled = query * (size**-0.5 if scaling is None else scaling)
    queries = scaled.view(rows, key_heads, groups, length, size).transpose(0, 1).reshape(key_heads, tokens, size)
    own_keys, own_values = (part.transpose(0, 1).flatten(0, 1) for part in (key, value))  # [key heads * rows, seq, ...]
    scores = layer.buffers.take((key_heads, tokens, shared + length), query)
    torch.bmm(queries, keys[0].transpose(1, 2), out=scores[:, :, :shared])
    to_own = torch.bmm(queries.reshape(key_heads * rows, -1, size), own_keys.transpose(1, 2))
    scores[:, :, shared:] = to_own.view(key_heads, tokens, length)
    if mask is not None:
        _hide(scores.view(key_heads, rows, groups, length, -1), mask, shared)
    weights = scores.softmax(-1)
    mixed = torch.bmm(weights[:, :, :shared], values[0])
    own_weights = weights[:, :, shared:].reshape(key_heads * rows, -1, length)
    mixed += torch.bmm(own_weights, own_values).view_as(mixed)
    return mixed.view(key_heads, rows, groups, length, -1).permute(1, 3, 0, 2, 4).reshape(rows, length, heads, -1)


def _check(query: Tensor, keys: Tensor, mask: Tensor | None, options: Mapping[str, Any]) -> None:
    """Raise if the attention is of another kind than `attention` computes."""
    length = query.shape[2]
    if options.get("dropout") or options.get("position_bias") is not None or options.get("softcap") is not None:
        raise PrefixError("scores are changed before they are added up")
    if query.dtype != keys.dtype:
        raise PrefixError("queries are in another precision than the prefix")
    if mask is None and length > 1:
        raise PrefixError("tokens look at what follows them")
    if mask is not None and (mask.dtype != torch.bool or mask.shape[1:] != (1, length, keys.shape[2] + length)):
        raise PrefixError("the mask is not one of tokens")


def _hide(scores: Tensor, mask: Tensor, shared: int) -> None:
    """Leave out the scores [key heads, rows, groups, seq, prefix + seq] of what a token does not attend to."""
    hidden = ~mask.transpose(0, 1)[:, :, None]  # [1, rows, 1, seq, prefix + seq]
    start = 0 if hidden[..., :shared].any() else shared  # only windows end within the prefix
    scores[..., start:].masked_fill_(hidden[..., start:], float("-inf"))
