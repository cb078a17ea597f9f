"""Whether shortcuts are sound for a model: each is tried once per loaded model, on a short text, before it is taken.

What a shortcut gives is compared with plain `generate` of one prompt: the log-probs of the likeliest tokens, at each of
a few forced tokens. So a shortcut is refused to any architecture, and to a checkpoint's own code, that it is not sound
for: one that looks ahead, whose positions move with padding, or that sees its neighbours in a batch.

    prompts    [p0 p1 ... p7]  and  [p0 p1 ... p7 ... p13], then tokens f0, f1, f2 whatever the model says
    in one pass       each prompt with f0 f1 f2 behind it, padded on the right
    with padding      both prompts in one batch, padded on the left
    at equal length   the first prompt beside another of 8 tokens
    with a prefix     p0 ... p5 as a lent KV cache, then as above
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessorList, MaxLengthCriteria, StoppingCriteriaList

from pytest_llmcompare.comparison.noise import PRECISIONS, unsure
from pytest_llmcompare.compat import sampling_loop
from pytest_llmcompare.models.faults import reason
from pytest_llmcompare.models.local import LENGTH_DEPENDENT, LocalModel, quiet

from . import caution
from .capacity import expert_capacity
from .failures import Failure, is_out_of_memory, report
from .model_call import call
from .prefix_cache import Prefix, computed
from .sampling import seeded
from .verify import Reading, scores_of

log = logging.getLogger(__name__)
LENGTHS = (8, 14)
"""Tokens of the two prompts; the shorter is how the longer begins."""
SHARED = 6
STEPS = 3
"""Tokens that are forced after each prompt."""
LIKELIEST = 8
"""So many of the likeliest tokens are compared."""

READ_AT_ONCE = "the model's scores in one pass are not those of writing token by token"
WITH_PADDING = "padding before a prompt changes the model's scores"
AT_EQUAL_LENGTH = "other prompts in a batch change the model's scores"
WITH_PREFIX = "the model's scores after a KV cache of shared tokens are not those of reading them again"
CROWDED = "its experts have places for a limited number of tokens ({limit}), which tokens in one pass compete for"

_limits: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
_known: WeakKeyDictionary[Any, dict[str, str]] = WeakKeyDictionary()
_plain: WeakKeyDictionary[Any, dict[int, Tensor]] = WeakKeyDictionary()


def why_rounding_differs(model: LocalModel) -> str:
    """Why a pass over many tokens may choose another token than one at a time; empty where only noise could."""
    if model.model.dtype not in (torch.float32, torch.float64):
        precision = str(model.model.dtype).removeprefix("torch.")
        return f"in {precision} one pass over many tokens rounds in another way than one token at a time"
    if torch.get_float32_matmul_precision() != "highest":
        return "torch is told to multiply float32 in a lower precision"
    return ""


def why_not_in_one_pass(model: LocalModel) -> str:
    """Why one pass over a text is not what this model does token by token; empty where it is, up to rounding."""
    config = model.model.config.get_text_config(decoder=True)
    if any(kind in str(getattr(config, "rope_parameters", None)) for kind in LENGTH_DEPENDENT):
        return "the model's positions depend on the length of the text"
    return why_crowded(model) or known(model, READ_AT_ONCE, lambda: is_read_alike(model, None))


def why_no_padding(model: LocalModel) -> str:
    """Why prompts of different lengths don't share a batch; empty where they can."""
    return why_crowded(model) or known(model, WITH_PADDING, lambda: is_padded_alike(model))


def why_no_batches(model: LocalModel) -> str:
    """Why no prompts share a batch, not even those of one length; empty where they can."""
    if not why_no_padding(model):
        return ""
    return why_crowded(model) or known(model, AT_EQUAL_LENGTH, lambda: is_alike_beside_another(model))


def why_no_prefix(model: LocalModel, *, to_go_on: bool) -> str:
    """Why the KV cache of a shared prefix is of no use; empty where it is.

    Args:
        model: The model.
        to_go_on: Whether outputs are written after it, and not only read.
    """
    if crowded := why_crowded(model):
        return crowded
    if to_go_on:
        return known(model, f"{WITH_PREFIX}, in writing", lambda: is_padded_alike(model, prefix_of(model)))
    return known(model, WITH_PREFIX, lambda: is_read_alike(model, prefix_of(model)))


def why_crowded(model: LocalModel) -> str:
    """Why no tokens may share a pass that don't in plain `generate`; empty if they may."""
    if model.model not in _limits:
        _limits[model.model] = expert_capacity(model.model)
    limit = _limits[model.model]
    return CROWDED.format(limit=limit) if limit else ""


def known(model: LocalModel, fault: str, is_sound: Callable[[], bool]) -> str:
    """Why a shortcut isn't taken, found out once per model; empty if it is sound."""
    answers = _known.setdefault(model.model, {})
    if fault not in answers:
        try:
            with quiet(), seeded(model.device, 0):
                answers[fault] = "" if is_sound() else fault
        except Exception as error:
            if is_out_of_memory(error):
                return "memory did not suffice to try it"
            answers[fault] = f"the model could not be tried ({reason(error)})"
            if can_be_asked(model):
                report(model, Failure("trying a shortcut", error, log))
    return answers[fault]


def can_be_asked(model: LocalModel) -> bool:
    """Whether the model answers such a prompt in the plain way; if not, that's for the plain way to report."""
    config = GenerationConfig(max_new_tokens=STEPS, do_sample=False)  # type: ignore[no-untyped-call]
    try:
        with quiet(), seeded(model.device, 0):
            call(model, [text(model, LENGTHS[0])], config)
    except Exception:  # the model's own, of any kind
        return False
    return True


