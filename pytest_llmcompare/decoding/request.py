"""What the engine is asked, what it gives back, and options of a pyfunc's `predict`. Standard library only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from pytest_llmcompare.errors import GenerationError
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.models.conversation import Prompt

Outcome = Generation | GenerationError
"""The output of a prompt, or the error that it ended with."""

Finished = tuple[int, Outcome]
"""Index of a request, and its outcome."""

Observer = Callable[[int, Outcome], None]
"""Takes index and outcome of a row."""


@dataclass(frozen=True)
class Request:
    """One prompt to answer.

    Attributes:
        prompt: The whole text: examples, then input; or a conversation.
        gen_config: Complete decoding settings, as returned by `gen_config.complete`.
        seed: Seed for sampling; None samples from torch's global generator.
        draft: Tokens that the output is expected to have. A hint that saves time if it is right and never changes an
            output.
    """

    prompt: Prompt
    gen_config: Mapping[str, Any]
    seed: int | None = None
    draft: tuple[int, ...] | None = None


def ignore_seconds(index: int, seconds: float) -> None:
    """Take the time of a request, and do nothing with it."""


@dataclass(frozen=True)
class PredictOptions:
    """Options of one pyfunc's `predict` inside a block of this process; not part of the model.

    Attributes:
        model: The pyfunc.
        observer: Called with index and outcome of each row as soon as it is finished, in any order; then a row that
            fails gives None, and no error ends the call.
        drafts: Tokens that the output of a row is expected to have, by its index: a hint that saves time if it is
            right and never changes an output.
        shortcuts: Whether to verify drafts, and to read tokens that prompts share once.
        read: Whether outputs are also read along themselves, as a later check will.
        take_noise: Called at the end with the noise of reading (nats, root mean square); None does not measure it.
        take_seconds: Called with the index of a row and the time that its output took, as by the engine's `answers`.
    """

    model: object
    observer: Observer | None = None
    drafts: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    shortcuts: bool = True
    read: bool = False
    take_noise: Callable[[float], None] | None = None
    take_seconds: Callable[[int, float], None] = ignore_seconds


_options: ContextVar[PredictOptions | None] = ContextVar("predict_options", default=None)


@contextmanager
def predict_options(options: PredictOptions) -> Iterator[None]:
    """Let `predict` of a pyfunc follow these options, also if MLflow calls it, until the block ends."""
    token = _options.set(options)
    try:
        yield
    finally:
        _options.reset(token)


def active_options() -> PredictOptions | None:
    """The options of the innermost `predict_options` block."""
    return _options.get()
