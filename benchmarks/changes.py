"""Changes of a model or of a run: harmless ones, and real ones."""

from __future__ import annotations

import contextlib
import copy
import json
import math
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

from pytest_llmcompare.models.load import LocalModel

LEARNING_RATE = 1e-5
TRAILING_BLANK = "{{ messages[0]['content'] }} "
"""A chat template that adds a blank, which is easily overlooked in a review."""


@dataclass(frozen=True)
class Change:
    """One change.

    Attributes:
        name: Its name.
        real: Whether it may change outputs.
        model: Makes the changed model from one in float32; None keeps the model.
        batch_size, shortcuts: As for `engine.generate`.
        around: Context manager for the run, given the model.
        step: Asks the prompts `prompts[::step]`.
        variables: Environment variables of a process of its own in which the model is asked.
        settings: Decoding settings in force besides the usual ones.
        template: Chat template in force.
        declared: Whether the test declares it, so that the hash of its settings changes, too.
        exact: Whether it is a change in float32 only.
        suits: Whether it is a change for a model.
    """

    name: str
    real: bool = True
    model: Callable[[LocalModel], LocalModel] | None = None
    batch_size: int = 0
    shortcuts: bool = True
    around: Callable[[LocalModel], AbstractContextManager[None]] = lambda _: nullcontext()
    step: int = 1
    variables: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    template: str = ""
    declared: bool = False
    exact: bool = False
    suits: Callable[[LocalModel], bool] = lambda _: True


@contextlib.contextmanager
def two_threads(_: LocalModel) -> Iterator[None]:
    """Use twice as many threads as for the baseline."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def eager(model: LocalModel) -> Iterator[None]:
    """Use the other implementation of attention."""
    before = model.model.config._attn_implementation
    model.model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.model.set_attn_implementation(before)


def matmul(precision: str) -> Callable[[LocalModel], AbstractContextManager[None]]:
    """Let matrices in float32 be multiplied in a lower precision, if the processor can."""

    @contextlib.contextmanager
    def lowered(_: LocalModel) -> Iterator[None]:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision(precision)
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)

    return lowered


def weights(edit: Callable[[Tensor], Tensor]) -> Callable[[LocalModel], LocalModel]:
    """Change every weight matrix."""

    def changed(model: LocalModel) -> LocalModel:
        result = copied(model)
        torch.manual_seed(1)
        with torch.no_grad():
            for parameter in result.model.parameters():
                if parameter.ndim > 1:
                    parameter.copy_(edit(parameter))
        return result

    return changed


def copied(model: LocalModel, dtype: torch.dtype = torch.float32) -> LocalModel:
    """Copy a model."""
    return LocalModel(model.name, copy.deepcopy(model.model).to(dtype), model.tokenizer)


def rounded(dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """Round weights to the format of another checkpoint."""
    return lambda parameter: parameter.to(dtype).float()


def int8_per_tensor(parameter: Tensor) -> Tensor:
    """Quantise to 255 levels, with one scale for the matrix."""
    step = parameter.abs().max() / 127
    return (parameter / step).round() * step


def int4_per_channel(parameter: Tensor) -> Tensor:
    """Quantise to 15 levels, with one scale per row."""
    step = parameter.abs().amax(dim=-1, keepdim=True).clamp(min=1e-12) / 7
    return (parameter / step).round() * step


def noisy(size: float) -> Callable[[Tensor], Tensor]:
    """Add noise, as a share of the weights' standard deviation."""
    return lambda parameter: parameter + size * parameter.std() * torch.randn_like(parameter)


