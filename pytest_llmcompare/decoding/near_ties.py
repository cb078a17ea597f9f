"""Near ties: choices of a token that numerical noise could have changed, so that they are made again plainly.

Padding, batches and one pass over many tokens move the log-probs of most models by less than 1e-5, and `noise.unsure`
allows for that. T5 with large weights moves by 1e-3. The self-check measures it, and what it sees widens the margin.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from pytest_llmcompare.comparison.noise import unsure

RESERVE = 4
"""How many times more noise a whole run may have than the self-check sees."""

_factors: WeakKeyDictionary[Any, float] = WeakKeyDictionary()


def note_noise(model: Any, moved: float, scale: float) -> None:
    """Widen the margin of a transformers model whose log-probs moved by so many nats, at a score of `scale`."""
    _factors[model] = max(_factors.get(model, 1.0), RESERVE * moved / unsure(scale))


def least_margin(model: Any, best: float) -> float:
    """Top-2 margin (nats) that a choice needs to be sure, given the best token's score."""
    return unsure(best) * _factors.get(model, 1.0)


def is_draw_sure(scores: Tensor, noise: float) -> bool:
    """True if a little noise in the scores would not change the next draw; torch's generator stays as it is.

    Args:
        scores: Scores to draw from, [1, vocab].
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
