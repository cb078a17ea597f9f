"""Measures how far log-probs of the same tokens move between two readings by the same model."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from pytest_llmcompare.comparison.noise import root_mean_square, uncertainty
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.models.load import LocalModel

from .failures import STRICT, is_out_of_memory
from .float32_reading import LOW
from .generation_config import configuration
from .job import Job
from .read_outputs import read_batch
from .request import Request
from .verify import DraftCheck

log = logging.getLogger(__name__)

MOST_READ = 8
"""Outputs that are read once more; in float32 they show the noise of all others to a factor of two."""
PROCESSED = 1e-2
"""Difference (nats) above which a written log-prob is not that of a reading: logits processors have changed it."""


def reading_noise(model: LocalModel, answered: Sequence[tuple[Request, Generation]]) -> float | None:
    """Read outputs again, one by one and without a shared prefix, and compare.

    In full precision the difference between written and read log-probs counts, too, because a check compares the one
    with the other.

    Args:
        model: The model.
        answered: Requests with their outputs; those without `as_read` are left out.

    Returns:
        Root mean square of the differences over all tokens (nats), the larger of both; None if nothing was read.
    """
    known = [(request, output) for request, output in answered if output.as_read and output.token_ids]
    if not known:
        return None
    known.sort(key=lambda pair: -uncertainty(pair[1].as_read or ()))
    again: list[float] = []
    for request, output in known[:MOST_READ]:
        try:
            again += _squares(output.as_read or (), _read_alone(model, request, output))
        except Exception as error:  # from the model, of any kind
            if os.environ.get(STRICT) and not is_out_of_memory(error):
                raise
            log.warning("model %r: reading outputs again failed", model.name, exc_info=error)
            return None
    written: list[float] = []
    if model.model.dtype not in LOW:
        for _, output in known:
            squares = _squares(output.logprobs or (), output.as_read or ())
            written += squares if all(square <= PROCESSED**2 for square in squares) else []
    return max(root_mean_square(again), root_mean_square(written))


def _read_alone(model: LocalModel, request: Request, output: Generation) -> tuple[float, ...]:
    prompt = model.encode(request.prompt)
    config = configuration(request.gen_config)
    job = Job(model=model, gen_config=request.gen_config, config=config, prompts={0: prompt}, seeds={0: None})
    return read_batch(job, [DraftCheck(prompt, output.token_ids or ())], None)[0]


def _squares(one: Sequence[float], other: Sequence[float]) -> list[float]:
    return [(first - second) ** 2 for first, second in zip(one, other, strict=False)]
