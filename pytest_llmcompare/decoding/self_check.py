"""Whether shortcuts are sound for a model: each is tried once per loaded model, on a short text, before it is taken.

The result of a shortcut is compared with plain `generate` of one prompt: the log-probs of the likeliest tokens, at each
of a few forced tokens. So a shortcut is refused to any architecture, and to a checkpoint's own code, that it is not
sound for: one that looks ahead, whose positions move with padding, or whose rows influence each other.

    prompts           [p0 p1 ... p7]  and  [p0 p1 ... p7 ... p13], then forced tokens f0, f1, f2
    in one pass       each prompt with f0 f1 f2 behind it, padded on the right
    with padding      both prompts in one batch, padded on the left
    at equal length   the first prompt beside another of 8 tokens
    with a prefix     p0 ... p5 as a shared KV cache, then as above
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessorList, MaxLengthCriteria, StoppingCriteriaList

from pytest_llmcompare.comparison.noise import PRECISIONS, unsure
from pytest_llmcompare.compat import sampling_loop
from pytest_llmcompare.models.device import dtype_of, matmul_precision
from pytest_llmcompare.models.load import LENGTH_DEPENDENT, LocalModel, transformers_quiet
from pytest_llmcompare.models.quantization import ACTIVATIONS
from pytest_llmcompare.text import error_line

from . import near_ties
from .draft_check import DraftCheck
from .draft_logits import draft_logits
from .expert_capacity import expert_capacity
from .failures import Failure, is_out_of_memory, report_failure
from .float32_trial import is_read_in_float32, reading
from .model_call import call, seeded
from .prefix_attention import copy_prefixes
from .prefix_cache import SharedPrefix, compute_prefix
from .recorder import ForcedTokens

log = logging.getLogger(__name__)
LENGTHS = (8, 14)
"""Tokens of the two prompts; the shorter is how the longer begins."""
SHARED = 6
STEPS = 3
"""Tokens that are forced after each prompt."""
LIKELIEST = 8
"""How many of the likeliest tokens are compared."""

READ_AT_ONCE = "the model's scores in one pass are not those of writing token by token"
WITH_PADDING = "padding before a prompt changes the model's scores"
AT_EQUAL_LENGTH = "other prompts in a batch change the model's scores"
WITH_PREFIX = "the model's scores after a KV cache of shared tokens are not those of reading them again"
CROWDED = "its experts have places for a limited number of tokens ({limit}), which tokens in one pass compete for"

_capacities: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
_results: WeakKeyDictionary[Any, dict[str, str]] = WeakKeyDictionary()
_plain_scores: WeakKeyDictionary[Any, dict[tuple[int, bool], Tensor]] = WeakKeyDictionary()


def why_rounding_differs(model: LocalModel) -> str:
    """Why one pass may choose another token than writing does; empty if only numerical noise could."""
    if dtype_of(model.model) not in (torch.float32, torch.float64):
        precision = str(dtype_of(model.model)).removeprefix("torch.")
        return f"in {precision} one pass over many tokens rounds in another way than one token at a time"
    if model.quantization.endswith(ACTIVATIONS):
        return "its activations are quantised, so one pass over many tokens rounds in another way"
    if matmul_precision() != "highest":
        return "torch is set to multiply float32 in a lower precision"
    return ""


def why_not_in_one_pass(model: LocalModel, *, after_prefix: bool = False) -> str:
    """Why one pass over a text is not what the model does token by token; empty if it is, up to rounding.

    Texts that are only read after a shared prefix need no trial of their own: `why_no_prefix` has read some like that.
    """
    config = model.model.config.get_text_config(decoder=True)
    if any(kind in str(getattr(config, "rope_parameters", None)) for kind in LENGTH_DEPENDENT):
        return "the model's positions depend on the length of the text"
    crowded = why_crowded(model)
    if crowded or after_prefix:
        return crowded
    return _check(model, READ_AT_ONCE, lambda: _one_pass_is_sound(model, None))


def why_no_padding(model: LocalModel) -> str:
    """Why prompts of different lengths can't share a batch; empty if they can."""
    return why_crowded(model) or _check(model, WITH_PADDING, lambda: _padding_is_sound(model))


