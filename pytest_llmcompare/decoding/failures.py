"""Shortcuts that raise: logged with their traceback, warned of once per model, fatal under the project's tests.

A shortcut saves time and may change no output: a batch, a draft, the KV cache of a shared prefix, a self-check. If it
raises, the prompts are decoded plainly, so only the clock would show a bug in it. That is why the project's own tests
set `PYTEST_LLMCOMPARE_STRICT=1`, under which the exception is raised.

Two kinds of failure are no bug of a shortcut and are not reported: too little memory, and a prompt that plain decoding
fails on, too. The second is known only after plain decoding, so a failure waits for the outcomes of its prompts.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch

from pytest_llmcompare.models.load import LocalModel
from pytest_llmcompare.text import error_line

STRICT = "PYTEST_LLMCOMPARE_STRICT"
"""Environment variable under which a failed shortcut raises."""

_warned: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()


class EngineWarning(UserWarning):
    """Something about how outputs were made that a user may want to know; the outputs are right."""


class MemoryWarning(EngineWarning):
    """A batch did not fit into memory."""


class ShortcutWarning(EngineWarning):
    """A shortcut isn't taken, so that it takes longer."""


@dataclass
class Failure:
    """A shortcut that raised, and the prompts that are decoded plainly because of it.

    Attributes:
        shortcut: As in "a batch of 3 prompts".
        error: The exception.
        log: Logger of the module that tried it.
        waiting: Indices of its prompts that have no outcome yet.
        explained: Whether one of them fails plainly, too.
    """

    shortcut: str
    error: Exception
    log: logging.Logger
    waiting: set[int] = field(default_factory=set)
    explained: bool = False


def is_out_of_memory(error: Exception) -> bool:
    """True if memory did not suffice; on a CPU torch raises a plain RuntimeError for that."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)


def unexplained(failures: list[Failure], index: int, *, answered: bool) -> Iterable[Failure]:
    """Note a prompt's outcome; yield the failures whose prompts are all answered now, none with an error."""
    for failure in [failure for failure in failures if index in failure.waiting]:
        failure.waiting.discard(index)
        failure.explained = failure.explained or not answered
        if not failure.waiting:
            failures.remove(failure)
            if not failure.explained:
                yield failure


def report_failure(model: LocalModel, failure: Failure) -> None:
    """Log a failed shortcut and warn the user of it; under the project's own tests, raise.

    Raises:
        Exception: What the shortcut raised, if the environment asks for it.
    """
    error = failure.error
    failure.log.warning("model %r: %s failed", model.name, failure.shortcut, exc_info=error)
    if os.environ.get(STRICT):
        raise error
    warn_once(
        model,
        f"{failure.shortcut} failed ({error_line(error)}), so its prompts are asked one by one. "
        "Outputs are the same; it takes longer. The log has the traceback.",
    )


def warn_once(model: LocalModel, text: str, category: type[EngineWarning] = ShortcutWarning) -> None:
    """Warn of something once per loaded model."""
    texts = _warned.setdefault(model.model, set())
    if text not in texts:
        texts.add(text)
        warnings.warn(f"model {model.name!r}: {text}", category, stacklevel=2)
