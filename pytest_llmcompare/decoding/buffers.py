"""Memory for large tensors that live for a moment and are made again and again.

The memory of a tensor of some megabytes comes from the operating system, page by page, and goes back to it when nobody
holds the tensor. For keys, values and scores that takes many times as long as filling them.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import Tensor

from pytest_llmcompare.compat import users_of_memory


class Buffers:
    """Gives out tensors whose memory is used again as soon as no tensor has it: neither they nor views of them."""

    def __init__(self) -> None:
        self._parts: list[Tensor] = []

    def take(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """An uninitialised tensor with the device and dtype of another."""
        size = prod(shape)
        free = [part for part in self._parts if _fits(part, like) and users_of_memory(part) == 1]
        part = next((one for one in free if one.numel() >= size), None)
        if part is None:
            part = like.new_empty(size + size // 4)  # the next may be a little longer
        # Free ones that are too small go, so that there are never more than are held at the same time.
        dropped = {id(one) for one in free if one.numel() < size}
        self._parts = [one for one in self._parts if id(one) not in dropped and one is not part]
        self._parts.append(part)
        return part[:size].view(*shape)

    def clear(self) -> None:
        """Give the memory back, once no tensor has it."""
        self._parts.clear()


def _fits(part: Tensor, like: Tensor) -> bool:
    return part.dtype == like.dtype and part.device == like.device
