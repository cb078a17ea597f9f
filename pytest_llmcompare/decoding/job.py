"""A job: prompts that share their decoding settings and perhaps their first tokens, and how far each has come."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from transformers import GenerationConfig

from pytest_llmcompare.generation import Generation, Path
from pytest_llmcompare.models.load import LocalModel

from .batching import room_after
from .failures import Failure, is_out_of_memory, report_failure, unexplained
from .prefix_cache import PrefixCache, SharedPrefix, supports_prefixes
from .recorder import RowOutput
from .request import Finished, Outcome, ignore_seconds
from .self_check import why_no_prefix

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NearTie:
    """What is known of an output whose draft has a near tie.

    Attributes:
        start: The draft up to its last near tie, that included.
        rest: How the output continues if it starts like that; None if unknown.
    """

    start: tuple[int, ...]
    rest: RowOutput | None


@dataclass
class Job:
    """Prompts that share their decoding settings. All mappings are by index of the request.

    Attributes:
        model: The model.
        gen_config: The settings.
        config: The settings as transformers takes them.
        prompts: Token ids of each prompt.
        seeds: Seeds for sampling.
        drafts: Tokens that outputs are expected to have, where known.
        prefix_cache: Computes the KV cache of a shared prefix; None if nothing is to be shared.
        shared_length: Number of tokens that all prompts start with and that are worth sharing.
        batch_size: Most prompts in one forward pass; 0 chooses by their length.
        accepted: The part of a draft that was verified, from which the output goes on otherwise.
        untried: Why a draft was not tried: a reason in the settings or in the model.
        rejections: Why a draft that was tried was not confirmed.
        near_ties: Drafts in which two tokens are nearly equally likely: only plain decoding says which.
        paths: Log-probs and margins along drafts.
        failures: Shortcuts that raised, until their prompts have been decoded plainly.
        take_seconds: Called with the time that the model took to generate an output, in seconds.
        seconds: These times so far.
        unanswered: Indices without an outcome.
    """

    model: LocalModel
    gen_config: Mapping[str, Any]
    config: GenerationConfig
    prompts: Mapping[int, list[int]]
    seeds: Mapping[int, int | None]
    drafts: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    prefix_cache: PrefixCache | None = None
    shared_length: int = 0
    batch_size: int = 0
    accepted: dict[int, RowOutput] = field(default_factory=dict)
    untried: dict[int, str] = field(default_factory=dict)
    rejections: dict[int, str] = field(default_factory=dict)
    near_ties: dict[int, NearTie] = field(default_factory=dict)
    paths: dict[int, Path] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    take_seconds: Callable[[int, float], None] = ignore_seconds
    seconds: dict[int, float] = field(default_factory=dict)
    unanswered: set[int] = field(init=False)

    def __post_init__(self) -> None:
        self.unanswered = set(self.prompts)

    def finish(self, index: int, outcome: Outcome) -> Finished:
        """Record an outcome; return it with its index.

        Raises:
            Exception: What a shortcut raised, under the project's own tests.
        """
        self.unanswered.discard(index)
        if index in self.seconds:
            self.take_seconds(index, self.seconds[index])
        for failure in unexplained(self.failures, index, answered=isinstance(outcome, Generation)):
            report_failure(self.model, failure)
        return index, outcome

    def add_seconds(self, batch: Sequence[int], outputs: Sequence[RowOutput], seconds: float) -> None:
        """Share the time that a batch took over its prompts, in proportion to the tokens that were generated."""
        tokens = [len(output.tokens) for output in outputs]
        for index, count in zip(batch, tokens, strict=True):
            share = count / sum(tokens) if any(tokens) else 1 / len(batch)
            self.seconds[index] = self.seconds.get(index, 0.0) + seconds * share

    def failed(self, shortcut: str, error: Exception, log: logging.Logger, indices: Iterable[int]) -> None:
        """Note a shortcut that raised, so that these prompts are decoded plainly; too little memory is no failure."""
        if not is_out_of_memory(error):
            self.failures.append(Failure(shortcut, error, log, set(indices)))

    def prefix(self, *, for_writing: bool = False) -> SharedPrefix | None:
        """KV cache of the tokens that all prompts start with; None if they share none, or the model can't use it.

        Args:
            for_writing: Whether outputs are written after it, and not only verified.
        """
        if self.prefix_cache is None or not self.shared_length or self.config.use_cache is False:
            return None
        if for_writing and not self.model.is_batchable:  # its cache forgets tokens, so it can't go on from this one
            return None
        if not supports_prefixes(self.model) or why_no_prefix(self.model, for_writing=for_writing):
            return None
        try:
            return self.prefix_cache.get(next(iter(self.prompts.values()))[: self.shared_length])
        except Exception as error:  # the prompts are read whole, and what happens then is their outcome
            shortcut = f"reading the {self.shared_length} tokens that prompts share"
            self.failed(shortcut, error, log, self.unanswered)
            return None

    def input_tokens(self, index: int) -> list[int]:
        """A prompt, followed by what was accepted of its draft."""
        accepted = self.accepted.get(index)
        return [*self.prompts[index], *accepted.tokens] if accepted else self.prompts[index]

    def generation(self, index: int, output: RowOutput) -> Generation:
        """An output as the record that the rest of the plugin uses."""
        untried, draft = self.untried.get(index, ""), self.drafts.get(index)
        rejection = f"not tried: {untried}" if untried else self.rejections.get(index, "")
        if draft is not None and not rejection and draft != output.tokens:
            rejection = f"the output ends at token {len(output.tokens)}, before the draft does"
        path = self.paths.get(index)
        is_path = path is not None and path.tokens == output.tokens and len(path.logprobs) == len(output.tokens)
        text = self.model.decode(output.tokens)
        return Generation(
            text=text,
            token_ids=output.tokens,
            logprobs=output.logprobs,
            stop=output.stop,
            environment=self.model.environment,
            margins=output.margins,
            verified=draft is not None and not rejection,
            unverified=rejection,
            untried=untried,
            path=path,
            as_read=path.as_read if path and is_path else None,
            lengths=self.model.lengths(output.tokens, text),
        )

    def wanted_tokens(self, length: int) -> int:
        """Most tokens that the settings ask for after a prompt of this length."""
        start = 1 if self.model.is_encoder_decoder else length
        return self.config.max_new_tokens or (self.config.max_length or 0) - start

    def fits_context(self, length: int) -> bool:
        """True if the model has a position for all that the settings ask for after a prompt of this length."""
        return self.wanted_tokens(length) <= room_after(self.model, length)

    def within_context(self, length: int) -> tuple[GenerationConfig, str]:
        """Settings that end an output at the model's last position, and the error for an output that gets there.

        transformers raises in the middle of such an output, unless it ends before by itself, and so do we. A beam
        search looks ahead, and forced tokens come at the very end, so for these the limit stays where it is.
        """
        config = self.config
        if self.fits_context(length) or (config.num_beams or 1) > 1 or config.forced_eos_token_id is not None:
            return config, ""
        room = int(room_after(self.model, length))
        shorter = copy.deepcopy(config)
        shorter.max_new_tokens, shorter.max_length = room, None
        return shorter, (
            f"a prompt of {length} tokens and {self.wanted_tokens(length)} new ones do not fit into its context of "
            f"{self.model.context}, and the output has not ended before.\n"
            f"Shorten the prompt or its examples, or set max_new_tokens={room} or less."
        )
