"""Drafts: what an output is expected to be, confirmed in one pass, or else the place from which it goes on otherwise.

Such a pass may only say what plain `generate` would say. Where it cannot be sure of that (two tokens nearly equally
likely, a setting that looks further, a model of another kind) it says why, and the prompt is asked plainly.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

from pytest_llmcompare.generation import Generation
from pytest_llmcompare.models.local import LocalModel, quiet

from .batching import room
from .generate import in_batches, joined
from .generation_config import rows_are_independent, why_not_replayed
from .job import Work, wanted_tokens, within_context
from .model_call import call
from .prefix_cache import Prefix
from .recorder import Answer, record
from .sampling import seeded
from .self_check import why_not_in_one_pass, why_rounding_differs
from .state import fresh
from .verify import Reading, verifier

log = logging.getLogger(__name__)
FAILED = "the pass over the draft failed"
READ_TOKENS = 512  # of a batch on a CPU: scores of a whole draft are there at once, and larger ones are no faster
NOT_TRIED = "not tried: "
"""How the reason begins where it lies in the settings or in the model, and not in the output."""


def draft_of(model: LocalModel, expected: Generation) -> tuple[int, ...]:
    """The tokens that an expected output has; made from its text where they are not known, or another tokenizer's."""
    if expected.token_ids is not None and model.decode(expected.token_ids) == expected.text:
        return expected.token_ids
    tokens = model.tokenizer(expected.text, add_special_tokens=False)["input_ids"]
    end = model.tokenizer.eos_token_id if expected.stop == "eos" else None
    return (*tokens, end) if end is not None else tuple(tokens)


def use_drafts(work: Work) -> None:
    """Settle the outputs that drafts tell, and note how the others begin, or why they have to be asked plainly.

    What the model says along a draft is noted for each, whether the draft is its output or not.
    """
    known = [index for index in work.prompts if index in work.drafts]
    if not known:
        return
    why = why_not_replayed(work.config, work.gen_config) or why_not_in_one_pass(work.model)
    readings = {index: f"{NOT_TRIED}{why}" if why else usable(work, index) for index in known}
    work.doubts |= {index: found for index, found in readings.items() if isinstance(found, str)}
    usable_ones = {index: found for index, found in readings.items() if isinstance(found, Reading)}
    if rounding := why_rounding_differs(work.model):  # then likelihoods are all that a pass can tell
        for found in usable_ones.values():
            found.unsure = f"{NOT_TRIED}{rounding}"
    rows_apart = rows_are_independent(work.gen_config, work.model) and not work.model.is_encoder_decoder
    if rows_apart:
        read_together(work, {index: found for index, found in usable_ones.items() if fits(work, index)})
    for index, found in usable_ones.items():
        if index in work.open and index not in work.doubts:
            read_alone(work, index, found)


def usable(work: Work, index: int) -> Reading | str:
    """The part of a draft that can be verified, or why none can."""
    prompt = work.prompts[index]
    if work.config.do_sample and work.seeds[index] is None:
        return f"{NOT_TRIED}draws without a seed cannot be repeated"
    most = min(wanted_tokens(work, len(prompt)), room(work.model, len(prompt)))
    draft = list(work.drafts[index])[: max(0, int(most))]
    end = next((at for at, token in enumerate(draft) if not 0 <= token < work.model.vocabulary), len(draft))
    return Reading(prompt, draft[:end]) if draft[:end] else "the draft has no token that could be the output's"


def fits(work: Work, index: int) -> bool:
    """Whether all that the settings ask for has a position in the model."""
    return room(work.model, len(work.prompts[index])) >= (work.config.max_new_tokens or 0)


def read_together(work: Work, readings: dict[int, Reading]) -> None:
    """Read drafts in batches."""
    prefix = work.prefix() if readings else None
    skip = prefix.length if prefix else 0

    def run(batch: Sequence[int]) -> bool:
        some = [readings[index] for index in batch]
        try:
            with quiet():
                call(work.model, [found.prompt for found in some], work.config, verifier(work.model, some, prefix))
        except Exception as error:  # whichever row it is
            if isinstance(error, torch.OutOfMemoryError) and len(batch) > 1:
                return False
            work.failed(f"reading {len(batch)} baselines in one pass", error, log, batch)
            for found in some:
                found.unsure = FAILED
        for index in batch:
            take(work, index, readings[index])
        return True

    lengths = [len(found.prompt) + len(found.draft) - 1 - skip for found in readings.values()]
    in_batches(work, list(readings), lengths, run, cpu_tokens=READ_TOKENS, rows=work.batch_size)


