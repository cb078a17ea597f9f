"""Reads with a low-precision checkpoint in float32: each block is upcast for the moment of its own forward pass.

The rounding noise of bfloat16 hides real changes of a model; two float32 readings agree to about 1e-6 nats. Logits are
bit-equal to those of a float32 copy of the model, and the extra memory is that of its largest block. A block is an item
of a `ModuleList`; outside of these, each module that has weights of its own.

A model that casts by itself can't be read so: `float32_trial.py` finds that out before, and each pass looks at what
goes into and comes out of each block.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

LOW = frozenset({torch.bfloat16, torch.float16})


class NotFloat32Error(Exception):
    """Part of a pass was computed in low precision; the message names the module."""


@contextmanager
def in_float32(model: Any) -> Iterator[Upcast]:
    """Compute forward passes in float32, without a change for a model that has no low-precision weights.

    A pass raises `NotFloat32Error` if a tensor in low precision reaches or leaves a block. Weights are as before at the
    end, whatever was raised.

    Args:
        model: The transformers model; `why_not_in_float32` is to be asked first.

    Yields:
        What is in float32 at the moment.
    """
    upcast, handles = Upcast(), []
    try:
        for block in blocks_of(model):
            hooks = BlockHooks(block, upcast)
            handles.append(block.module.register_forward_pre_hook(hooks.before, with_kwargs=True))
            handles.append(block.module.register_forward_hook(hooks.after, with_kwargs=True, always_call=True))
        yield upcast
    finally:
        for handle in handles:
            handle.remove()
        upcast.restore()  # torch calls no hook after a KeyboardInterrupt


@dataclass(frozen=True)
class Block:
    """Weights that are in float32 at the same time.

    Attributes:
        name: Name of the module in the model.
        module: The module in whose forward pass they are used.
        tensors: Parameters and buffers in low precision, at least one.
    """

    name: str
    module: nn.Module
    tensors: tuple[Tensor, ...]

    @property
    def is_table(self) -> bool:
        """True if rows are looked up in it, so that converting the rows does for the whole table."""
        return type(self.module) is nn.Embedding and self.module.max_norm is None


def blocks_of(model: nn.Module) -> list[Block]:
    """Return the blocks of a model."""
    blocks = []
    inside: set[nn.Module] = set()
    for name, module in model.named_modules():  # parents come first
        if module in inside:
            continue
        if isinstance(module, nn.ModuleList):
            for item_name, item in module.named_children():
                inside.update(item.modules())
                blocks.append(Block(f"{name}.{item_name}", item, tuple(_low_tensors(item, whole=True))))
        else:
            blocks.append(Block(name or type(module).__name__, module, tuple(_low_tensors(module, whole=False))))
    return [block for block in blocks if block.tensors]


def _low_tensors(module: nn.Module, *, whole: bool) -> Iterator[Tensor]:
    """Parameters and buffers in low precision; `whole` takes in those of all modules inside."""
    for tensors in (module.parameters(recurse=whole), module.buffers(recurse=whole)):
        yield from (tensor for tensor in tensors if tensor.dtype in LOW and not is_wrapped(tensor))


def is_wrapped(tensor: Tensor) -> bool:
    """Return whether a weight is no plain tensor, but one that keeps its numbers in another form, such as quantised."""
    return type(tensor.data) is not Tensor


class Upcast:
    """The tensors that are in float32 at the moment, and what they were.

    A tied weight belongs to several blocks; it is put back when the last of those that run has ended.

    Attributes:
        originals: The same tensors in low precision.
        users: How many running blocks use each tensor.
        place: Where a pass is: the name of the block, or the one that came last.
    """

    def __init__(self) -> None:
        self.originals: dict[Tensor, Tensor] = {}
        self.users: Counter[Tensor] = Counter()
        self.place = "before the first block"

    def begin(self, block: Block) -> None:
        """Upcast the tensors of a block whose forward pass begins."""
        self.place = f"in {block.name}"
        for tensor in () if block.is_table else block.tensors:
            if tensor not in self.originals:
                self.originals[tensor] = tensor.data
                tensor.data = tensor.data.float()
            self.users[tensor] += 1

    def end(self, block: Block) -> None:
        """Put back the tensors of a block, except those that another running block uses."""
        self.place = f"after {block.name}"
        for tensor in () if block.is_table else block.tensors:
            self.users[tensor] -= 1
            if self.users[tensor] <= 0 and tensor in self.originals:  # memory may not have sufficed for all of them
                tensor.data = self.originals.pop(tensor)
                del self.users[tensor]

    def restore(self) -> None:
        """Put back all tensors."""
        for tensor, data in self.originals.items():
            tensor.data = data
        self.originals.clear()
        self.users.clear()


class BlockHooks:
    """The hooks of one block.

    Args:
        block: The block.
        upcast: The tensors that are in float32.
    """

    def __init__(self, block: Block, upcast: Upcast) -> None:
        self.block = block
        self.upcast = upcast
        self.running = 0

    def before(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any] | None:
        """Upcast the weights, and masks among the inputs.

        Raises:
            NotFloat32Error: Another input is in low precision.
        """
        inputs = (args, kwargs)
        low = low_in(inputs)
        if not all(map(is_mask, low)):
            raise NotFloat32Error(f"{self.block.name} is given {names_of_dtypes(low)}")
        self.running += 1
        self.upcast.begin(self.block)
        return in_float(inputs) if low else None

    def after(self, _: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:  # noqa: ARG002 - torch passes all four
        """Put the weights back.

        Raises:
            NotFloat32Error: An output is in low precision.
        """
        if not self.running:  # an input was refused
            return None
        self.running -= 1
        self.upcast.end(self.block)
        if self.block.is_table:
            return in_float(output)
        if low := low_in(output):
            raise NotFloat32Error(f"{self.block.name} gives {names_of_dtypes(low)}")
        return None


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested tuples, lists and mappings."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors_in(item)


def low_in(value: Any) -> list[Tensor]:
    """Return the tensors in low precision among nested ones."""
    return [tensor for tensor in tensors_in(value) if tensor.dtype in LOW]


def in_float(value: Any) -> Any:
    """Return a copy of nested tuples, lists and dictionaries in which tensors in low precision are float32."""
    if isinstance(value, Tensor):
        return value.float() if value.dtype in LOW else value
    if type(value) is dict:
        return {name: in_float(item) for name, item in value.items()}
    return type(value)(map(in_float, value)) if type(value) in (tuple, list) else value


def is_mask(tensor: Tensor) -> bool:
    """Return whether a tensor holds nothing but 0 and its lowest value, so that low precision loses nothing."""
    return bool(((tensor == 0) | (tensor <= torch.finfo(tensor.dtype).min)).all())


def names_of_dtypes(tensors: Iterable[Tensor]) -> str:
    """Return the dtypes of tensors for a message, such as `bfloat16`."""
    return " and ".join(sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors}))
