"""Drafts: expected outputs, verified in one pass over prompt and draft (teacher forcing).

Such a pass must give exactly the output of plain `generate`. If it can't be sure (a setting depends on more than the
tokens before, the model does not support it) it notes why, and the prompt is decoded plainly. Where two tokens are
nearly equally likely plain decoding decides, up to the last such place. If the model leaves the draft, the output goes
on from there.

A low-precision checkpoint is read in float32, so such a pass gives log-probs and never an output.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

from pytest_llmcompare.generation import Generation
from pytest_llmcompare.models.load import LocalModel, transformers_quiet

from .batching import room_after
from .draft_check import DraftCheck
from .float32_trial import is_read_in_low_precision, reading, warn_of_low_precision
from .generate import Batches, concatenated
from .generation_config import rows_are_independent, why_not_replayed
from .job import Job, NearTie
from .model_call import call, seeded
from .module_state import fresh
from .prefix_cache import SharedPrefix
from .recorder import RowOutput, record
from .request import Finished, Outcome
from .self_check import why_not_in_one_pass, why_rounding_differs
from .verify import draft_verifier

log = logging.getLogger(__name__)
FAILED = "the pass over the draft failed"
VERIFY_TOKENS = 512
"""Most tokens of a batch on a CPU: scores of whole drafts are in memory at once, and larger batches are no faster."""


def draft_of(model: LocalModel, expected: Generation) -> tuple[int, ...]:
    """The tokens of an expected output; made from its text if they are unknown, or another tokenizer's."""
    if expected.token_ids is not None and model.decode(expected.token_ids) == expected.text:
        return expected.token_ids
    tokens = model.tokenizer(expected.text, add_special_tokens=False)["input_ids"]
    end = model.tokenizer.eos_token_id if expected.stop == "eos" else None
    return (*tokens, end) if end is not None else tuple(tokens)


def verify_drafts(job: Job) -> Iterator[Finished]:
    """Finish the outputs that drafts decide; for all others note what was accepted, or why the draft was rejected.

    Log-probs along a draft are kept whether it is the output or not.
    """
    indices = [index for index in job.prompts if index in job.drafts]
    if not indices:
        return
    checks = usable_drafts(job, indices)
    if checks:
        warn_of_low_precision(job.model)
    if rounding := why_rounding_differs(job.model):  # then the pass gives log-probs, and no output
        for index, check in checks.items():
            job.untried[index] = check.unsure = rounding
    if rows_are_independent(job.gen_config, job.model) and not job.model.is_encoder_decoder:
        fitting = {index: check for index, check in checks.items() if job.fits_context(len(check.prompt))}
        yield from verify_together(job, fitting)
    for index, check in checks.items():
        if index in job.unanswered and index not in job.rejections:
            outcome = verify_alone(job, index, check)
            if outcome is not None:
                yield job.finish(index, outcome)


def usable_drafts(job: Job, indices: Sequence[int]) -> dict[int, DraftCheck]:
    """The drafts that can be verified, by index; for all others the job notes why not."""
    why = why_not_replayed(job.config, job.gen_config)
    why = why or why_not_in_one_pass(job.model, after_prefix=job.prefix() is not None)
    checks: dict[int, DraftCheck] = {}
    for index in indices:
        is_repeatable = not job.config.do_sample or job.seeds[index] is not None
        if why or not is_repeatable:
            job.untried[index] = why or "sampling without a seed cannot be repeated"
        elif check := usable_draft(job, index):
            checks[index] = check
        else:
            job.rejections[index] = "the draft begins with a token that the output cannot have"
    return checks


def usable_draft(job: Job, index: int) -> DraftCheck | None:
    """The part of a draft that can be verified; None if none of its tokens can be the output's."""
    prompt = job.prompts[index]
    most = min(job.wanted_tokens(len(prompt)), room_after(job.model, len(prompt)))
    draft = list(job.drafts[index])[: max(0, int(most))]
    end = next((at for at, token in enumerate(draft) if not 0 <= token < job.model.vocabulary), len(draft))
    return DraftCheck(prompt, draft[:end]) if draft[:end] else None


def verify_together(job: Job, checks: dict[int, DraftCheck]) -> Iterator[Finished]:
    """Verify drafts in batches."""
    if not checks:
        return
    prefix = job.prefix()
    skip = prefix.length if prefix else 0
    lengths = [len(check.prompt) + len(check.draft) - 1 - skip for check in checks.values()]
    queue = Batches(job, list(checks), lengths, cpu_tokens=VERIFY_TOKENS, rows=job.batch_size)
    for batch in queue:
        if not verify_batch(job, {index: checks[index] for index in batch}, prefix):
            queue.halve(batch)
            continue
        for index in batch:
            outcome = take_in(job, index, checks[index])
            if outcome is not None:
                yield job.finish(index, outcome)


