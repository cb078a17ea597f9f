"""What the engine is asked: a prompt with the settings that decide its output. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Request:
    """One prompt to answer.

    Attributes:
        prompt: The whole text: examples, then input.
        gen_config: Complete decoding settings, as `settings.complete` gives them.
        seed: Seed of the draws where `gen_config` samples; None leaves them to torch's global generator.
        draft: Tokens that the output is expected to have. A hint that saves time where it is right; no output
            depends on it.
    """

    prompt: str
    gen_config: Mapping[str, Any]
    seed: int | None = None
    draft: tuple[int, ...] | None = None
