"""Shortcuts that fail: logged with their traceback, said to the user once per model, fatal under the tests.

A shortcut is what saves time and may change no output: a batch, a draft, the KV cache of a shared prefix, a probe. If
it raises, the prompts are answered plainly, so that nobody would notice a bug in it but by the clock. That is why the
project's own tests set `PYTEST_LLMCOMPARE_STRICT=1`, under which the exception goes through.

Two kinds of failure are nobody's bug and stay quiet: too little memory, and a prompt that the model can't answer in the
plain way either. The second is known only once the plain way has been tried, so a failure waits for its outcomes.
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

from pytest_llmcompare.models.faults import reason
from pytest_llmcompare.models.local import LocalModel

STRICT = "PYTEST_LLMCOMPARE_STRICT"
"""Environment variable under which a failed shortcut raises."""

_said: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()


class EngineWarning(UserWarning):
    """Something about the way in which outputs were made that a user may want to know; outputs are right."""


class MemoryWarning(EngineWarning):
    """A batch did not fit into memory."""


class ShortcutWarning(EngineWarning):
    """A shortcut isn't taken, so that it takes longer."""


@dataclass
class Failure:
    """A shortcut that raised, and the prompts that are asked plainly because of it.

    Attributes:
        what: The shortcut, as in "a batch of 3 prompts".
        error: What it raised.
        log: Logger of the module that tried it.
        waiting: Places of the prompts that have no outcome yet.
        explained: Whether one of them can't be answered plainly either.
    """

    what: str
    error: Exception
    log: logging.Logger
    waiting: set[int] = field(default_factory=set)
    explained: bool = False


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory did not suffice; torch has no class of its own for that on a CPU."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)


def settled(failures: list[Failure], index: int, *, answered: bool) -> Iterable[Failure]:
    """Take in the outcome of a prompt, and yield the failures that no outcome explains; they leave the list."""
    for failure in [one for one in failures if index in one.waiting]:
        failure.waiting.discard(index)
        failure.explained = failure.explained or not answered
        if not failure.waiting:
            failures.remove(failure)
            if not failure.explained:
                yield failure


def report(model: LocalModel, failure: Failure) -> None:
    """Log a failed shortcut and tell the user; under the project's own tests, raise.

    Raises:
        Exception: What the shortcut raised, if the environment says so.
    """
    error = failure.error
    failure.log.warning("model %r: %s failed", model.name, failure.what, exc_info=error)
    if os.environ.get(STRICT):
        raise error
    say(
        model,
        f"{failure.what} failed ({reason(error)}), so its prompts are asked one by one. Outputs are the same; it "
        "takes longer. The log has the traceback.",
    )


def say(model: LocalModel, text: str) -> None:
    """Warn of something once per loaded model."""
    said = _said.setdefault(model.model, set())
    if text not in said:
        said.add(text)
        warnings.warn(f"model {model.name!r}: {text}", ShortcutWarning, stacklevel=2)
