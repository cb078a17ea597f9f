"""The one model that this process holds in memory, shared by everybody who asks for the same.

Models are compared one after the other, and two large ones seldom fit side by side. So callers ask for the model
here each time, and nobody else keeps one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .resolve import ResolvedModel

if TYPE_CHECKING:
    from .local import LocalModel

Key = tuple[object, ...]


def key_of(wanted: ResolvedModel) -> Key:
    """What has to be equal for the loaded model to be the one that is wanted."""
    spec = wanted.spec
    consent = (spec.trust_remote_code, spec.allow_pickle)
    return (wanted.location, wanted.fingerprint, spec.dtype, spec.device, spec.chat_template, *consent)


@dataclass
class Place:
    """Room for one model."""

    key: Key | None = None
    model: LocalModel | None = None


_place = Place()
_lock = threading.RLock()


def hold(wanted: ResolvedModel) -> LocalModel:
    """The model: the one in memory if that is it, else loaded after the former one was freed.

    Raises:
        UsageError: An unknown device or dtype.
        ModelError: It cannot be loaded; then none is in memory.
    """
    with _lock:
        key = key_of(wanted)
        if _place.model is None or _place.key != key:
            release()
            _place.model = loaded(wanted)
            _place.key = key
        _place.model.name = wanted.spec.name  # who asks now is who reads the messages
        return _place.model


@contextmanager
def using(wanted: ResolvedModel) -> Iterator[LocalModel]:
    """The same, kept in memory until the block ends, whatever other threads ask for."""
    with _lock:
        yield hold(wanted)


def release() -> None:
    """Free the model that is in memory, if there is one."""
    with _lock:
        former, _place.model, _place.key = _place.model, None, None
        if former is not None:
            former.free()


def loaded(wanted: ResolvedModel) -> LocalModel:
    """Load tokenizer and weights."""
    from .local import load

    spec = wanted.spec
    return load(
        wanted.location,
        name=spec.name,
        dtype=spec.dtype,
        device=spec.device,
        fingerprint=wanted.fingerprint,
        chat_template=spec.chat_template,
        trust_remote_code=spec.trust_remote_code,
        allow_pickle=spec.allow_pickle,
    )
