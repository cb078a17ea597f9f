"""Plain answers: in batches where neither the model nor the settings can tell, else as a user's own call would."""

from __future__ import annotations

import copy
import logging
import warnings
from collections import deque
from collections.abc import Callable, Sequence

import torch
from transformers import GenerationConfig

from pytest_llmcompare.errors import GenerationError
from pytest_llmcompare.models.faults import reason
from pytest_llmcompare.models.local import quiet

from .batching import batches, parts, room
from .failures import MemoryWarning, say
from .generation_config import rows_are_independent, shown, why_not_replayed
from .job import Outcome, Work, wanted_tokens, within_context
from .model_call import call
from .recorder import Answer, UnusableScoresError
from .sampling import seeded
from .self_check import why_no_batches, why_no_padding

CPU_TOKENS = 1024  # of a batch, padding included: on a CPU larger ones only add padding
GPU_TOKENS = 16384
CPU_REMEMBERED = 4096
"""Most tokens that a batch keeps in memory on a CPU, lent ones included: there, too little memory ends the process."""


log = logging.getLogger(__name__)


def answer_open(work: Work) -> None:
    """Answer all prompts that have no outcome yet."""
    together = [index for index in work.prompts if index in work.open and can_share(work, index)]
    for some in ([index for index in together if index in work.heads], together):
        for batch in alike(work, [index for index in some if index in work.open]):
            answer_together(work, batch)
    for index in [index for index in work.prompts if index in work.open]:
        if index not in work.heads or not answer_batch(work, [index]):
            work.settle(index, after_prefix(work, index) or answer_alone(work, index))


def can_share(work: Work, index: int) -> bool:
    """Whether a prompt's output stays the same in a batch with others."""
    fits = room(work.model, len(work.prompts[index])) >= (work.config.max_new_tokens or 0)
    return fits and work.model.is_batchable and rows_are_independent(work.gen_config, work.model)


def alike(work: Work, indices: Sequence[int]) -> Sequence[Sequence[int]]:
    """The prompts that may share batches: all, or for a model that sees padding, those of one length."""
    if len(indices) < 2 or work.batch_size == 1:
        return [indices]
    if why := why_no_batches(work.model):
        say(work.model, f"prompts are asked one by one, because {why}. Outputs are the same; it takes longer.")
        return []
    if why := why_no_padding(work.model):
        say(
            work.model,
            f"only prompts of one length share a batch, because {why}. Outputs are the same; it takes longer.",
        )
        found: dict[int, list[int]] = {}
        for index in indices:
            found.setdefault(len(work.begun(index)), []).append(index)
        return list(found.values())
    return [indices]


def answer_together(work: Work, indices: Sequence[int]) -> None:
    """Answer prompts in batches."""
    if not indices:
        return
    prefix = work.prefix(to_go_on=True)
    skip = prefix.length if prefix else 0

    def run(batch: Sequence[int]) -> bool:
        worth_it = len(batch) > 1 or prefix is not None or batch[0] in work.heads
        if worth_it and answer_batch(work, batch):
            return True
        if len(batch) > 1:
            return False
        work.settle(batch[0], answer_alone(work, batch[0]))
        return True

    lengths = [len(work.begun(index)) - skip for index in indices]
    in_batches(work, indices, lengths, run, rows=rows_to_remember(work, skip + max(lengths)))


