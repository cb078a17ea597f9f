"""Answers requests with a model in memory: each output is what transformers' pipeline gives for that prompt alone.

Prompts go through the model together only where neither the model nor the settings can tell; even then a row in which
two tokens came within numerical noise of each other is asked again alone. A fault of one prompt is that prompt's
outcome, and the others go on.
"""

from __future__ import annotations

import copy
import json
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig, StopStringCriteria

from pytest_llmcompare.errors import GenerationError
from pytest_llmcompare.models.faults import reason
from pytest_llmcompare.models.local import LocalModel, quiet
from pytest_llmcompare.records import Generation

from .batching import batches, left_padded, parts
from .configuration import configuration, own_settings_aside, rows_are_independent, shown
from .prompts import fault_of, room
from .recording import Answer, UnusableScoresError, record
from .requests import Request
from .seeding import seeded

Outcome = Generation | GenerationError

CPU_TOKENS = 1024  # of a batch, padding included: on a CPU larger ones only add padding
GPU_TOKENS = 16384
NOISE = 1e-3
"""Margin (nats) below which a row of a batch is asked again alone; in fp32 padding moves margins by 4e-5 at most."""


@dataclass(frozen=True)
class Work:
    """The prompts that share their decoding settings.

    Attributes:
        model: The model.
        gen_config: The settings.
        config: The settings as transformers takes them.
        prompts: Token ids of each prompt, by its place in the list of requests.
        seeds: Seeds of the draws, by the same.
        settle: Takes the outcome of each.
    """

    model: LocalModel
    gen_config: Mapping[str, Any]
    config: GenerationConfig
    prompts: Mapping[int, list[int]]
    seeds: Mapping[int, int | None]
    settle: Callable[[int, Outcome], None]


class MemoryWarning(UserWarning):
    """A batch did not fit into memory."""


def generate(
    model: LocalModel,
    requests: Sequence[Request],
    *,
    batch_size: int = 0,
    done: Callable[[int, Outcome], None] | None = None,
) -> list[Outcome]:
    """Answer each request as transformers' text-generation pipeline would, called with that one alone.

    `configuration.py` says which settings hold where a request gives none. A seeded draw equals that of
    `torch.manual_seed(seed); model.generate(...)`, whatever else is asked, and moves no generator of torch. Where a
    batch does not fit into memory, a warning says so and it goes on in halves.

    Args:
        model: The model.
        requests: What to answer, with any mixture of settings.
        batch_size: Most prompts in one forward pass; 0 chooses by their length.
        done: Called with place and outcome of each request as soon as it is finished, in any order.

    Returns:
        A generation per request, in their order, or the error that stands for it.
    """
    outcomes: dict[int, Outcome] = {}

    def settle(index: int, outcome: Outcome) -> None:
        outcomes[index] = outcome
        if done is not None:
            done(index, outcome)

    with own_settings_aside(model):
        for indices in by_settings(requests):
            answer({index: requests[index] for index in indices}, model, batch_size, settle)
    return [outcomes[index] for index in range(len(requests))]


def by_settings(requests: Sequence[Request]) -> Iterable[list[int]]:
    """Places of the requests, those with equal settings together."""
    found: dict[str, list[int]] = {}
    for index, request in enumerate(requests):
        key = json.dumps(dict(request.gen_config), sort_keys=True, default=repr)
        found.setdefault(key, []).append(index)
    return found.values()


def answer(
    requests: Mapping[int, Request], model: LocalModel, batch_size: int, settle: Callable[[int, Outcome], None]
) -> None:
    """Answer requests that share their settings."""
    gen_config = next(iter(requests.values())).gen_config
    try:
        with quiet():
            config = configuration(gen_config)
    except GenerationError as error:
        for index in requests:
            settle(index, GenerationError(f"model {model.name!r}: {error}"))
        return
    prompts: dict[int, list[int]] = {}
    for index, request in requests.items():
        tokens = encoded(model, request.prompt)
        if isinstance(tokens, GenerationError):
            settle(index, tokens)
        else:
            prompts[index] = tokens
    seeds = {index: request.seed for index, request in requests.items()}
    work = Work(model, gen_config, config, prompts, seeds, settle)
    together = [index for index in prompts if can_share(work, index)]
    answer_together(work, together, batch_size)
    for index in prompts.keys() - set(together):
        settle(index, answer_alone(work, index))


def encoded(model: LocalModel, prompt: str) -> list[int] | GenerationError:
    """Token ids of a prompt, or why it cannot be asked."""
    try:
        with quiet():
            tokens = model.encode(prompt)
    except Exception as error:  # a tokenizer's, or a chat template's
        return GenerationError(f"model {model.name!r}: the prompt cannot be made into tokens: {reason(error)}")
    fault = fault_of(model, tokens)
    return GenerationError(fault) if fault else tokens


