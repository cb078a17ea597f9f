"""One call of transformers' `generate` that depends on nothing before it and leaves nothing behind.

Settings and prompts of any length go in; a `custom_generate` callable decides what comes out. The checkpoint's own
settings are set aside, modules start without state, and seeded samples leave torch's generators where they were.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList, StopStringCriteria

from pytest_llmcompare.models.load import LocalModel

from .batching import left_padded
from .generation_config import own_settings_aside
from .module_state import fresh
from .prefix_cache import SharedPrefix, cache_keyword
from .recorder import record


def call(
    model: LocalModel,
    prompts: Sequence[Sequence[int]],
    config: GenerationConfig,
    custom_generate: Callable[..., Any] = record,
    *,
    prefix: SharedPrefix | None = None,
    stopping: Sequence[StoppingCriteria] = (),
    **options: Any,
) -> Any:
    """Call `generate` once for prompts of any length.

    Args:
        model: The model.
        prompts: Token ids of each.
        config: Settings.
        custom_generate: The callable that makes the outputs.
        prefix: KV cache of tokens that all prompts start with.
        stopping: More criteria to stop by.
        **options: More arguments of the callable.

    Returns:
        Whatever the callable returns.
    """
    ids, mask = left_padded(prompts, pad=0)  # the mask hides it, so any token does
    # generate() gives its tokenizer to no loop but its own, so stop strings go in as what it would make of them.
    config, stops = copy.deepcopy(config), config.stop_strings
    config.stop_strings = None
    by_strings = [StopStringCriteria(model.tokenizer, stops)] if stops else []
    if prefix:
        options[cache_keyword(model)] = prefix.growing_cache([row.count(0) for row in mask])
    with own_settings_aside(model), fresh(model.model):
        return model.model.generate(
            torch.tensor(ids, device=model.device),
            attention_mask=torch.tensor(mask, device=model.device),
            generation_config=config,
            custom_generate=custom_generate,
            stopping_criteria=StoppingCriteriaList([*by_strings, *stopping]),
            **options,
        )


@contextmanager
def seeded(device: torch.device, seed: int | None) -> Iterator[None]:
    """Sample as after `torch.manual_seed(seed)`; afterwards torch's generators are where they were.

    Args:
        device: Where tokens are sampled; with a model on several GPUs any of them.
        seed: The seed; None samples from torch's generators as they are, and moves them on.
    """
    if seed is None:
        yield
    elif device.type == "cpu":
        with torch.random.fork_rng(devices=[], device_type="cuda"):
            # torch.manual_seed would seed the GPUs too, even ones that are first used later.
            torch.default_generator.manual_seed(seed)
            yield
    else:
        count = torch.get_device_module(device).device_count()
        with torch.random.fork_rng(devices=range(count), device_type=device.type):
            torch.manual_seed(seed)
            yield