def rows_to_remember(work: Work, length: int) -> int:
    """Most prompts of a batch that outputs are written for, given the most tokens of one; 0 sets no limit."""
    if work.batch_size or work.model.device.type != "cpu":
        return work.batch_size
    return max(1, CPU_REMEMBERED // (length + (work.config.max_new_tokens or 0)))


def in_batches(
    work: Work,
    indices: Sequence[int],
    lengths: Sequence[int],
    run: Callable[[Sequence[int]], bool],
    *,
    cpu_tokens: int = CPU_TOKENS,
    rows: int = 0,
) -> None:
    """Run prompts in batches, longest first; batches that do not fit into memory are halved, and so are the rest.

    Args:
        work: What they belong to.
        indices: Their places.
        lengths: How many tokens of each the model reads.
        run: Runs a batch; False where memory does not suffice for it. One prompt alone always suffices.
        cpu_tokens: Most tokens of a batch on a CPU, padding included.
        rows: Most prompts of a batch; 0 sets no limit.
    """
    budget = cpu_tokens if work.model.device.type == "cpu" else GPU_TOKENS
    most = max(lengths, default=1)
    tokens = most * work.batch_size or max(budget, most)
    waiting = deque([indices[place] for place in batch] for batch in batches(lengths, tokens=tokens, rows=rows))
    while waiting:
        batch = waiting.popleft()
        if run(batch):
            continue
        torch.cuda.empty_cache()
        rows = max(1, len(batch) // 2)
        warnings.warn(
            f"model {work.model.name!r}: out of memory with {len(batch)} prompts at once, going on with {rows}. "
            f"To start so: --llm-batch-size={rows}",
            MemoryWarning,
            stacklevel=2,
        )
        waiting = deque(part for whole in (batch, *waiting) for part in parts(whole, rows))


def answer_batch(work: Work, batch: Sequence[int]) -> bool:
    """Answer a batch; False where memory does not suffice for it."""
    found: list[Answer] | None
    try:
        with quiet():
            config = work.config if not work.heads.get(batch[0]) else remaining(work, batch)
            found = call(work.model, [work.begun(index) for index in batch], config, prefix=work.prefix(to_go_on=True))
    except Exception as error:  # whichever row it is: the others are answered alone
        if isinstance(error, torch.OutOfMemoryError):
            return False
        work.failed(f"a batch of {len(batch)} prompts", error, log, batch)
        found = None
    for place, index in enumerate(batch):
        sure = found is not None and not found[place].fault and found[place].sure
        work.settle(index, whole(work, index, found[place]) if found and sure else answer_alone(work, index))
    return True


def remaining(work: Work, batch: Sequence[int]) -> GenerationConfig:
    """Settings for the rest of outputs that have begun: what counts tokens from the prompt on is over by then."""
    config = copy.deepcopy(work.config)
    config.max_new_tokens = max(left(work, index) for index in batch)
    config.min_new_tokens = config.begin_suppress_tokens = None
    return config


def left(work: Work, index: int) -> int:
    """Most tokens that may follow what is known of an output."""
    return (work.config.max_new_tokens or 0) - len(work.heads[index].tokens)


def whole(work: Work, index: int, rest: Answer) -> Outcome:
    """The outcome whose rest this is; in a batch it may have become longer than its own settings allow."""
    if (head := work.heads.get(index)) is None:
        return work.generation(index, rest)
    room_left = left(work, index)
    stop = rest.stop if len(rest.tokens) <= room_left else "length"
    return work.generation(index, joined(head, rest, stop, room_left))


def joined(head: Answer, rest: Answer, stop: str, most: int) -> Answer:
    """The beginning of an output and at most so many tokens of its rest."""
    return Answer(
        tokens=(*head.tokens, *rest.tokens[:most]),
        logprobs=(*(head.logprobs or ()), *(rest.logprobs or ())[:most]),
        stop=stop,
        margins=(*(head.margins or ()), *(rest.margins or ())[:most]),
    )


def after_prefix(work: Work, index: int) -> Outcome | None:
    """The answer to one prompt after what it shares with others; None where that may not be the plain one."""
    config, prompt, seed = work.config, work.prompts[index], work.seeds[index]
    unseeded = config.do_sample and seed is None
    fits = wanted_tokens(work, len(prompt)) <= room(work.model, len(prompt))
    if unseeded or not fits or why_not_replayed(config, work.gen_config):
        return None
    if (prefix := work.prefix(to_go_on=True)) is None:
        return None
    try:
        with quiet(), seeded(work.model.device, seed if config.do_sample else None):
            found = call(work.model, [prompt], config, prefix=prefix, watch=True)[0]
    except Exception as error:  # it is asked plainly, and what happens then is its outcome
        work.failed("writing after tokens that prompts share", error, log, [index])
        return None
    return None if found.fault or not found.sure else work.generation(index, found)


def answer_alone(work: Work, index: int) -> Outcome:
    """Answer one prompt as a user's own call would."""
    name, prompt = work.model.name, work.prompts[index]
    config, cut = within_context(work, len(prompt))
    try:
        with quiet(), seeded(work.model.device, work.seeds[index] if config.do_sample else None):
            found: Answer = call(work.model, [prompt], config)[0]
        if not found.fault and not (cut and found.stop == "length"):
            return work.generation(index, found)
        fault = f"{found.fault}." if found.fault else cut
    except UnusableScoresError as error:
        fault = f"{error}."
    except torch.OutOfMemoryError:
        fault = (
            f"out of memory with one prompt of {len(prompt)} tokens.\n"
            "Shorten the prompt or its examples, or use --llm-dtype=bfloat16 or --llm-device=cpu."
        )
    except Exception as error:  # a library's, of any kind: it is this prompt's outcome
        fault = f"transformers cannot answer with the settings {shown(work.gen_config)}: {reason(error)}"
    return GenerationError(f"model {name!r}: {fault}")
