"""Calls of transformers' `generate`: settings in, prompts of any length in, whatever a callable makes of it out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import GenerationConfig, StopStringCriteria

from pytest_llmcompare.models.local import LocalModel

from .batching import left_padded
from .lending import Prefix, cache_keyword
from .prompts import room
from .recording import record
from .work import Work


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
    skip = prefix.length if prefix else 0
    ids, mask = left_padded([prompt[skip:] for prompt in prompts], pad=0)  # the mask hides it, so any token does
    ids = [[*prompts[0][:skip], *row] for row in ids]
    mask = [[1] * skip + row for row in mask]
    # generate() gives its tokenizer to no loop but its own, so stop strings go in as what it would make of them.
    config, stops = copy.deepcopy(config), config.stop_strings
    config.stop_strings = None
    if prefix:
        options[cache_keyword(model)] = prefix.begun(len(prompts))
    return model.model.generate(
        torch.tensor(ids, device=model.device),
        attention_mask=torch.tensor(mask, device=model.device),
        generation_config=config,
        custom_generate=made_by,
        stopping_criteria=[StopStringCriteria(model.tokenizer, stops)] if stops else None,
        **options,
    )


def within_context(work: Work, length: int) -> tuple[GenerationConfig, str]:
    """Settings under which a prompt's output ends where the positions end, and what to say if it gets there.

    transformers raises in the middle of such an output, unless it ends before by itself, so that is what happens here;
    a search over beams looks ahead, and forced tokens stand at the very end, so for these the limit stays where it is.
    """
    config, left = work.config, room(work.model, length)
    wanted = wanted_tokens(work, length)
    if wanted <= left or (config.num_beams or 1) > 1 or config.forced_eos_token_id is not None:
        return config, ""
    shorter = copy.deepcopy(config)
    shorter.max_new_tokens, shorter.max_length = int(left), None
    asked = f"a prompt of {length} tokens and {wanted} new ones"
    return shorter, (
        f"{asked} do not fit into its context of {work.model.context}, and the output has not ended before.\n"
        f"Shorten the prompt or its examples, or set max_new_tokens={int(left)} or less."
    )


def wanted_tokens(work: Work, length: int) -> int:
    """Most tokens that the settings ask for after a prompt of this length."""
    start = 1 if work.model.is_encoder_decoder else length
    return work.config.max_new_tokens or (work.config.max_length or 0) - start
