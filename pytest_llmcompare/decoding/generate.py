"""Plain decoding: in batches if they leave the outputs as they are, else one prompt per call, as a user would."""

from __future__ import annotations

import copy
import logging
import time
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, StoppingCriteria

from pytest_llmcompare.errors import GenerationError
from pytest_llmcompare.models.load import transformers_quiet
from pytest_llmcompare.text import error_line

from .batching import batches, chunks
from .failures import MemoryWarning, warn_once
from .generation_config import all_settings_text, rows_are_independent, why_not_replayed
from .job import Job
from .model_call import call, seeded
from .recorder import RowOutput, UnusableScoresError, explained
from .request import Finished, Outcome
from .self_check import why_no_batches, why_no_padding

CPU_TOKENS = 1024
"""Most tokens of a batch on a CPU, padding included: larger ones only add padding."""
GPU_TOKENS = 16384
CPU_CACHE_TOKENS = 4096
"""Most tokens in the KV cache of a batch on a CPU without a shared prefix: too little memory would end the process."""
CPU_OWN_TOKENS = 2048
"""Most tokens in the KV cache of a batch on a CPU after a shared prefix, which is held once for all rows."""
CPU_LAYER_TOKENS = 16384
"""Most tokens that one layer attends to in such a batch, shared ones counted for each row."""

log = logging.getLogger(__name__)


