"""What is done to a model or to a run of it: changes that should not matter, and changes that do."""

from __future__ import annotations

import contextlib
import copy
import json
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from subjects import TRAINED, subject
from tokenizers import Tokenizer
from torch import Tensor
from train_models import SHORT, lesson, loss_of, shuffled, windows

from pytest_llmcompare.models.local import LocalModel

LEARNING_RATE = 1e-5
SOME = 6
"""What takes long is tried with a part of the prompts."""

TRAILING_BLANK = "{{ messages[0]['content'] }} "
"""A chat template as it gets into a repository: nobody sees what it does."""


@dataclass(frozen=True)
class Change:
    """One change.

    Attributes:
        name: What it is called.
        real: Whether outputs may be others than before.
        model: Makes the changed model of a model in float32; None leaves it as it is.
        batch_size, shortcuts: As for `engine.generate`.
        around: What surrounds the run, given the model.
        step: Which of the prompts are asked: `prompts[::step]`.
        dtype: Precision to compute in; that of the baseline where it is empty.
        settings: Decoding settings in force besides the usual ones.
        template: Chat template in force.
        declared: Whether the test says so, so that the hash of its settings changes too.
        exact: Whether it is one only where numbers are float32.
    """

    name: str
    real: bool = True
    model: Callable[[LocalModel], LocalModel] | None = None
    batch_size: int = 0
    shortcuts: bool = True
    around: Callable[[LocalModel], AbstractContextManager[None]] = lambda _: nullcontext()
    step: int = 1
    dtype: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    template: str = ""
    declared: bool = False
    exact: bool = False


@contextlib.contextmanager
def two_threads(_: LocalModel) -> Iterator[None]:
    """Twice as many threads as the baseline had."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def eager(model: LocalModel) -> Iterator[None]:
    """The other implementation of attention."""
    before = model.model.config._attn_implementation
    model.model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.model.set_attn_implementation(before)


def weights(edit: Callable[[Tensor], Tensor]) -> Callable[[LocalModel], LocalModel]:
    """A change of every weight matrix by itself."""

    def changed(model: LocalModel) -> LocalModel:
        found = copied(model)
        torch.manual_seed(1)
        with torch.no_grad():
            for parameter in found.model.parameters():
                if parameter.ndim > 1:
                    parameter.copy_(edit(parameter))
        return found

    return changed


def copied(model: LocalModel, dtype: torch.dtype = torch.float32) -> LocalModel:
    """A model of its own."""
    return LocalModel(model.name, copy.deepcopy(model.model).to(dtype), model.tokenizer)


def rounded(dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """Weights as a checkpoint in another format has them."""
    return lambda parameter: parameter.to(dtype).float()


def int8_per_tensor(parameter: Tensor) -> Tensor:
    """255 levels, one scale for the matrix."""
    step = parameter.abs().max() / 127
    return (parameter / step).round() * step


def int4_per_channel(parameter: Tensor) -> Tensor:
    """15 levels, one scale per row."""
    step = parameter.abs().amax(dim=-1, keepdim=True).clamp(min=1e-12) / 7
    return (parameter / step).round() * step


def noisy(size: float) -> Callable[[Tensor], Tensor]:
    """Noise of a share of the weights' own spread."""
    return lambda parameter: parameter + size * parameter.std() * torch.randn_like(parameter)


