"""What the engine is asked and what it gives back. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_llmcompare.errors import GenerationError
from pytest_llmcompare.generation import Generation

Outcome = Generation | GenerationError
"""The output of a prompt, or the error that it ended with."""

Finished = tuple[int, Outcome]
"""Index of a request, and its outcome."""


@dataclass(frozen=True)
class Request:
    """One prompt to answer.

    Attributes:
        prompt: The whole text: examples, then input.
        gen_config: Complete decoding settings, as returned by `gen_config.complete`.
        seed: Seed for sampling; None samples from torch's global generator.
        draft: Tokens that the output is expected to have. A hint that saves time if it is right and never changes an
            output.
    """

    prompt: str
    gen_config: Mapping[str, Any]
    seed: int | None = None
    draft: tuple[int, ...] | None = None
