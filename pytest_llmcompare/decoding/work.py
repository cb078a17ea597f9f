"""What is to be done: prompts that share their settings and perhaps their first tokens, and where outcomes go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from transformers import GenerationConfig

from pytest_llmcompare.errors import GenerationError
from pytest_llmcompare.generations import Generation, Path
from pytest_llmcompare.models.local import LocalModel

from .lending import Lender, Prefix
from .recording import Answer

Outcome = Generation | GenerationError


@dataclass
class Work:
    """Prompts that share their decoding settings.

    Attributes:
        model: The model.
        gen_config: The settings.
        config: The settings as transformers takes them.
        prompts: Token ids of each prompt, by its place in the list of requests.
        seeds: Seeds of the draws, by the same.
        tell: Takes the outcome of each.
        drafts: Tokens that outputs are expected to have, where they are known.
        lender: Computes what prompts share; None where nothing is to be shared.
        shared: Number of tokens that all prompts start with and that are worth sharing.
        batch_size: Most prompts in one forward pass; 0 chooses by their length.
        heads: How outputs begin, as far as that is known, by place.
        doubts: Why a draft was not confirmed, by place.
        paths: What the model says along drafts, by place.
        open: Places without an outcome.
    """

    model: LocalModel
    gen_config: Mapping[str, Any]
    config: GenerationConfig
    prompts: Mapping[int, list[int]]
    seeds: Mapping[int, int | None]
    tell: Callable[[int, Outcome], None]
    drafts: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    lender: Lender | None = None
    shared: int = 0
    batch_size: int = 0
    heads: dict[int, Answer] = field(default_factory=dict)
    doubts: dict[int, str] = field(default_factory=dict)
    paths: dict[int, Path] = field(default_factory=dict)
    open: set[int] = field(init=False)

    def __post_init__(self) -> None:
        self.open = set(self.prompts)

    def settle(self, index: int, outcome: Outcome) -> None:
        """An outcome is there."""
        self.open.discard(index)
        self.tell(index, outcome)

    def prefix(self, *, to_go_on: bool = False) -> Prefix | None:
        """The memory of what all prompts start with, where there is something and it can be lent.

        Args:
            to_go_on: Whether outputs are written after it, and not only read.
        """
        if self.lender is None or not self.shared or self.config.use_cache is False:
            return None
        if to_go_on and not self.model.is_batchable:  # a cache that forgets is not what was lent
            return None
        return self.lender.lend(next(iter(self.prompts.values()))[: self.shared])

    def begun(self, index: int) -> list[int]:
        """A prompt, and what is known of its output."""
        head = self.heads.get(index)
        return [*self.prompts[index], *head.tokens] if head else self.prompts[index]

    def generation(self, index: int, found: Answer) -> Generation:
        """An answer as the record that everybody else speaks in."""
        doubt, draft = self.doubts.get(index, ""), self.drafts.get(index)
        if draft is not None and not doubt and draft != found.tokens:
            doubt = f"the output ends at token {len(found.tokens)}, before the draft does"
        text = self.model.decode(found.tokens)
        return Generation(
            text=text,
            token_ids=found.tokens,
            logprobs=found.logprobs,
            stop=found.stop,
            environment=self.model.environment,
            margins=found.margins,
            verified=draft is not None and not doubt,
            unverified=doubt,
            path=self.paths.get(index),
            lengths=self.model.lengths(found.tokens, text),
        )