def why_no_batches(model: LocalModel) -> str:
    """Why no prompts can share a batch, not even those of one length; empty if they can."""
    if not why_no_padding(model):
        return ""
    return why_crowded(model) or _check(model, AT_EQUAL_LENGTH, lambda: _batches_are_sound(model))


def why_no_prefix(model: LocalModel, *, for_writing: bool) -> str:
    """Why the KV cache of a shared prefix can't be used; empty if it can.

    Args:
        model: The model.
        for_writing: Whether outputs are written after it, and not only verified.
    """
    if crowded := why_crowded(model):
        return crowded
    if for_writing:
        return _check(model, f"{WITH_PREFIX}, in writing", lambda: _padding_is_sound(model, _prefix(model)))
    return _check(model, WITH_PREFIX, lambda: _prefix_is_sound(model))


def why_crowded(model: LocalModel) -> str:
    """Why tokens can't share a pass that don't in plain `generate`; empty if they can."""
    if model.model not in _capacities:
        _capacities[model.model] = expert_capacity(model.model)
    limit = _capacities[model.model]
    return CROWDED.format(limit=limit) if limit else ""


def _check(model: LocalModel, fault: str, is_sound: Callable[[], bool]) -> str:
    """The fault if a shortcut is not sound, found out once per model; empty if it is."""
    results = _results.setdefault(model.model, {})
    if fault not in results:
        try:
            with transformers_quiet(), seeded(model.device, 0):
                results[fault] = "" if is_sound() else fault
        except Exception as error:
            if is_out_of_memory(error):
                return "there was not enough memory to try it"
            results[fault] = f"the model could not be tried ({error_line(error)})"
            if _can_be_asked(model):
                report_failure(model, Failure("trying a shortcut", error, log))
    return results[fault]


def _can_be_asked(model: LocalModel) -> bool:
    """True if the model answers such a prompt plainly; if not, plain decoding reports it."""
    try:
        with transformers_quiet(), seeded(model.device, 0):
            call(model, [_prompt(model, LENGTHS[0])], _greedy_config())
    except Exception:  # from the model, of any kind
        log.debug("model %r cannot be asked plainly", model.name, exc_info=True)
        return False
    return True


def _greedy_config() -> GenerationConfig:
    return GenerationConfig(max_new_tokens=STEPS, do_sample=False)  # type: ignore[no-untyped-call]


def _prompt(model: LocalModel, length: int) -> list[int]:
    return [(37 * at + 11) % model.vocabulary for at in range(length)]


def _forced_tokens(model: LocalModel) -> list[int]:
    """The tokens that follow each prompt, a padding token among them, which here is a token like any other.

    No prompt contains it, because after one XLM gives the same scores for any text.
    """
    pad = model.model.config.get_text_config(decoder=True).pad_token_id
    padding = pad if isinstance(pad, int) and 0 <= pad < model.vocabulary else 0
    return [5 % model.vocabulary, padding, 3 % model.vocabulary]


def _written(model: LocalModel, prompts: Sequence[Sequence[int]], prefix: SharedPrefix | None = None) -> Tensor:
    """Scores [rows, steps, vocab] while plain `generate` writes the forced tokens after prompts."""
    force = ForcedTokens(_forced_tokens(model))

    def write(inner: Any, input_ids: Tensor, **prepared: Any) -> None:
        prepared["logits_processor"] = LogitsProcessorList([force])
        prepared["stopping_criteria"] = StoppingCriteriaList([MaxLengthCriteria(input_ids.shape[1] + STEPS)])
        sampling_loop(inner)(input_ids, **prepared)

    call(model, prompts, _greedy_config(), write, prefix=prefix)
    return torch.stack(force.steps, dim=1)


def _in_one_pass(model: LocalModel, lengths: Sequence[int], prefix: SharedPrefix | None) -> Tensor:
    """Scores [rows, steps, vocab] from one pass over prompts and forced tokens."""
    checks = [DraftCheck(_prompt(model, length), [*_forced_tokens(model), 1]) for length in lengths]
    scores: list[Tensor] = []

    def score(inner: Any, input_ids: Tensor, *_: Any, **kwargs: Any) -> None:  # noqa: ARG001 - transformers passes it
        scores.extend(row[:STEPS] for row in draft_logits(model, checks, prefix, input_ids, kwargs))

    with reading(model):
        call(model, [check.prompt for check in checks], _greedy_config(), score)
    return torch.stack(scores)


