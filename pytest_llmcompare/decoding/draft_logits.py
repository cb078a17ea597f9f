"""One pass over prompts and drafts (teacher forcing), with scores for the positions of the drafts alone.

The scores of a position are a row as long as the vocabulary, and cost as much as several layers of a small model. So
none are computed for prompts and padding, where transformers offers that.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Protocol
from weakref import WeakSet

import torch
from torch import Tensor

from pytest_llmcompare.compat import takes_positions_to_keep
from pytest_llmcompare.models.load import LocalModel

from .failures import is_out_of_memory
from .module_state import fresh
from .prefix_attention import can_attend_apart, copy_prefixes, prefix_apart
from .prefix_cache import SharedPrefix, cache_keyword

log = logging.getLogger(__name__)
_refuse_positions: WeakSet[Any] = WeakSet()


class Drafted(Protocol):
    """A prompt and what is expected after it."""

    @property
    def prompt(self) -> Sequence[int]:
        """The prompt's tokens."""
        ...

    @property
    def draft(self) -> Sequence[int]:
        """The tokens that are expected after it, at least one."""
        ...


def draft_logits(
    model: LocalModel,
    rows: Sequence[Drafted],
    prefix: SharedPrefix | None,
    input_ids: Tensor,
    model_kwargs: dict[str, Any],
) -> list[Tensor]:
    """Compute the logits that each draft's tokens are chosen from, in one pass.

    Rows are padded on the right, where no earlier position looks, so each token has the position it has alone.

    Args:
        model: The model; with an encoder it takes a single row.
        rows: Prompts and drafts.
        prefix: KV cache of tokens that all prompts start with.
        input_ids: The prompts as `generate` prepared them, [rows, seq].
        model_kwargs: The other inputs that it prepared.

    Returns:
        Logits of each row, [draft, vocab].
    """
    options: dict[str, Any] = {"use_cache": False}
    if model.is_encoder_decoder:
        draft = torch.tensor([rows[0].draft[:-1]], dtype=input_ids.dtype, device=input_ids.device)
        options["decoder_input_ids"] = torch.cat([input_ids, draft], dim=1)
        options |= {name: model_kwargs[name] for name in ("encoder_outputs", "attention_mask") if name in model_kwargs}
        return [model.model(**options).logits[0, input_ids.shape[1] - 1 :]]
    skip = prefix.length if prefix else 0
    options["input_ids"] = ids = right_padded([[*row.prompt[skip:], *row.draft[:-1]] for row in rows], input_ids.device)
    positions = model_kwargs.get("position_ids")
    if positions is not None and positions.ndim == 2:  # RoBERTa's own begin elsewhere
        options["position_ids"] = torch.arange(skip, skip + ids.shape[1], device=ids.device).expand_as(ids)
    first = [len(row.prompt) - skip - 1 for row in rows]
    lengths = [len(row.draft) for row in rows]
    if not prefix:
        return _logits(model.model, options, first, lengths)
    options |= {"use_cache": True}
    if can_attend_apart(model, ids.shape[1], prefix.layers[0][0]):
        try:
            with prefix_apart(prefix.layers, prefix.buffers) as cache:
                return _logits(model.model, {**options, cache_keyword(model): cache}, first, lengths)
        except Exception as error:  # from the model, whose attention may be of any kind
            if is_out_of_memory(error):
                raise
            log.debug("%s can't keep a prefix apart", type(model.model).__name__, exc_info=True)
            copy_prefixes(model)
            _refuse_positions.discard(model.model)
    return _logits(model.model, {**options, cache_keyword(model): prefix.read_only_cache()}, first, lengths)


def _logits(model: Any, options: dict[str, Any], first: Sequence[int], lengths: Sequence[int]) -> list[Tensor]:
    """Logits of each draft, of which the first comes from position `first` of its row."""
    return _at_drafts(model, options, first, lengths) or _after_shortest(model, options, first, lengths)


def _at_drafts(
    model: Any, options: dict[str, Any], first: Sequence[int], lengths: Sequence[int]
) -> list[Tensor] | None:
    """Logits at the positions of the drafts; None if the model can't keep these alone, or they are the last of all."""
    ids = options["input_ids"]
    aligned = all(start + length == ids.shape[1] for start, length in zip(first, lengths, strict=True))
    if (aligned and len(set(lengths)) == 1) or model in _refuse_positions or not takes_positions_to_keep(model):
        return None
    keep = torch.zeros(ids.shape, dtype=torch.bool)  # on the CPU it fits hidden states on any device
    for row, start, length in zip(keep, first, lengths, strict=True):
        row[start : start + length] = True
    try:
        logits: Tensor = model(logits_to_keep=keep, **options).logits  # [positions, vocab]
        return list(torch.split(logits, list(lengths)))
    except (IndexError, RuntimeError, TypeError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        log.debug("%s can't keep the logits of some positions", type(model).__name__, exc_info=True)
        _refuse_positions.add(model)
        return None


def _after_shortest(model: Any, options: dict[str, Any], first: Sequence[int], lengths: Sequence[int]) -> list[Tensor]:
    """Logits from the end of the shortest prompt on, cut to the drafts."""
    width = options["input_ids"].shape[1]
    if "logits_to_keep" in inspect.signature(model.forward).parameters:
        options = {**options, "logits_to_keep": width - min(first)}
    with fresh(model) if model in _refuse_positions else nullcontext():  # the pass that failed may have left something
        logits: Tensor = model(**options).logits  # [rows, kept, vocab]
    dropped = width - logits.shape[1]
    return [
        row[start - dropped : start - dropped + length]
        for row, start, length in zip(logits, first, lengths, strict=True)
    ]


def right_padded(rows: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """Rows of tokens, padded on the right with a token that no position looks at."""
    width = max(len(row) for row in rows)
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], dtype=torch.long, device=device)