def can_share(work: Work, index: int) -> bool:
    """Whether a prompt's output stays the same in a batch with others."""
    fits = room(work.model, len(work.prompts[index])) >= (work.config.max_new_tokens or 0)
    return fits and work.model.is_batchable and rows_are_independent(work.gen_config, work.model)


def answer_together(work: Work, indices: Sequence[int], batch_size: int) -> None:
    """Answer prompts in batches, longest first; batches that do not fit into memory are halved, and so are the rest."""
    budget = CPU_TOKENS if work.model.device.type == "cpu" else GPU_TOKENS
    lengths = [len(work.prompts[index]) for index in indices]
    tokens = max(lengths, default=1) * batch_size or budget
    waiting = deque([indices[place] for place in batch] for batch in batches(lengths, tokens=tokens, rows=batch_size))
    while waiting:
        batch = waiting.popleft()
        if len(batch) == 1:
            work.settle(batch[0], answer_alone(work, batch[0]))
            continue
        if answer_batch(work, batch):
            continue
        torch.cuda.empty_cache()
        rows = len(batch) // 2
        warnings.warn(
            f"model {work.model.name!r}: out of memory with {len(batch)} prompts at once, going on with {rows}. "
            f"To start so: --llm-batch-size={rows}",
            MemoryWarning,
            stacklevel=2,
        )
        waiting = deque(part for whole in (batch, *waiting) for part in parts(whole, rows))


def answer_batch(work: Work, batch: Sequence[int]) -> bool:
    """Answer a batch; False where memory does not suffice for it."""
    try:
        with quiet():
            found = ask(work, [work.prompts[index] for index in batch], work.config)
    except torch.OutOfMemoryError:
        return False
    except Exception:  # whichever row it is: the others are answered alone
        found = None
    for place, index in enumerate(batch):
        sure = found is not None and not found[place].fault and found[place].margin > NOISE
        work.settle(index, generation(work, found[place]) if found and sure else answer_alone(work, index))
    return True


def answer_alone(work: Work, index: int) -> Outcome:
    """Answer one prompt as a user's own call would."""
    name, prompt = work.model.name, work.prompts[index]
    config, cut = within_context(work, len(prompt))
    try:
        with quiet(), seeded(work.model.device, work.seeds[index] if config.do_sample else None):
            found = ask(work, [prompt], config)[0]
        if not found.fault and not (cut and found.stop == "length"):
            return generation(work, found)
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


def within_context(work: Work, length: int) -> tuple[GenerationConfig, str]:
    """Settings under which a prompt's output ends where the positions end, and what to say if it gets there.

    transformers raises in the middle of such an output, unless it ends before by itself, so that is what happens here;
    a search over beams looks ahead, and forced tokens stand at the very end, so for these the limit stays where it is.
    """
    config, left = work.config, room(work.model, length)
    wanted = config.max_new_tokens or (config.max_length or 0) - (1 if work.model.is_encoder_decoder else length)
    if wanted <= left or (config.num_beams or 1) > 1 or config.forced_eos_token_id is not None:
        return config, ""
    shorter = copy.deepcopy(config)
    shorter.max_new_tokens, shorter.max_length = int(left), None
    asked = f"a prompt of {length} tokens and {wanted} new ones"
    return shorter, (
        f"{asked} do not fit into its context of {work.model.context}, and the output has not ended before.\n"
        f"Shorten the prompt or its examples, or set max_new_tokens={int(left)} or less."
    )


def ask(work: Work, prompts: Sequence[Sequence[int]], config: GenerationConfig) -> list[Answer]:
    """One call of transformers for prompts of any length."""
    model = work.model
    ids, mask = left_padded(prompts, pad=0)  # the mask hides it, so any token does
    # generate() gives its tokenizer to no loop but its own, so stop strings go in as what it would make of them.
    config, stops = copy.deepcopy(config), config.stop_strings
    config.stop_strings = None
    found: list[Answer] = model.model.generate(
        torch.tensor(ids, device=model.device),
        attention_mask=torch.tensor(mask, device=model.device),
        generation_config=config,
        custom_generate=record,
        stopping_criteria=[StopStringCriteria(model.tokenizer, stops)] if stops else None,
    )
    return found


def generation(work: Work, found: Answer) -> Generation:
    """An answer as the record that everybody else speaks in."""
    return Generation(
        text=work.model.decode(found.tokens),
        token_ids=found.tokens,
        logprobs=found.logprobs,
        stop=found.stop,
        environment=work.model.environment,
    )