class Batches:
    """Batches of prompts, longest first. One that does not fit into memory is given to `halve` and comes in halves.

    Args:
        job: The job that the prompts belong to.
        indices: Their indices.
        lengths: How many tokens of each the model reads.
        cpu_tokens: Most tokens of a batch on a CPU, padding included.
        rows: Most prompts of a batch; 0 sets no limit.
    """

    def __init__(
        self, job: Job, indices: Sequence[int], lengths: Sequence[int], *, cpu_tokens: int = CPU_TOKENS, rows: int = 0
    ) -> None:
        longest = max(lengths, default=1)
        budget = cpu_tokens if job.model.device.type == "cpu" else GPU_TOKENS
        tokens = longest * job.batch_size or max(budget, longest)
        self.model = job.model
        self.waiting = deque([indices[at] for at in batch] for batch in batches(lengths, tokens=tokens, rows=rows))

    def __iter__(self) -> Iterator[list[int]]:
        while self.waiting:
            yield self.waiting.popleft()

    def halve(self, batch: Sequence[int]) -> None:
        """Split a batch that did not fit into memory, and those that wait, and warn of it."""
        torch.cuda.empty_cache()
        rows = max(1, len(batch) // 2)
        warnings.warn(
            f"model {self.model.name!r}: out of memory with {len(batch)} prompts at once, going on with {rows}. "
            f"To start so: --llm-batch-size={rows}",
            MemoryWarning,
            stacklevel=2,
        )
        self.waiting = deque(part for whole in (batch, *self.waiting) for part in chunks(whole, rows))


def decode_unanswered(job: Job) -> Iterator[Finished]:
    """Decode all prompts of a job that have no outcome yet.

    Those with a near tie are decoded plainly at once, because any shortcut would come to the same two tokens.
    """
    shortened = [index for index in job.prompts if index in job.unanswered and index not in job.near_ties]
    batchable = [index for index in shortened if can_be_batched(job, index)]
    for indices in ([index for index in batchable if index in job.accepted], batchable):
        for group in batch_groups(job, [index for index in indices if index in job.unanswered]):
            yield from decode_together(job, group)
    for index in [index for index in job.prompts if index in job.unanswered]:
        outputs = decode_batch(job, [index]) if index in job.accepted else None
        if outputs is None:
            outcome = None if index in job.near_ties else decode_after_prefix(job, index)
            yield job.finish(index, outcome or decode_alone(job, index))
        else:
            yield from finish_batch(job, [index], outputs)


def can_be_batched(job: Job, index: int) -> bool:
    """True if a prompt's output stays the same in a batch with others."""
    independent = job.model.is_batchable and rows_are_independent(job.gen_config, job.model)
    return independent and job.fits_context(len(job.prompts[index]))


def batch_groups(job: Job, indices: Sequence[int]) -> Sequence[Sequence[int]]:
    """Prompts that may share batches: all, or those of one length if padding changes the model's scores."""
    if len(indices) < 2 or job.batch_size == 1:
        return [indices]
    if why := why_no_batches(job.model):
        warn_once(job.model, f"prompts are asked one by one, because {why}. Outputs are the same; it takes longer.")
        return []
    if not (why := why_no_padding(job.model)):
        return [indices]
    warn_once(
        job.model,
        f"only prompts of one length share a batch, because {why}. Outputs are the same; it takes longer.",
    )
    by_length: dict[int, list[int]] = {}
    for index in indices:
        by_length.setdefault(len(job.input_tokens(index)), []).append(index)
    return list(by_length.values())


def decode_together(job: Job, indices: Sequence[int]) -> Iterator[Finished]:
    """Decode prompts in batches."""
    if not indices:
        return
    prefix = job.prefix(for_writing=True)
    skip = prefix.length if prefix else 0
    lengths = [len(job.input_tokens(index)) - skip for index in indices]
    queue = Batches(job, indices, lengths, rows=most_rows(job, max(lengths), skip))
    for batch in queue:
        saves_time = len(batch) > 1 or prefix is not None or batch[0] in job.accepted
        outputs = decode_batch(job, batch) if saves_time else None
        if outputs is not None:
            yield from finish_batch(job, batch, outputs)
        elif len(batch) > 1:
            queue.halve(batch)
        else:
            yield job.finish(batch[0], decode_alone(job, batch[0]))


def most_rows(job: Job, own: int, shared: int) -> int:
    """Most prompts of a batch; 0 sets no limit.

    Args:
        job: The job.
        own: Most tokens of a prompt that it does not share.
        shared: Tokens of the shared prefix.
    """
    if job.batch_size or job.model.device.type != "cpu":
        return job.batch_size
    length = own + (job.config.max_new_tokens or 0)
    if not shared:
        return max(1, CPU_CACHE_TOKENS // length)
    return max(1, min(CPU_OWN_TOKENS // length, CPU_LAYER_TOKENS // (shared + length)))


def decode_batch(job: Job, batch: Sequence[int]) -> list[RowOutput | None] | None:
    """Decode a batch; None for a row that has to be decoded alone. Returns None if there is not enough memory."""
    config = remaining_config(job, batch) if batch[0] in job.accepted else job.config
    try:
        with transformers_quiet():
            inputs = [job.input_tokens(index) for index in batch]
            rows = timed_call(job, batch, inputs, config, prefix=job.prefix(for_writing=True))
    except torch.OutOfMemoryError:
        return None
    except Exception as error:  # of any row: each is decoded alone
        job.failed(f"a batch of {len(batch)} prompts", error, log, batch)
        return [None for _ in batch]
    return [row if row.sure and not row.fault else None for row in rows]


def finish_batch(job: Job, batch: Sequence[int], outputs: Sequence[RowOutput | None]) -> Iterator[Finished]:
    """Finish the rows of a batch; those without an output are decoded alone."""
    for index, output in zip(batch, outputs, strict=True):
        if output is None:
            yield job.finish(index, decode_alone(job, index))
        else:
            yield job.finish(index, job.generation(index, with_accepted(job, index, output)))


def timed_call(
    job: Job, batch: Sequence[int], prompts: list[list[int]], config: GenerationConfig, **options: Any
) -> list[RowOutput]:
    """Generate as `call` does, and measure how long it takes."""
    started = time.perf_counter()
    rows: list[RowOutput] = call(job.model, prompts, config, **options)
    job.add_seconds(batch, rows, time.perf_counter() - started)
    return rows


def remaining_config(job: Job, batch: Sequence[int]) -> GenerationConfig:
    """Settings for what follows accepted tokens: limits for the rest, and nothing that counts from the prompt."""
    config = copy.deepcopy(job.config)
    config.max_new_tokens = max(remaining_tokens(job, index) for index in batch)
    config.min_new_tokens = None
    config.begin_suppress_tokens = []  # None would be filled in from the checkpoint's own
    return config


def remaining_tokens(job: Job, index: int) -> int:
    """Most tokens that may follow the accepted ones."""
    return (job.config.max_new_tokens or 0) - len(job.accepted[index].tokens)


def with_accepted(job: Job, index: int, rest: RowOutput) -> RowOutput:
    """The whole output, given what follows the accepted tokens; in a batch that may be longer than its own limit."""
    if (accepted := job.accepted.get(index)) is None:
        return rest
    most = remaining_tokens(job, index)
    stop = rest.stop if len(rest.tokens) <= most else "length"
    return concatenated(accepted, rest, stop, most)


def concatenated(start: RowOutput, rest: RowOutput, stop: str, most: int) -> RowOutput:
    """The beginning of an output, and at most so many tokens of its rest."""
    return RowOutput(
        tokens=(*start.tokens, *rest.tokens[:most]),
        logprobs=(*(start.logprobs or ()), *(rest.logprobs or ())[:most]),
        stop=stop,
        margins=(*(start.margins or ()), *(rest.margins or ())[:most]),
    )


def decode_after_prefix(job: Job, index: int) -> Outcome | None:
    """Decode one prompt after the KV cache of what it shares; None if the output may not be the plain one."""
    config, prompt, seed = job.config, job.prompts[index], job.seeds[index]
    unseeded = config.do_sample and seed is None
    if unseeded or not job.fits_context(len(prompt)) or why_not_replayed(config, job.gen_config):
        return None
    if (prefix := job.prefix(for_writing=True)) is None:
        return None
    try:
        with transformers_quiet(), seeded(job.model.device, seed if config.do_sample else None):
            output = timed_call(job, [index], [prompt], config, prefix=prefix, check_draws=True)[0]
    except Exception as error:  # it is decoded plainly, and what happens then is its outcome
        job.failed("writing after tokens that prompts share", error, log, [index])
        return None
    return None if output.fault or not output.sure else job.generation(index, output)


class StopAfter(StoppingCriteria):
    """Stops when the output consists of the given tokens.

    Args:
        start: Length of the prompt, in tokens.
        tokens: The tokens.
    """

    def __init__(self, start: int, tokens: Sequence[int]) -> None:
        self.start = start
        self.tokens = list(tokens)

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:  # noqa: ARG002 - transformers passes both
        """True for each row of `input_ids` [rows, seq] that stops here; the result is [rows]."""
        ends = [row[self.start :] == self.tokens for row in input_ids.tolist()]
        return torch.tensor(ends, device=input_ids.device)


def decode_near_tie(job: Job, index: int, config: GenerationConfig) -> RowOutput | None:
    """Decode plainly up to the last near tie of a draft; None if the rest of the draft was not confirmed.

    The pass over the draft has confirmed what follows the last near tie. So if plain decoding writes the draft's tokens
    up to there, the output is the draft. Otherwise plain decoding goes on to the end.
    """
    tie, prompt = job.near_ties.get(index), job.prompts[index]
    if tie is None or tie.rest is None:
        return None
    started = time.perf_counter()
    output: RowOutput = call(job.model, [prompt], config, stopping=[StopAfter(len(prompt), tie.start)])[0]
    if output.tokens == tie.start and not output.fault and tie.rest.tokens:
        return concatenated(output, tie.rest, tie.rest.stop, len(tie.rest.tokens))
    job.add_seconds([index], [output], time.perf_counter() - started)
    return output


def decode_alone(job: Job, index: int) -> Outcome:
    """Decode one prompt as a user's own call would."""
    prompt = job.prompts[index]
    config, too_long = job.within_context(len(prompt))
    try:
        with transformers_quiet(), seeded(job.model.device, job.seeds[index] if config.do_sample else None):
            output = decode_near_tie(job, index, config) or timed_call(job, [index], [prompt], config)[0]
        if not output.fault and not (too_long and output.stop == "length"):
            return job.generation(index, output)
        fault = explained(output.fault) if output.fault else too_long
    except UnusableScoresError as error:
        fault = explained(str(error))
    except torch.OutOfMemoryError:
        fault = (
            f"out of memory with one prompt of {len(prompt)} tokens.\n"
            "Shorten the prompt or its examples, or use --llm-dtype=bfloat16 or --llm-device=cpu."
        )
    except Exception as error:  # from a library, of any kind: it is this prompt's outcome
        settings = all_settings_text(job.gen_config, job.model)
        fault = f"transformers cannot answer with the settings {settings}: {error_line(error)}"
    return GenerationError(fault, job.model.name)
