"""State that some models keep in their modules between calls; every call here starts without it.

A KV cache belongs to one call. Some models keep more in attributes of their modules: RecurrentGemma the end of the last
prompt, dynamic RoPE the longest one, BigBird that a prompt was short. `generate` doesn't clear them, so an output would
depend on the prompts before it. Here every call starts from the state of a model that was just loaded.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)
SMALL = 1 << 16
"""Most elements of a tensor that is copied in case it is changed in place."""

_INTERNAL = frozenset(vars(nn.Module()))  # parameters, hooks and so on, which a call leaves alone
_none_at_first: WeakKeyDictionary[Any, frozenset[tuple[str, str]]] = WeakKeyDictionary()


@contextmanager
def fresh(model: Any) -> Iterator[None]:
    """Let a call of a transformers model be its first one, and leave the model as it was."""
    _clear(model)
    snapshot = ModuleState(model)
    try:
        yield
    finally:
        snapshot.restore()


class ModuleState:
    """Attributes, buffers and submodules of all modules of a model, to be put back.

    Args:
        model: The model.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.versions = _versions(model)
        self.kept: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self.tensors: list[tuple[Tensor, int, Tensor]] = []
        self.lists: list[tuple[list[Any], list[Any]]] = []
        for part in model.modules():
            self.kept.append((vars(part), _own_attributes(part)))
            self.kept.extend((held, dict(held)) for held in (part._buffers, part._modules) if held)
        for _, before in self.kept:
            for value in before.values():
                self.copy(value)

    def copy(self, value: Any) -> None:
        """Copy a value that may be changed in place."""
        if isinstance(value, Tensor):
            if value.numel() <= SMALL and not value.is_meta and not value.is_inference():
                self.tensors.append((value, value._version, value.detach().clone()))
        elif type(value) is list:
            self.lists.append((value, value.copy()))

    def restore(self) -> None:
        """Put back all that has changed.

        A call that changes parameters converts the model for good (RWKV divides some by powers of two, and notes that
        it has), so after one everything stays as it is.
        """
        if _versions(self.model) != self.versions:
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


def _own_attributes(part: nn.Module) -> dict[str, Any]:
    """Attributes of a module that torch's `Module` does not have."""
    return {name: value for name, value in vars(part).items() if name not in _INTERNAL}


def _versions(model: Any) -> list[int]:
    """How often each parameter has been changed in place."""
    return [0 if weight.is_inference() else weight._version for weight in model.parameters()]


def _clear(model: Any) -> None:
    """Set tensors back to None where a new model has None: the model may have been called outside of here."""
    tensors = [
        (name, part, key)
        for name, part in model.named_modules()
        for key, value in vars(part).items()
        if isinstance(value, Tensor) and key not in _INTERNAL
    ]
    if not tensors:
        return
    if model not in _none_at_first:
        _none_at_first[model] = _none_when_new(model)
    for name, part, key in tensors:
        if (name, key) in _none_at_first[model]:
            setattr(part, key, None)


def _none_when_new(model: Any) -> frozenset[tuple[str, str]]:
    """Module and name of each attribute that is None in a new model of this kind."""
    try:
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            new = type(model)(copy.deepcopy(model.config))
    except Exception:  # a class that needs more than its configuration, or does not work on `meta`
        log.debug("no new %s can be made, so its state is not cleared", type(model).__name__, exc_info=True)
        return frozenset()
    return frozenset(
        (name, key)
        for name, part in new.named_modules()
        for key, value in _own_attributes(part).items()
        if value is None
    )
