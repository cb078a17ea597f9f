"""Draws that depend on their seed alone, and leave the random numbers of everybody else as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def seeded(device: torch.device, seed: int | None) -> Iterator[None]:
    """Draw as after `torch.manual_seed(seed)`; afterwards torch's generators are where they were.

    Args:
        device: Where the draws are made; with a model on several GPUs any of them.
        seed: The seed; None draws from torch's generators as they are, and moves them on.
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


def is_steady(scores: Tensor, noise: float) -> bool:
    """Whether the next draw would be the same with a little noise in the scores; torch's generator stays as it is.

    Args:
        scores: What is drawn from, [1, vocab].
        noise: How much (nats) the drawn token's score may have been too high.
    """
    device = scores.device
    generator = torch if device.type == "cpu" else torch.get_device_module(device)
    before = generator.get_rng_state()
    try:
        drawn = torch.multinomial(scores.softmax(-1), 1)  # [1, 1]
        generator.set_rng_state(before)
        lowered = scores.scatter_add(-1, drawn, scores.new_full((1, 1), -noise))
        return bool((torch.multinomial(lowered.softmax(-1), 1) == drawn).all())
    finally:
        generator.set_rng_state(before)