def _plain(model: LocalModel, length: int, *, as_read: bool = False) -> Tensor:
    """Scores [steps, vocab] of one prompt by itself, computed once; in float32 if a pass over a text is."""
    known = _plain_scores.setdefault(model.model, {})
    if (length, as_read) not in known:
        with reading(model) if as_read else nullcontext():
            known[length, as_read] = _written(model, [_prompt(model, length)])[0].cpu()
    return known[length, as_read]


def _prefix(model: LocalModel) -> SharedPrefix | None:
    return compute_prefix(model, _prompt(model, SHARED))


def _one_pass_is_sound(model: LocalModel, prefix: SharedPrefix | None) -> bool:
    """True if one pass gives the scores of plain `generate`, with a longer row beside the prompt."""
    lengths = LENGTHS[:1] if model.is_encoder_decoder else LENGTHS
    read = _in_one_pass(model, lengths, prefix)[0]
    return _agree(model, read, _plain(model, LENGTHS[0], as_read=True), as_read=True)


def _prefix_is_sound(model: LocalModel) -> bool:
    """True if one pass after a shared prefix gives the scores of plain `generate`, if need be with a copy for each row.

    Some models change keys or values in an attention of their own (DiffLlama), which has to see those of whole rows.
    """
    prefix = _prefix(model)
    return _one_pass_is_sound(model, prefix) or (copy_prefixes(model) and _one_pass_is_sound(model, prefix))


def _padding_is_sound(model: LocalModel, prefix: SharedPrefix | None = None) -> bool:
    """True if each row of a left-padded batch gives the scores of plain `generate`."""
    rows = _written(model, [_prompt(model, length) for length in LENGTHS], prefix)
    return all(_agree(model, row, _plain(model, length)) for row, length in zip(rows, LENGTHS, strict=True))


def _batches_are_sound(model: LocalModel) -> bool:
    """True if another prompt of the same length leaves a prompt's scores as they are."""
    prompt = _prompt(model, LENGTHS[0])
    return _agree(model, _written(model, [prompt, prompt[::-1]])[0], _plain(model, LENGTHS[0]))


def _agree(model: LocalModel, scores: Tensor, expected: Tensor, *, as_read: bool = False) -> bool:
    """True if scores [steps, vocab] are the expected ones up to noise, for the likeliest tokens.

    NaN scores count as agreeing: plain decoding reports them.
    """
    expected, scores = expected.double(), scores.cpu().double()
    top = expected.topk(min(LIKELIEST, expected.shape[-1])).indices
    expected_logprobs, logprobs = (part.log_softmax(-1).gather(-1, top) for part in (expected, scores))
    if not bool(expected_logprobs.isfinite().all()):
        return True
    moved = float((logprobs - expected_logprobs).abs().max())
    scale = float(expected.gather(-1, top).abs().max())
    spread = float((expected.amax(-1) - expected.median(-1).values).max())
    noise = _noise(model, scale, spread, in_float32=as_read and is_read_in_float32(model))
    if not moved <= noise:  # NaN is never noise
        return False
    near_ties.note_noise(model.model, moved, scale)
    return True


def _noise(model: LocalModel, scale: float, spread: float, *, in_float32: bool) -> float:
    """Most that the log-prob (nats) of a token may move although nothing has changed.

    A real difference is as large as the differences between the scores; noise is 10,000 times smaller in float32, in
    coarse formats about a step of the largest score.

    Args:
        model: The model.
        scale: The largest score.
        spread: By how much the best score exceeds the others.
        in_float32: Whether the scores of a low-precision checkpoint were read in float32.
    """
    precision = PRECISIONS.get(str(dtype_of(model.model)).removeprefix("torch."))
    if in_float32 or not why_rounding_differs(model) or precision is None:
        return max(unsure(scale), 1e-4 * spread)
    return max(0.25, 2 * precision.step * scale)
