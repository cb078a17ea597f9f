"""How near a tie a choice may come before it is made again in the plain way, for models with more noise than usual.

Padding, batches and one pass over many tokens move the log-probs of most models by less than 1e-5, and `noise.unsure`
allows for that. T5 with large weights moves by 1e-3. The probes measure it, and what they see widens the margin.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from pytest_llmcompare.comparison.noise import unsure

RESERVE = 4
"""How many times more than a probe sees a whole run may see."""

_factors: WeakKeyDictionary[Any, float] = WeakKeyDictionary()


def note(model: Any, seen: float, scale: float) -> None:
    """Take in that log-probs of a transformers model moved by so many nats, at a score of `scale`."""
    _factors[model] = max(_factors.get(model, 1.0), RESERVE * seen / unsure(scale))


def least_margin(model: Any, best: float) -> float:
    """Margin (nats) that a choice needs, given the best token's score."""
    return unsure(best) * _factors.get(model, 1.0)