def one_weight(model: LocalModel) -> LocalModel:
    """One weight in the middle of the network moved by the spread of its matrix."""
    found = copied(model)
    matrices = [parameter for parameter in layers_of(found.model).parameters() if parameter.ndim == 2]
    middle = matrices[len(matrices) // 2]
    with torch.no_grad():
        middle[middle.shape[0] // 2, middle.shape[1] // 2] += middle.std()
    return found


def fine_tuned(steps: int) -> Callable[[LocalModel], LocalModel]:
    """So many steps of training on what the shipped models were trained on."""

    def changed(model: LocalModel) -> LocalModel:
        from corpus import facts

        found = copied(model)
        source = shuffled([lesson(fact, model.tokenizer, ends=False) for fact in facts()], random.Random(1))
        optimizer = torch.optim.AdamW(found.model.parameters(), lr=LEARNING_RATE)
        torch.manual_seed(1)
        for _ in range(steps):
            optimizer.zero_grad()
            loss_of(found.model, windows(source, *SHORT)).backward()
            optimizer.step()
        found.model.eval()
        return found

    return changed


def layers_of(model: Any) -> Any:
    """The stack of layers."""
    return next(part for part in model.modules() if isinstance(part, torch.nn.ModuleList))


def without_last_layer(model: LocalModel) -> LocalModel:
    """A layer dropped, as pruning does."""
    found = copied(model)
    layers = layers_of(found.model)
    del layers[-1]
    found.model.config.num_hidden_layers = len(layers)
    return found


def other_checkpoint(model: LocalModel) -> LocalModel:
    """Another model that was trained for the same."""
    place = TRAINED.index(model.name) if model.name in TRAINED else 1
    return replace(subject(TRAINED[1 - min(place, 1)]), name=model.name)


def fewer_merges(model: LocalModel) -> LocalModel:
    """Another version of the tokenizer, which cuts some words into smaller tokens."""
    settings = json.loads(model.tokenizer.backend_tokenizer.to_str())
    settings["model"]["merges"] = settings["model"]["merges"][:-100]
    tokenizer = copy.deepcopy(model.tokenizer)
    tokenizer._tokenizer = Tokenizer.from_str(json.dumps(settings))
    return LocalModel(model.name, model.model, tokenizer)


HARMLESS = (
    Change("nothing", real=False),
    *(Change(f"batch of {size}", real=False, batch_size=size) for size in (1, 8, 64)),
    Change("plain (no drafts, no shared prefix)", real=False, shortcuts=False),
    *(
        Change(f"plain, batch of {size} (left padding)", real=False, shortcuts=False, batch_size=size)
        for size in (1, 8, 64)
    ),
    Change("2 threads", real=False, around=two_threads, step=SOME),
    Change("plain, 2 threads", real=False, around=two_threads, shortcuts=False, step=SOME),
    Change("eager attention", real=False, around=eager),
    Change("plain, eager attention", real=False, around=eager, shortcuts=False),
    Change("half of the table, reversed", real=False, step=-2),
    *(
        Change(f"computed in {dtype}", real=False, dtype=dtype, exact=True, step=SOME)
        for dtype in ("bfloat16", "float16")
    ),
)
REAL = (
    *(Change(f"weight noise {size:g}", model=weights(noisy(size))) for size in (1e-5, 1e-4, 1e-3, 1e-2)),
    Change("one weight moved", model=one_weight),
    Change("weights rounded to float16", model=weights(rounded(torch.float16)), exact=True),
    Change("weights rounded to bfloat16", model=weights(rounded(torch.bfloat16)), exact=True),
    Change("int8 per tensor", model=weights(int8_per_tensor)),
    Change("int4 per channel", model=weights(int4_per_channel)),
    *(Change(f"{steps} fine-tuning step{'s'[: steps - 1]}", model=fine_tuned(steps)) for steps in (1, 5, 10, 50)),
    Change("last layer dropped", model=without_last_layer),
    Change("another checkpoint", model=other_checkpoint),
    Change("tokenizer with fewer merges", model=fewer_merges),
    Change("blank after the prompt, smuggled", template=TRAILING_BLANK),
    Change("blank after the prompt, declared", template=TRAILING_BLANK, declared=True),
    Change("repetition_penalty=1.02, smuggled", settings={"repetition_penalty": 1.02}),
    Change("repetition_penalty=1.02, declared", settings={"repetition_penalty": 1.02}, declared=True),
)
