"""Answers requests with a model in memory: each output is what transformers' pipeline gives for that prompt alone.

Time is saved only where no output can change: prompts are batched, tokens that they share are read once, and expected
outputs (drafts) are verified in one pass. A row in which two tokens came within numerical noise of each other is
decoded again by itself. A prompt that fails has an error as its outcome, and the others go on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from itertools import chain

from transformers import GenerationConfig

from pytest_llmcompare.errors import GenerationError, ModelError
from pytest_llmcompare.models.conversation import Prompt
from pytest_llmcompare.models.load import LocalModel, transformers_quiet
from pytest_llmcompare.text import error_line

from .batching import prompt_fault
from .drafts import verify_drafts
from .failures import EngineWarning, MemoryWarning, ShortcutWarning
from .generate import CPU_TOKENS, decode_unanswered
from .generation_config import configuration
from .job import Job
from .prefix_cache import PrefixCache, PrefixGroup, group_by_prefix
from .read_outputs import read_finished
from .request import Finished, Outcome, Request, ignore_seconds

__all__ = ["CPU_TOKENS", "EngineWarning", "MemoryWarning", "Outcome", "ShortcutWarning", "answers", "generate"]


def answers(
    model: LocalModel,
    requests: Sequence[Request],
    *,
    batch_size: int = 0,
    shortcuts: bool = True,
    read: bool = False,
    take_seconds: Callable[[int, float], None] = ignore_seconds,
) -> Generator[Finished]:
    """Answer each request as transformers' text-generation pipeline would, called with that one alone.

    `generation_config.py` says which settings hold if a request leaves some out. A seeded sample equals that of
    `torch.manual_seed(seed); model.generate(...)`, whichever other requests there are, and leaves torch's generators
    alone. A batch that does not fit into memory is halved, with a warning.

    The iterator may be abandoned at any outcome: the model is as before, and what was not yet asked never is.

    Args:
        model: The model.
        requests: What to answer, with any mixture of settings.
        batch_size: Most prompts in one forward pass; 0 chooses by their length.
        shortcuts: Whether to verify drafts, and to read tokens that prompts share once.
        read: Whether outputs are also read along themselves, as a later check will; see `Generation.as_read`.
        take_seconds: Called with a request's index and its share of its batch's seconds, unless its draft is confirmed.

    Yields:
        Index and outcome of each request as soon as it is finished, in any order.
    """
    configs, refused = checked_settings(model, requests)
    yield from refused.items()
    with transformers_quiet():
        prompts, unusable = encoded_prompts(model, {index: requests[index].prompt for index in configs})
    yield from unusable.items()
    prefix_cache = PrefixCache(model) if shortcuts else None
    for shared_length, indices in split_by_prefix(prompts, requests, shortcuts):
        for group in split_by_settings({index: requests[index] for index in indices}):
            job = Job(
                model=model,
                gen_config=requests[group[0]].gen_config,
                config=configs[group[0]],
                prompts={index: prompts[index] for index in group},
                seeds={index: requests[index].seed for index in group},
                drafts=drafts_of(requests, group) if shortcuts else {},
                prefix_cache=prefix_cache,
                shared_length=shared_length,
                batch_size=batch_size,
                take_seconds=take_seconds,
            )
            outcomes = chain(verify_drafts(job), decode_unanswered(job))
            yield from read_finished(job, outcomes) if read else outcomes


def generate(
    model: LocalModel,
    requests: Sequence[Request],
    *,
    batch_size: int = 0,
    shortcuts: bool = True,
    read: bool = False,
) -> list[Outcome]:
    """Answer requests as `answers` does; all outcomes, in the order of the requests."""
    outcomes = dict(answers(model, requests, batch_size=batch_size, shortcuts=shortcuts, read=read))
    return [outcomes[index] for index in range(len(requests))]


def checked_settings(
    model: LocalModel, requests: Sequence[Request]
) -> tuple[dict[int, GenerationConfig], dict[int, GenerationError]]:
    """Settings of the requests as transformers takes them, and the errors of those that it refuses, both by index."""
    configs: dict[int, GenerationConfig] = {}
    refused: dict[int, GenerationError] = {}
    for group in split_by_settings(dict(enumerate(requests))):
        try:
            with transformers_quiet():
                configs |= dict.fromkeys(group, configuration(requests[group[0]].gen_config))
        except GenerationError as error:
            refused |= {index: GenerationError(error.reason, model.name) for index in group}
    return configs, refused


def encoded_prompts(
    model: LocalModel, prompts: Mapping[int, Prompt]
) -> tuple[dict[int, list[int]], dict[int, GenerationError]]:
    """Token ids of prompts, and the errors of those that the model can't be asked, both by index."""
    encoded: dict[int, list[int]] = {}
    unusable: dict[int, GenerationError] = {}
    for index, prompt in prompts.items():
        try:
            tokens = model.encode(prompt)
        except ModelError as error:  # no chat template
            fault = str(error)
        except Exception as error:  # from a tokenizer or a chat template
            fault = f"the prompt cannot be made into tokens: {error_line(error)}"
        else:
            fault = prompt_fault(model, tokens)
        if fault:
            unusable[index] = GenerationError(fault, model.name)
        else:
            encoded[index] = tokens
    return encoded, unusable


def split_by_prefix(
    prompts: Mapping[int, list[int]], requests: Sequence[Request], shortcuts: bool
) -> Iterable[tuple[int, list[int]]]:
    """Groups of prompts that start with the same tokens, as the number of these tokens (0 if none) and indices.

    Samples without a seed follow torch's generator, so their prompts stay in order, in a last group.
    """
    unseeded = [
        index for index in prompts if requests[index].gen_config.get("do_sample") and requests[index].seed is None
    ]
    indices = [index for index in prompts if index not in set(unseeded)]
    groups = [PrefixGroup(0, tuple(range(len(indices))))]
    if shortcuts:
        groups = group_by_prefix([prompts[index] for index in indices])
    for group in groups:
        yield group.length, sorted(indices[member] for member in group.members)
    yield 0, unseeded


def split_by_settings(requests: Mapping[int, Request]) -> list[list[int]]:
    """Indices of the requests, those with equal settings together."""
    groups: dict[str, list[int]] = {}
    for index, request in requests.items():
        key = json.dumps(dict(request.gen_config), sort_keys=True, default=repr)
        groups.setdefault(key, []).append(index)
    return list(groups.values())


def drafts_of(requests: Sequence[Request], indices: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """The drafts of some requests, by index."""
    drafts = {index: requests[index].draft for index in indices}
    return {index: draft for index, draft in drafts.items() if draft is not None}
