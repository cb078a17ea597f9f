"""Memory for large tensors that live for a moment and are made again and again.

The memory of a tensor of some megabytes comes from the operating system, page by page, and goes back to it when nobody
holds the tensor. For keys, values and scores that takes many times as long as filling them.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from math import prod

from torch import Tensor


class Buffers:
    """Gives out tensors whose memory is used again as soon as nobody holds them."""

    def __init__(self) -> None:
        self._parts: list[tuple[Tensor, weakref.ref[Tensor]]] = []

    def take(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """An uninitialised tensor with the device and dtype of another.

        A view of it does not keep its memory from being used again, so hold the tensor itself.
        """
        size = prod(shape)
        free = [flat for flat, held in self._parts if held() is None and _fits(flat, like)]
        flat = next((flat for flat in free if flat.numel() >= size), None)
        if flat is None:
            flat = like.new_empty(size + size // 4)  # the next may be a little longer
        # Free ones that are too small go, so that there are never more than are held at the same time.
        dropped = {id(flat), *(id(one) for one in free if one.numel() < size)}
        self._parts = [part for part in self._parts if id(part[0]) not in dropped]
        tensor = flat[:size].view(*shape)
        self._parts.append((flat, weakref.ref(tensor)))
        return tensor

    def clear(self) -> None:
        """Give the memory back, once it is not held."""
        self._parts.clear()


def _fits(flat: Tensor, like: Tensor) -> bool:
    return flat.dtype == like.dtype and flat.device == like.device
