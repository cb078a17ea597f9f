"""What is to be done: prompts that share their settings and perhaps their first tokens, and where outcomes go."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from transformers import GenerationConfig

from pytest_llmcompare.errors import GenerationError
from pytest_llmcompare.generation import Generation, Path
from pytest_llmcompare.models.local import LocalModel

from .batching import room
from .failures import Failure, is_out_of_memory, report, settled
from .prefix_cache import Lender, Prefix, can_lend
from .recorder import Answer
from .self_check import why_no_prefix

Outcome = Generation | GenerationError
log = logging.getLogger(__name__)


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
        heads: Known first tokens of outputs, by place.
        doubts: Why a draft was not confirmed, by place.
        paths: What the model says along drafts, by place.
        failures: Shortcuts that raised, until the plain way has answered their prompts.
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
    failures: list[Failure] = field(default_factory=list)
    open: set[int] = field(init=False)

    def __post_init__(self) -> None:
        self.open = set(self.prompts)

    def settle(self, index: int, outcome: Outcome) -> None:
        """An outcome is there."""
        self.open.discard(index)
        self.tell(index, outcome)
        for failure in settled(self.failures, index, answered=isinstance(outcome, Generation)):
            report(self.model, failure)

    def failed(self, what: str, error: Exception, log: logging.Logger, indices: Iterable[int]) -> None:
        """A shortcut raised, so that these prompts are asked plainly; too little memory is no news."""
        if not is_out_of_memory(error):
            self.failures.append(Failure(what, error, log, set(indices)))

    def prefix(self, *, to_go_on: bool = False) -> Prefix | None:
        """The memory of what all prompts start with, where there is something and it can be lent.

        Args:
            to_go_on: Whether outputs are written after it, and not only read.
        """
        if self.lender is None or not self.shared or self.config.use_cache is False:
            return None
        if to_go_on and not self.model.is_batchable:  # a cache that forgets is not what was lent
            return None
        if not can_lend(self.model) or why_no_prefix(self.model, to_go_on=to_go_on):
            return None
        try:
            return self.lender.lend(next(iter(self.prompts.values()))[: self.shared])
        except Exception as error:  # the prompts are read whole, and what happens then is their outcome
            self.failed(f"reading the {self.shared} tokens that prompts share", error, log, self.open)
            return None

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


def within_context(work: Work, length: int) -> tuple[GenerationConfig, str]:
    """Settings under which a prompt's output ends where the positions end, and what to say if it gets there.

    transformers raises in the middle of such an output, unless it ends before by itself, so that is what happens here;
    a search over beams looks ahead, and forced tokens stand at the very end, so for these the limit stays where it is.
    """
    config, left = work.config, room(work.model, length)
    wanted = wanted_tokens(work, length)
    if wanted <= left or (config.num_beams or 1) > 1 or config.forced_eos_token_id is not None:
        return config, ""
    shorter = copy.deepcopy(config)
    shorter.max_new_tokens, shorter.max_length = int(left), None
    asked = f"a prompt of {length} tokens and {wanted} new ones"
    return shorter, (
        f"{asked} do not fit into its context of {work.model.context}, and the output has not ended before.\n"
        f"Shorten the prompt or its examples, or set max_new_tokens={int(left)} or less."
    )


def wanted_tokens(work: Work, length: int) -> int:
    """Most tokens that the settings ask for after a prompt of this length."""
    start = 1 if work.model.is_encoder_decoder else length
    return work.config.max_new_tokens or (work.config.max_length or 0) - start
