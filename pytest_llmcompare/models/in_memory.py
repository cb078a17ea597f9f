"""The one model that this process holds in memory, shared by all callers.

Models are compared one after the other, and two large ones seldom fit side by side. So callers ask for the model
here each time and keep no reference to it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .resolve import ResolvedModel

if TYPE_CHECKING:
    from .load import LocalModel

Key = tuple[object, ...]


def _weights_key(resolved: ResolvedModel) -> Key:
    """Key of the weights of a model: equal for a base and all of its adapters, which share them."""
    spec = resolved.spec
    where = (resolved.base or resolved.location, resolved.base_fingerprint or resolved.fingerprint)
    options = replace(spec.loading, subfolder="", tokenizer="", base="")
    return (*where, spec.dtype, spec.device, options, spec.trust_remote_code, spec.allow_pickle)


def _key_of(resolved: ResolvedModel) -> Key:
    """Key of a model: a request with the same key gets the model that is in memory."""
    spec = resolved.spec
    consent = (spec.trust_remote_code, spec.allow_pickle)
    options = (spec.dtype, spec.device, spec.chat_template, spec.loading, resolved.tokenizer)
    return (resolved.location, resolved.fingerprint, *options, *consent)


@dataclass
class Held:
    """The model in memory, if there is one, its key, and that of its weights."""

    key: Key | None = None
    weights: Key | None = None
    model: LocalModel | None = None


_held = Held()
_lock = threading.RLock()
_deferred: ContextVar[bool] = ContextVar("deferred", default=False)


def hold(resolved: ResolvedModel) -> LocalModel:
    """Get a model: the one in memory if it is the same, else loaded after the former one was freed.

    Of a base and its adapters, one after the other, the weights stay in memory.

    Raises:
        UsageError: An unknown device or dtype.
        ModelError: It cannot be loaded; then none is in memory.
    """
    with _lock:
        key = _key_of(resolved)
        if _held.model is None or _held.key != key:
            if _held.model is None or _held.weights != _weights_key(resolved):
                release()
            try:
                _held.model = _loaded(resolved)
            except BaseException:
                release()  # an adapter may be attached in part
                raise
            _held.key, _held.weights = key, _weights_key(resolved)
        _held.model.name = resolved.spec.name  # for messages, which name it as the last caller does
        return _held.model


def prepare(resolved: ResolvedModel) -> None:
    """Load a model that will be asked, unless that is deferred. Raises as `hold` does."""
    if not _deferred.get():
        hold(resolved)


@contextmanager
def loading_deferred() -> Iterator[None]:
    """Let `prepare` do nothing inside the block, so that a model is loaded when it is asked for the first time."""
    token = _deferred.set(True)
    try:
        yield
    finally:
        _deferred.reset(token)


@contextmanager
def using(resolved: ResolvedModel) -> Iterator[LocalModel]:
    """Get a model as `hold` does, and keep other threads from replacing it until the block ends."""
    with _lock:
        yield hold(resolved)


def release() -> None:
    """Free the model in memory, if there is one."""
    with _lock:
        former, _held.model, _held.key, _held.weights = _held.model, None, None, None
        if former is not None:
            former.free()


def _loaded(resolved: ResolvedModel) -> LocalModel:
    """Load tokenizer and weights; those of the model in memory are taken if it is still there."""
    from .load import load_model
    from .weights import transformers_errors_only

    spec, weights = resolved.spec, _held.model.let_go() if _held.model else None
    if weights is not None and not weights.detach():
        del weights
        release()
        weights = None
    with transformers_errors_only():
        return load_model(
            resolved.base or resolved.location,
            name=spec.name,
            dtype=spec.dtype,
            device=spec.device,
            fingerprint=resolved.fingerprint,
            chat_template=spec.chat_template,
            trust_remote_code=spec.trust_remote_code,
            allow_pickle=spec.allow_pickle,
            tokenizer=resolved.tokenizer,
            adapter=resolved.location if resolved.base else "",
            weights=weights,
            options=spec.loading,
        )