def verify_batch(job: Job, checks: dict[int, DraftCheck], prefix: SharedPrefix | None) -> bool:
    """Fill in the checks of a batch; False if there is not enough memory for so many."""
    rows = list(checks.values())
    try:
        with transformers_quiet(), reading(job.model):
            call(job.model, [row.prompt for row in rows], job.config, draft_verifier(job.model, rows, prefix))
    except Exception as error:  # of any row
        if isinstance(error, torch.OutOfMemoryError) and len(rows) > 1:
            return False
        job.failed(f"reading {len(rows)} baselines in one pass", error, log, checks)
        for row in rows:
            row.unsure = FAILED
    return True


def take_in(job: Job, index: int, check: DraftCheck) -> Outcome | None:
    """The outcome if the output has ended; else note what was accepted."""
    note_check(job, index, check)
    if check.unsure:
        return None
    if check.stop:
        return job.generation(index, check.output())
    if len(check.tokens) >= (job.config.min_new_tokens or 0):  # settings that count from the prompt are over
        job.accepted[index] = check.output()
    return None


def note_check(job: Job, index: int, check: DraftCheck) -> None:
    """Keep the log-probs along a draft, if the pass got to its end, and why it is not the output."""
    if check.rejection:
        job.rejections[index] = check.rejection
    if check.near_tie:
        rest = None if job.config.do_sample or job.model.is_encoder_decoder else check.rest
        job.near_ties[index] = NearTie(tuple(check.draft[: check.forced.last_unsure]), rest)
    if check.is_read:
        coarse = is_read_in_low_precision(job.model)
        job.paths[index] = check.path(draws=bool(job.config.do_sample), coarse=coarse)


def verify_alone(job: Job, index: int, check: DraftCheck) -> Outcome | None:
    """Verify a draft by itself and go on where the output leaves it; None if the prompt has to be decoded plainly."""
    config, too_long = job.within_context(len(check.prompt))
    seed = job.seeds[index] if config.do_sample else None
    output: RowOutput | None = None
    try:
        prefix = job.prefix()
        verify = VerifyThenDecode(job, check, prefix)
        with transformers_quiet(), seeded(job.model.device, seed), reading(job.model):
            after = prefix if job.model.is_batchable else None
            output = call(job.model, [check.prompt], config, verify, prefix=after)
    except Exception as error:  # it is decoded plainly
        job.failed("reading a baseline in one pass", error, log, [index])
        check.unsure = FAILED
    note_check(job, index, check)
    if output is None or output.fault or not output.sure:
        job.rejections[index] = check.unsure or "two tokens are nearly equally likely after the draft"
        return None
    return None if too_long and output.stop == "length" else job.generation(index, output)


class VerifyThenDecode:
    """A `custom_generate` callable: one pass over a draft, then transformers' own loop from where the output leaves it.

    Args:
        job: The job.
        check: The draft.
        prefix: KV cache of the first tokens of its prompt.
    """

    def __init__(self, job: Job, check: DraftCheck, prefix: SharedPrefix | None) -> None:
        self.check = check
        self.verify = draft_verifier(job.model, [check], prefix)

    def __call__(
        self,
        model: Any,
        input_ids: Tensor,
        logits_processor: LogitsProcessorList,
        stopping_criteria: StoppingCriteriaList,
        generation_config: GenerationConfig,
        **model_kwargs: Any,
    ) -> RowOutput | None:
        """The output, or None if it has to be decoded plainly; `input_ids` are [1, seq]."""
        prepared: Sequence[Any] = (logits_processor, stopping_criteria, generation_config)
        with fresh(model):
            self.verify(model, input_ids, *prepared, **model_kwargs)
        if self.check.unsure or self.check.stop:
            return None if self.check.unsure else self.check.output()
        accepted = torch.tensor([self.check.tokens], dtype=input_ids.dtype, device=input_ids.device)
        kwargs = extended_kwargs(model, input_ids, accepted.shape[1], model_kwargs)
        rest = record(model, torch.cat([input_ids, accepted], dim=1), *prepared, check_draws=True, **kwargs)[0]
        if rest.fault or not rest.sure:
            return rest
        return concatenated(self.check.output(), rest, rest.stop, len(rest.tokens))


def extended_kwargs(model: Any, input_ids: Tensor, more: int, model_kwargs: dict[str, Any]) -> dict[str, Any]:
    """What `generate` prepared for an unpadded row of `input_ids` [1, seq], for a row with `more` tokens."""
    kwargs = dict(model_kwargs)
    if model.config.is_encoder_decoder:
        return kwargs
    if "attention_mask" in kwargs:
        kwargs["attention_mask"] = input_ids.new_ones(1, input_ids.shape[1] + more)
    if (positions := kwargs.get("position_ids")) is not None:
        following = torch.arange(1, more + 1, device=positions.device)
        kwargs["position_ids"] = torch.cat([positions, positions[..., -1:] + following], dim=-1)
    return kwargs
