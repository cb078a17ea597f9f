"""Reads outputs in one pass after they were written: later runs compare their log-probs with these.

Writing computes one token at a time, in the checkpoint's precision. A later check of the output computes all of them in
one pass, in float32. So an output that may become a baseline is read in the run that wrote it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pytest_llmcompare.generation import Generation
from pytest_llmcompare.models.load import LocalModel, transformers_quiet

from .draft_check import DraftCheck
from .draft_logits import draft_logits
from .drafts import VERIFY_TOKENS
from .float32_trial import is_read_in_low_precision, reading
from .generate import Batches
from .job import Job
from .model_call import call
from .prefix_cache import SharedPrefix
from .request import Finished
from .self_check import why_not_in_one_pass

log = logging.getLogger(__name__)
HELD_BACK = 32
"""Most outputs that wait to be read together; those that wait are lost if the process is killed."""


def read_finished(job: Job, finished: Iterable[Finished]) -> Iterator[Finished]:
    """Compute the log-probs of written outputs again, in one pass; yield all outcomes, in any order.

    Args:
        job: The job that they belong to.
        finished: Its outcomes, as they come.
    """
    waiting: dict[int, Generation] = {}
    for index, outcome in finished:
        if isinstance(outcome, Generation) and can_be_read(job, outcome):
            waiting[index] = outcome
        else:
            yield index, outcome
        if len(waiting) == HELD_BACK:
            yield from read_together(job, waiting)
            waiting = {}
    yield from read_together(job, waiting)


def can_be_read(job: Job, output: Generation) -> bool:
    """True for an output that was not read yet, of a model whose one pass gives what it computes token by token."""
    unread = output.as_read is None and bool(output.token_ids) and output.logprobs is not None
    return unread and not why_not_in_one_pass(job.model) and not is_read_in_low_precision(job.model)


def read_together(job: Job, outputs: dict[int, Generation]) -> Iterator[Finished]:
    """Read outputs in batches; one that can't be read is as it was."""
    if not outputs:
        return
    prefix = job.prefix()
    skip = prefix.length if prefix else 0
    checks = {index: DraftCheck(job.prompts[index], output.token_ids or ()) for index, output in outputs.items()}
    lengths = [len(check.prompt) + len(check.draft) - 1 - skip for check in checks.values()]
    rows = 1 if job.model.is_encoder_decoder else job.batch_size
    queue = Batches(job, list(outputs), lengths, cpu_tokens=VERIFY_TOKENS, rows=rows)
    for batch in queue:
        try:
            logprobs = read_batch(job, [checks[index] for index in batch], prefix)
        except torch.OutOfMemoryError:
            if len(batch) > 1:
                queue.halve(batch)
                continue
            logprobs = None
        except Exception as error:  # from the model, of any kind
            job.failed(f"reading {len(batch)} outputs in one pass", error, log, ())
            logprobs = None
        for at, index in enumerate(batch):
            yield index, replace(outputs[index], as_read=logprobs[at] if logprobs else None)


def read_batch(job: Job, rows: Sequence[DraftCheck], prefix: SharedPrefix | None) -> list[tuple[float, ...]]:
    """Log-probs of each row's tokens after its prompt, before logits processors, by one pass."""
    logprobs: list[tuple[float, ...]] = []
    with transformers_quiet(), reading(job.model):
        call(job.model, [row.prompt for row in rows], job.config, output_reader(job.model, rows, prefix, logprobs))
    return logprobs


def output_reader(
    local: LocalModel, rows: Sequence[DraftCheck], prefix: SharedPrefix | None, logprobs: list[tuple[float, ...]]
) -> Callable[..., None]:
    """A `custom_generate` callable that appends the log-probs of each row."""

    def read(model: Any, input_ids: Tensor, *_: Any, **kwargs: Any) -> None:  # noqa: ARG001 - transformers passes it
        for name in ("logits_processor", "stopping_criteria", "generation_config"):
            kwargs.pop(name, None)
        for row, scores in zip(rows, draft_logits(local, rows, prefix, input_ids, kwargs), strict=True):
            tokens = torch.tensor(row.draft, device=scores.device)
            read_scores = scores.float().log_softmax(-1)  # [tokens, vocab]
            logprobs.append(tuple(read_scores.gather(-1, tokens[:, None])[:, 0].double().tolist()))

    return read