def one_weight(model: LocalModel) -> LocalModel:
    """Move one weight in the middle of the network by the standard deviation of its matrix."""
    result = copied(model)
    matrices = [parameter for parameter in layers_of(result.model).parameters() if parameter.ndim == 2]
    middle = matrices[len(matrices) // 2]
    with torch.no_grad():
        middle[middle.shape[0] // 2, middle.shape[1] // 2] += middle.std()
    return result


def one_embedding(model: LocalModel) -> LocalModel:
    """Move the embedding of a token that many prompts have, by a tenth of its spread."""
    result = copied(model)
    table = result.model.get_input_embeddings().weight
    with torch.no_grad():
        row = table[model.encode("Q: What is the")[2]]
        row += 0.1 * row.std() * torch.randn(row.shape, generator=torch.Generator().manual_seed(1))
    return result


def adapted(size: float, rank: int = 4) -> Callable[[LocalModel], LocalModel]:
    """Merge a LoRA adapter into every matrix of the layers, of a size in units of the matrix's spread."""

    def changed(model: LocalModel) -> LocalModel:
        result = copied(model)
        torch.manual_seed(2)
        with torch.no_grad():
            for matrix in [one for one in layers_of(result.model).parameters() if one.ndim == 2]:
                down, up = torch.randn(rank, matrix.shape[1]), torch.randn(matrix.shape[0], rank)
                matrix.add_(size * matrix.std() / rank**0.5 * (up @ down))
        return result

    return changed


def other_epsilon(model: LocalModel) -> LocalModel:
    """Double the constant that norms add to the variance."""
    result = copied(model)
    for part in result.model.modules():
        for name in ("eps", "variance_epsilon"):
            if isinstance(getattr(part, name, None), float):
                setattr(part, name, 2 * getattr(part, name))
    return result


def has_rotary(model: LocalModel) -> bool:
    """Whether positions are rotations."""
    return any("inv_freq" in name for name, _ in model.model.named_buffers())


def other_theta(model: LocalModel) -> LocalModel:
    """Rotate positions by a base of 10,100 where it was 10,000."""
    result = copied(model)
    for name, buffer in result.model.named_buffers():
        if "inv_freq" in name:
            buffer.copy_(buffer ** (math.log(10_100) / math.log(10_000)))
    return result


def fine_tuned(steps: int) -> Callable[[LocalModel], LocalModel]:
    """Train for some steps on the corpus of the shipped models."""

    def changed(model: LocalModel) -> LocalModel:
        from corpus import facts

        result = copied(model)
        source = shuffled([lesson(fact, model.tokenizer, ends=False) for fact in facts()], random.Random(1))
        optimizer = torch.optim.AdamW(result.model.parameters(), lr=LEARNING_RATE)
        torch.manual_seed(1)
        for _ in range(steps):
            optimizer.zero_grad()
            loss_of(result.model, windows(source, *SHORT)).backward()
            optimizer.step()
        result.model.eval()
        return result

    return changed


def layers_of(model: Any) -> Any:
    """The model's layers."""
    return next(part for part in model.modules() if isinstance(part, torch.nn.ModuleList))


def without_last_layer(model: LocalModel) -> LocalModel:
    """Drop the last layer, as pruning does."""
    result = copied(model)
    layers = layers_of(result.model)
    del layers[-1]
    result.model.config.num_hidden_layers = len(layers)
    return result


def other_checkpoint(model: LocalModel) -> LocalModel:
    """Take another model that was trained on the same corpus."""
    place = TRAINED.index(model.name) if model.name in TRAINED else 1
    return replace(subject(TRAINED[1 - min(place, 1)]), name=model.name)


def fewer_merges(model: LocalModel) -> LocalModel:
    """Use a version of the tokenizer that splits some words into smaller tokens."""
    settings = json.loads(model.tokenizer.backend_tokenizer.to_str())
    settings["model"]["merges"] = settings["model"]["merges"][:-100]
    tokenizer = copy.deepcopy(model.tokenizer)
    tokenizer._tokenizer = Tokenizer.from_str(json.dumps(settings))
    return LocalModel(model.name, model.model, tokenizer)


PROCESSORS = {
    "AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "SSE4": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
}
"""Instructions of older processors, as environment variables that keep torch and its libraries from using others."""


def not_eager(model: LocalModel) -> bool:
    """Whether the architecture knows another implementation of attention."""
    return getattr(model.model.config, "_attn_implementation", "eager") != "eager"


HARMLESS = (
    Change("nothing", real=False),
    *(Change(f"batch of {size}", real=False, batch_size=size) for size in (1, 8, 64)),
    Change("plain (no drafts, no shared prefix)", real=False, shortcuts=False),
    Change("plain, batch of 8 (left padding)", real=False, shortcuts=False, batch_size=8),
    Change("2 threads", real=False, around=two_threads),
    Change("eager attention", real=False, around=eager, suits=not_eager),
    Change("plain, eager attention", real=False, around=eager, shortcuts=False, suits=not_eager),
    Change("half of the table, reversed", real=False, step=-2),
    *(Change(f"matmul precision {name}", real=False, around=matmul(name)) for name in ("high", "medium")),
    *(Change(f"instructions of {name} only", real=False, variables=PROCESSORS[name]) for name in PROCESSORS),
)
REAL = (
    *(Change(f"weight noise {size:g}", model=weights(noisy(size))) for size in (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)),
    Change("one weight moved", model=one_weight),
    Change("one embedding", model=one_embedding),
    Change("weights rounded to float16", model=weights(rounded(torch.float16)), exact=True),
    Change("weights rounded to bfloat16", model=weights(rounded(torch.bfloat16)), exact=True),
    Change("int8 per tensor", model=weights(int8_per_tensor)),
    Change("int4 per channel", model=weights(int4_per_channel)),
    *(Change(f"{steps} fine-tuning step{'s'[: steps - 1]}", model=fine_tuned(steps)) for steps in (1, 10)),
    *(Change(f"LoRA of size {size:g} merged", model=adapted(size)) for size in (1e-4, 1e-2)),
    Change("eps of norms doubled", model=other_epsilon),
    Change("RoPE theta 10,100", model=other_theta, suits=has_rotary),
    Change("last layer dropped", model=without_last_layer),
    Change("another checkpoint", model=other_checkpoint),
    Change("tokenizer with fewer merges", model=fewer_merges),
    Change("blank after the prompt, smuggled", template=TRAILING_BLANK),
    Change("blank after the prompt, declared", template=TRAILING_BLANK, declared=True),
    Change("repetition_penalty=1.02, smuggled", settings={"repetition_penalty": 1.02}, exact=True),
    Change("repetition_penalty=1.02, declared", settings={"repetition_penalty": 1.02}, declared=True),
)