def take(work: Work, index: int, found: Reading) -> None:
    """Settle an output that has ended, or note how it begins."""
    note_path(work, index, found)
    if found.reason:
        work.doubts[index] = found.reason
    if found.unsure:
        return
    if found.stop:
        work.settle(index, work.generation(index, found.answer()))
    elif counts_are_over(work.config, len(found.tokens)):
        work.heads[index] = found.answer()


def note_path(work: Work, index: int, found: Reading) -> None:
    """Keep what the model says along a draft; a pass that failed has said nothing."""
    if found.is_read:
        work.paths[index] = found.path(draws=bool(work.config.do_sample))


def counts_are_over(config: GenerationConfig, length: int) -> bool:
    """Whether settings that count tokens from the prompt on let an output of this length go on freely."""
    return length >= (config.min_new_tokens or 0)


def read_alone(work: Work, index: int, found: Reading) -> None:
    """Read a draft by itself, and go on from where the output leaves it, with draws where the draft's ended."""
    config, cut = within_context(work, len(found.prompt))
    seed = work.seeds[index] if config.do_sample else None
    answer: Answer | None = None
    try:
        prefix = work.prefix()
        with quiet(), seeded(work.model.device, seed):
            answer = call(
                work.model,
                [found.prompt],
                config,
                Replay(work, found, prefix),
                prefix if work.model.is_batchable else None,
            )
    except Exception as error:  # it is asked plainly
        work.failed("reading a baseline in one pass", error, log, [index])
        found.unsure = FAILED
    note_path(work, index, found)
    if found.reason:
        work.doubts[index] = found.reason
    if answer is None or answer.fault or not answer.sure:
        work.doubts[index] = found.unsure or "two tokens are nearly equally likely after the draft"
    elif not (cut and answer.stop == "length"):
        work.settle(index, work.generation(index, answer))


class Replay:
    """A `custom_generate` callable: one pass over a draft, then transformers' own loop from where it is left."""

    def __init__(self, work: Work, reading: Reading, prefix: Prefix | None) -> None:
        self.reading = reading
        self.verify = verifier(work.model, [reading], prefix)

    def __call__(
        self,
        model: Any,
        input_ids: Tensor,
        logits_processor: LogitsProcessorList,
        stopping_criteria: StoppingCriteriaList,
        generation_config: GenerationConfig,
        **model_kwargs: Any,
    ) -> Answer | None:
        """The output, or None where it has to be asked plainly."""
        prepared = (logits_processor, stopping_criteria, generation_config)
        with fresh(model):
            self.verify(model, input_ids, *prepared, **model_kwargs)
        if self.reading.unsure or self.reading.stop:
            return None if self.reading.unsure else self.reading.answer()
        known = torch.tensor([self.reading.tokens], dtype=input_ids.dtype, device=input_ids.device)
        kwargs = longer(model, input_ids, known.shape[1], model_kwargs)
        rest = record(model, torch.cat([input_ids, known], dim=1), *prepared, watch=True, **kwargs)[0]
        if rest.fault or not rest.sure:
            return rest
        return joined(self.reading.answer(), rest, rest.stop, len(rest.tokens))


def longer(model: Any, input_ids: Tensor, more: int, model_kwargs: dict[str, Any]) -> dict[str, Any]:
    """What `generate` prepared for an unpadded row of `input_ids` [1, seq], for a row with so many more tokens."""
    kwargs = dict(model_kwargs)
    if model.config.is_encoder_decoder:
        return kwargs
    if "attention_mask" in kwargs:
        kwargs["attention_mask"] = input_ids.new_ones(1, input_ids.shape[1] + more)
    if (places := kwargs.get("position_ids")) is not None:
        ahead = torch.arange(1, more + 1, device=places.device)
        kwargs["position_ids"] = torch.cat([places, places[..., -1:] + ahead], dim=-1)
    return kwargs