def text(model: LocalModel, length: int) -> list[int]:
    """A prompt of so many tokens."""
    return [(37 * at + 11) % model.vocabulary for at in range(length)]


def forced(model: LocalModel) -> list[int]:
    """The tokens that follow each prompt; a padding token among them is a token like any other.

    It stands in no prompt, because it blinds XLM, whose scores then are the same whatever else is there.
    """
    pad = model.model.config.get_text_config(decoder=True).pad_token_id
    padding = pad if isinstance(pad, int) and 0 <= pad < model.vocabulary else 0
    return [5 % model.vocabulary, padding, 3 % model.vocabulary]


def written(model: LocalModel, prompts: Sequence[Sequence[int]], prefix: Prefix | None = None) -> Tensor:
    """Log-probs [rows, steps, vocab] where plain `generate` writes the forced tokens after prompts."""
    config = GenerationConfig(max_new_tokens=STEPS, do_sample=False)  # type: ignore[no-untyped-call]
    steps: list[Tensor] = []

    def force(input_ids: Tensor, scores: Tensor) -> Tensor:  # noqa: ARG001 - transformers passes both
        steps.append(scores)
        chosen = torch.full_like(scores, float("-inf"))
        chosen[:, forced(model)[len(steps) - 1]] = 0
        return chosen

    def write(inner: Any, input_ids: Tensor, **prepared: Any) -> None:
        prepared["logits_processor"] = LogitsProcessorList([force])
        prepared["stopping_criteria"] = StoppingCriteriaList([MaxLengthCriteria(input_ids.shape[1] + STEPS)])
        sampling_loop(inner)(input_ids, **prepared)

    call(model, prompts, config, write, prefix)
    return torch.stack(steps, dim=1)


def read(model: LocalModel, lengths: Sequence[int], prefix: Prefix | None) -> Tensor:
    """Scores [rows, steps, vocab] from one pass over prompts and forced tokens."""
    config = GenerationConfig(max_new_tokens=STEPS, do_sample=False)  # type: ignore[no-untyped-call]
    readings = [Reading(text(model, length), [*forced(model), 1]) for length in lengths]
    found: list[Tensor] = []

    def score(inner: Any, input_ids: Tensor, *_: Any, **kwargs: Any) -> None:  # noqa: ARG001 - transformers passes it
        logits, first = scores_of(model, readings, prefix, input_ids, kwargs)
        found.extend(row[start : start + STEPS] for row, start in zip(logits, first, strict=True))

    call(model, [reading.prompt for reading in readings], config, score)
    return torch.stack(found)


def plain(model: LocalModel, length: int) -> Tensor:
    """Scores [steps, vocab] of one prompt by itself, computed once."""
    found = _plain.setdefault(model.model, {})
    if length not in found:
        found[length] = written(model, [text(model, length)])[0].cpu()
    return found[length]


def prefix_of(model: LocalModel) -> Prefix | None:
    """The beginning of both prompts as a KV cache."""
    return computed(model, text(model, SHARED))


def is_read_alike(model: LocalModel, prefix: Prefix | None) -> bool:
    """Whether one pass gives the scores of plain `generate`, with a longer row beside the prompt."""
    lengths = LENGTHS[:1] if model.is_encoder_decoder else LENGTHS
    return alike(model, read(model, lengths, prefix)[0], plain(model, LENGTHS[0]))


def is_padded_alike(model: LocalModel, prefix: Prefix | None = None) -> bool:
    """Whether each row of a left-padded batch gives the scores of plain `generate`."""
    rows = written(model, [text(model, length) for length in LENGTHS], prefix)
    return all(alike(model, row, plain(model, length)) for row, length in zip(rows, LENGTHS, strict=True))


def is_alike_beside_another(model: LocalModel) -> bool:
    """Whether another prompt of the same length leaves a prompt's scores as they are."""
    one = text(model, LENGTHS[0])
    return alike(model, written(model, [one, one[::-1]])[0], plain(model, LENGTHS[0]))


def alike(model: LocalModel, scores: Tensor, expected: Tensor) -> bool:
    """Whether scores [steps, vocab] are those expected up to noise, where it matters for a choice.

    Scores that are not numbers are for the plain way to report.
    """
    expected, scores = expected.double(), scores.cpu().double()
    top = expected.topk(min(LIKELIEST, expected.shape[-1])).indices
    there, here = (part.log_softmax(-1).gather(-1, top) for part in (expected, scores))
    if not bool(there.isfinite().all()):
        return True
    moved = float((here - there).abs().max())
    scale = float(expected.gather(-1, top).abs().max())
    spread = float((expected.amax(-1) - expected.median(-1).values).max())
    if not moved <= noise(model, scale, spread):
        return False
    caution.note(model.model, moved, scale)
    return True


def noise(model: LocalModel, scale: float, spread: float) -> float:
    """Most that the log-prob (nats) of a token may move although nothing has changed.

    A real difference is as large as the differences between the scores; noise is 10,000 times smaller in float32, in
    coarse formats about a step of the largest score.

    Args:
        model: The model.
        scale: The largest score.
        spread: How far the best score stands out.
    """
    precision = PRECISIONS.get(str(model.model.dtype).removeprefix("torch."))
    if not why_rounding_differs(model) or precision is None:
        return max(unsure(scale), 1e-4 * spread)
    return max(0.25, 2 * precision.step * scale)
