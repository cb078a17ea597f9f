"""Answers requests with a model in memory: each output is what transformers' pipeline gives for that prompt alone.

What saves time is done where neither the model nor the settings can tell: prompts go through the model together, what
they share goes through it once, and an output that is expected is confirmed in one pass. A row in which two tokens came
within numerical noise of each other is asked again alone. A fault of one prompt is that prompt's outcome, and the
others go on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from transformers import GenerationConfig

from pytest_llmcompare.errors import GenerationError
from pytest_llmcompare.models.faults import reason
from pytest_llmcompare.models.local import LocalModel, quiet

from .batching import fault_of
from .drafts import use_drafts
from .failures import EngineWarning, MemoryWarning, ShortcutWarning
from .generate import CPU_TOKENS, answer_open
from .generation_config import configuration, own_settings_aside
from .job import Outcome, Work
from .prefix_cache import Family, Lender, families
from .request import Request

__all__ = ["CPU_TOKENS", "EngineWarning", "MemoryWarning", "Outcome", "ShortcutWarning", "generate"]


def generate(
    model: LocalModel,
    requests: Sequence[Request],
    *,
    batch_size: int = 0,
    shortcuts: bool = True,
    done: Callable[[int, Outcome], None] | None = None,
) -> list[Outcome]:
    """Answer each request as transformers' text-generation pipeline would, called with that one alone.

    `generation_config.py` says which settings hold where a request gives none. A seeded draw equals that of
    `torch.manual_seed(seed); model.generate(...)`, whatever else is asked, and moves no generator of torch. Where a
    batch does not fit into memory, a warning says so and it goes on in halves.

    Args:
        model: The model.
        requests: What to answer, with any mixture of settings.
        batch_size: Most prompts in one forward pass; 0 chooses by their length.
        shortcuts: Whether drafts are used, and first tokens that prompts share read once.
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
        for work in works(model, requests, settle, batch_size, shortcuts):
            use_drafts(work)
            answer_open(work)
    return [outcomes[index] for index in range(len(requests))]


def works(
    model: LocalModel,
    requests: Sequence[Request],
    settle: Callable[[int, Outcome], None],
    batch_size: int,
    shortcuts: bool,
) -> Iterator[Work]:
    """The requests, those with equal settings and the same first tokens together; faulty ones are settled at once."""
    configs: dict[int, GenerationConfig] = {}
    for some in by_settings(dict(enumerate(requests))):
        if config := checked(model, requests, some, settle):
            configs |= dict.fromkeys(some, config)
    prompts: dict[int, list[int]] = {}
    for index in configs:
        tokens = encoded(model, requests[index].prompt)
        if isinstance(tokens, GenerationError):
            settle(index, tokens)
        else:
            prompts[index] = tokens
    lender = Lender(model) if shortcuts else None
    for shared, members in kin(prompts, requests, shortcuts):
        for some in by_settings({index: requests[index] for index in members}):
            drafts = {index: draft for index in some if shortcuts and (draft := requests[index].draft) is not None}
            yield Work(
                model=model,
                gen_config=requests[some[0]].gen_config,
                config=configs[some[0]],
                prompts={index: prompts[index] for index in some},
                seeds={index: requests[index].seed for index in some},
                tell=settle,
                drafts=drafts,
                lender=lender,
                shared=shared,
                batch_size=batch_size,
            )


def kin(
    prompts: Mapping[int, list[int]], requests: Sequence[Request], shortcuts: bool
) -> Iterable[tuple[int, list[int]]]:
    """Prompts with the same first tokens, each time with the number of these; 0 where they share none.

    Draws without a seed follow torch's generator, so these stay in their order.
    """
    ordered = [
        index for index in prompts if requests[index].gen_config.get("do_sample") and requests[index].seed is None
    ]
    places = [index for index in prompts if index not in set(ordered)]
    found = families([prompts[index] for index in places]) if shortcuts else [Family(0, tuple(range(len(places))))]
    for family in found:
        yield family.length, sorted(places[member] for member in family.members)
    yield 0, ordered


def checked(
    model: LocalModel, requests: Sequence[Request], some: Sequence[int], settle: Callable[[int, Outcome], None]
) -> GenerationConfig | None:
    """The settings of some requests as transformers takes them, or None, where that is the outcome of each."""
    try:
        with quiet():
            return configuration(requests[some[0]].gen_config)
    except GenerationError as error:
        for index in some:
            settle(index, GenerationError(f"model {model.name!r}: {error}"))
        return None


def by_settings(requests: Mapping[int, Request]) -> list[list[int]]:
    """Places of the requests, those with equal settings together."""
    found: dict[str, list[int]] = {}
    for index, request in requests.items():
        key = json.dumps(dict(request.gen_config), sort_keys=True, default=repr)
        found.setdefault(key, []).append(index)
    return list(found.values())


def encoded(model: LocalModel, prompt: str) -> list[int] | GenerationError:
    """Token ids of a prompt, or why it cannot be asked."""
    try:
        with quiet():
            tokens = model.encode(prompt)
    except Exception as error:  # a tokenizer's, or a chat template's
        return GenerationError(f"model {model.name!r}: the prompt cannot be made into tokens: {reason(error)}")
    fault = fault_of(model, tokens)
    return GenerationError(fault) if fault else tokens
