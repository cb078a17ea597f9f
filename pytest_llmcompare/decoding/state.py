"""State that a model keeps in itself between calls, and how each call is made to start without it.

A KV cache belongs to one call. Some models keep more in attributes of their modules: RecurrentGemma the end of the last
prompt, dynamic RoPE the longest one, BigBird that a prompt was short. `generate` doesn't clear that, so an output would
depend on what was asked before. Here every call starts from the state of a model that was just loaded.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

SMALL = 1 << 16
"""Most numbers of a tensor that is kept as a copy, in case it is changed in place."""

_INTERNAL = frozenset(vars(nn.Module()))  # parameters, hooks and so on, which a call leaves alone
_empty: WeakKeyDictionary[Any, frozenset[tuple[str, str]]] = WeakKeyDictionary()


@contextmanager
def fresh(model: Any) -> Iterator[None]:
    """Run a call of a transformers model as the first one, and leave the model as it was."""
    forget(model)
    before = Snapshot(model)
    try:
        yield
    finally:
        before.restore()


class Snapshot:
    """What the modules of a model hold besides their parameters.

    Args:
        model: The model.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.versions = versions(model)
        self.kept: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self.tensors: list[tuple[Tensor, int, Tensor]] = []
        self.lists: list[tuple[list[Any], list[Any]]] = []
        for part in model.modules():
            self.kept.append((vars(part), own(part)))
            self.kept.extend((held, dict(held)) for held in (part._buffers, part._modules) if held)
        for _, before in self.kept:
            for value in before.values():
                self.copy(value)

    def copy(self, value: Any) -> None:
        """Copy what may be changed in place."""
        if isinstance(value, Tensor):
            if value.numel() <= SMALL and not value.is_meta and not value.is_inference():
                self.tensors.append((value, value._version, value.detach().clone()))
        elif type(value) is list:
            self.lists.append((value, value.copy()))

    def restore(self) -> None:
        """Put back what has changed.

        A call that changes parameters converts the model for good (RWKV divides some by powers of two, and notes that
        it has), so then everything stays as it is.
        """
        if versions(self.model) != self.versions:
            return
        for held, before in self.kept:
            for name in held.keys() - before.keys() - _INTERNAL:
                del held[name]
            held.update({name: value for name, value in before.items() if held.get(name) is not value})
        for tensor, version, copied in self.tensors:
            if tensor._version != version:
                with torch.no_grad():
                    tensor.copy_(copied)
        for value, copied_list in self.lists:
            value[:] = copied_list


def own(part: nn.Module) -> dict[str, Any]:
    """Attributes of a module that its class gave it."""
    return {name: value for name, value in vars(part).items() if name not in _INTERNAL}


def versions(model: Any) -> list[int]:
    """How often each parameter has been changed in place."""
    return [0 if weight.is_inference() else weight._version for weight in model.parameters()]


def forget(model: Any) -> None:
    """Empty the attributes that a new model has empty; someone else may have called this one."""
    held = [
        (name, part, key)
        for name, part in model.named_modules()
        for key, value in vars(part).items()
        if isinstance(value, Tensor) and key not in _INTERNAL
    ]
    if not held:
        return
    if model not in _empty:
        _empty[model] = empty_when_new(model)
    for name, part, key in held:
        if (name, key) in _empty[model]:
            setattr(part, key, None)


def empty_when_new(model: Any) -> frozenset[tuple[str, str]]:
    """Module and name of each attribute that is None in a new model of this kind."""
    try:
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            new = type(model)(copy.deepcopy(model.config))
    except Exception:  # a class that needs more than its configuration, or can't be made without memory
        return frozenset()
    return frozenset(
        (name, key) for name, part in new.named_modules() for key, value in own(part).items() if value is None
    )
