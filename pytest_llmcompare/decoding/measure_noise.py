"""Measures how far log-probs of the same tokens move between two readings by the same model."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from pytest_llmcompare.comparison.noise import root_mean_square, uncertainty
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.models.device import dtype_of
from pytest_llmcompare.models.load import LocalModel
from pytest_llmcompare.models.quantization import ACTIVATIONS

from .draft_check import DraftCheck
from .failures import STRICT, is_out_of_memory
from .float32_reading import LOW
from .generation_config import configuration, keeps_scores
from .job import Job
from .read_outputs import read_batch
from .request import Request

log = logging.getLogger(__name__)

MOST_READ = 8
"""Outputs that are read once more; in float32 they show the noise of all others to a factor of two."""
ENOUGH = 16
"""Tokens after which reading again stops, if enough outputs were written token by token, which moves log-probs more.

An output that is read again costs its whole prompt twice, however short it is.
"""
MOVED = 1 / 24
"""Share of numbers that get a rounding error of one or two steps of their format: together as much as an error of up to
half a step in each of them, whose variance is a twelfth of a step squared."""
PROCESSED = 1e-2
"""Difference (nats) above which a written log-prob is not that of a reading: a processor that no setting declares has
changed it. Those that settings declare may change it by less, top-k of a confident model by 1e-3."""


def measure_noise(model: LocalModel, answered: Sequence[tuple[Request, Generation]]) -> float | None:
    """Read outputs again, one by one and in pairs with rounding errors, without a shared prefix, and compare.

    Rounding errors are added because reading one by one again may repeat to the bit. In full precision the difference
    between written and read log-probs counts, too, because a later check compares the one with the other.

    Args:
        model: The model.
        answered: Requests with their outputs; those without `as_read` are left out.

    Returns:
        Root mean square of the differences over all tokens (nats), the largest of them; None if nothing was read.
    """
    known = [(request, output) for request, output in answered if output.as_read and output.token_ids]
    if not known:
        return None
    known.sort(key=lambda pair: -uncertainty(pair[1].as_read or ()))
    most = known[:MOST_READ]
    plain = [pair for pair in known if _shows_writing(model, *pair)]
    written = _written(plain)
    try:
        shown = written and len(plain) >= len(most) and not model.is_encoder_decoder  # writing encodes as reading does
        again = _read_again(model, most, ENOUGH if shown else math.inf)
    except Exception as error:  # from the model, of any kind
        if os.environ.get(STRICT) and not is_out_of_memory(error):
            raise
        log.warning("model %r: reading outputs again failed", model.name, exc_info=error)
        return None
    return max(again, written)


def _shows_writing(model: LocalModel, request: Request, output: Generation) -> bool:
    """True if an output's log-probs are those of token after token, not of a draft, and no logits processor's."""
    return dtype_of(model.model) not in LOW and output.path is None and keeps_scores(request.gen_config, model)


def _read_again(model: LocalModel, answered: Sequence[tuple[Request, Generation]], enough: float) -> float:
    """Movement (rms, nats) between readings, one by one and rounded otherwise, until so many tokens were read."""
    again: list[float] = []
    rounded: list[float] = []
    for pair in (answered[at : at + 2] for at in range(0, len(answered), 2)):
        alone = [_read(model, [one])[0] for one in pair]
        for (_, output), logprobs in zip(pair, alone, strict=True):
            again += _squares(output.as_read or (), logprobs)
        with rounding_errors(model):
            batches = [[one] for one in pair] if model.is_encoder_decoder else [pair]
            others = [logprobs for batch in batches for logprobs in _read(model, batch)]
        for one, other in zip(alone, others, strict=True):
            rounded += _squares(one, other)
        if len(again) >= enough:
            break
    return max(root_mean_square(again), root_mean_square(rounded))


@contextmanager
def rounding_errors(model: LocalModel) -> Iterator[None]:
    """Round what embeddings and layers give once more, at random, until the block ends.

    Other attention, threads or instructions sum in another order. They move log-probs about as far as one more error
    of the usual size after each layer does, whatever the architecture makes of it. Activations that are quantised are
    left alone: products of whole numbers have no such errors, and one would move some by a whole step of 8 bits.
    """
    if model.quantization.endswith(ACTIVATIONS):
        yield
        return
    generators: dict[torch.device, torch.Generator] = {}

    def rounded(tensor: Tensor) -> Tensor:
        if tensor.dtype not in (torch.float32, torch.float64) or not tensor.numel():
            return tensor
        if tensor.device not in generators:
            generators[tensor.device] = torch.Generator(tensor.device).manual_seed(0)
        result = tensor.clone(memory_format=torch.contiguous_format)
        shape = (max(1, round(tensor.numel() * MOVED)),)
        places = torch.randint(tensor.numel(), shape, generator=generators[tensor.device], device=tensor.device)
        step = torch.finfo(tensor.dtype).eps
        for at, factor in ((places[::2], 1 + step), (places[1::2], 1 - step)):
            result.view(-1)[at] *= factor
        return result

    def after(_: nn.Module, __: Any, output: Any) -> Any:
        if isinstance(output, Tensor):
            return rounded(output)
        if type(output) is tuple and output and isinstance(output[0], Tensor):
            return rounded(output[0]), *output[1:]
        return None

    handles = [part.register_forward_hook(after) for part in _rounding_parts(model.model)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _rounding_parts(model: nn.Module) -> set[nn.Module]:
    """Embeddings, layers and the products in them; not the output layer, whose results are too many to round again."""
    parts = {part for part in model.modules() if isinstance(part, nn.Embedding | nn.Linear | Conv1D)}
    lists = [part for part in model.modules() if isinstance(part, nn.ModuleList)]
    head = getattr(model, "get_output_embeddings", lambda: None)()
    return parts.union(*lists) - {head}


def _written(answered: Sequence[tuple[Request, Generation]]) -> float:
    """Movement (rms, nats) between log-probs as written and as read; `answered` have no logits processors."""
    squares: list[float] = []
    for _, output in answered:
        own = _squares(output.logprobs or (), output.as_read or ())
        squares += own if all(square <= PROCESSED**2 for square in own) else []
    return root_mean_square(squares)


def _read(model: LocalModel, answered: Sequence[tuple[Request, Generation]]) -> list[tuple[float, ...]]:
    """Log-probs of outputs, read together; the settings do not matter."""
    checks = [DraftCheck(model.encode(request.prompt), output.token_ids or ()) for request, output in answered]
    request = answered[0][0]
    prompts, seeds = {at: list(check.prompt) for at, check in enumerate(checks)}, dict.fromkeys(range(len(checks)))
    config = configuration(request.gen_config)
    job = Job(model=model, gen_config=request.gen_config, config=config, prompts=prompts, seeds=seeds)
    return read_batch(job, checks, None)


def _squares(one: Sequence[float], other: Sequence[float]) -> list[float]:
    return [(first - second) ** 2 for first, second in zip(one, other, strict=False)]
