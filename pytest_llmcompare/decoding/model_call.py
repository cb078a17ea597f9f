"""Calls of transformers' `generate`: settings in, prompts of any length in, whatever a callable makes of it out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import GenerationConfig, StopStringCriteria

from pytest_llmcompare.models.local import LocalModel

from .batching import left_padded
from .prefix_cache import Prefix, cache_keyword
from .recorder import record
from .state import fresh


def call(
    model: LocalModel,
    prompts: Sequence[Sequence[int]],
    config: GenerationConfig,
    made_by: Callable[..., Any] = record,
    prefix: Prefix | None = None,
    **options: Any,
) -> Any:
    """One call of transformers for prompts of any length.

    Args:
        model: The model.
        prompts: Token ids of each.
        config: Settings.
        made_by: The `custom_generate` callable that makes the outputs.
        prefix: The memory of tokens that all prompts start with.
        **options: More arguments of the callable.
    """
    ids, mask = left_padded(prompts, pad=0)  # the mask hides it, so any token does
    # generate() gives its tokenizer to no loop but its own, so stop strings go in as what it would make of them.
    config, stops = copy.deepcopy(config), config.stop_strings
    config.stop_strings = None
    if prefix:
        options[cache_keyword(model)] = prefix.begun([row.count(0) for row in mask])
    with fresh(model.model):
        return model.model.generate(
            torch.tensor(ids, device=model.device),
            attention_mask=torch.tensor(mask, device=model.device),
            generation_config=config,
            custom_generate=made_by,
            stopping_criteria=[StopStringCriteria(model.tokenizer, stops)] if stops else None,
            **options,
        )
