"""Whether one pass over a text gives what writing it token by token gives: tried once per model, on a short text."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import torch
from transformers import GenerationConfig

from pytest_llmcompare.models.local import LENGTH_DEPENDENT, LocalModel, quiet

from .calls import call
from .recording import Answer
from .verifying import Reading, verifier

CLOSE = 1e-4
"""Most that a log-probability (nats) may differ between the two ways; one in a thousand of a wrong answer's."""

COARSE = 0.25
"""The same where rounding is coarse: half of what bfloat16 was seen to move a token by."""

_known: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


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
    if model.model not in _known:
        found = tried(model)
        if found is None:
            return "the model could not be tried"
        _known[model.model] = found
    return _known[model.model]


def tried(model: LocalModel) -> str | None:
    """Try it: a text that the model writes, with other tokens behind it, beside a longer text; None where that failed.

    The tokens behind it show a model that looks ahead, the longer text one that looks at padding.
    """
    prompts = [[(37 * at + 11) % model.vocabulary for at in range(length)] for length in (8, 14)]
    config = GenerationConfig(max_new_tokens=2, do_sample=False)  # type: ignore[no-untyped-call]
    try:
        with quiet():
            written: Answer = call(model, prompts[:1], config)[0]
            behind = [5 % model.vocabulary, 3 % model.vocabulary]
            readings = [Reading(prompt, [*written.tokens, *behind]) for prompt in prompts]
            if model.is_encoder_decoder:
                del readings[1:]
            call(model, prompts[: len(readings)], config, verifier(model, readings, None))
    except Exception:  # whatever this model cannot do, it is asked plainly
        return None
    read = readings[0].along
    pairs = zip(read.logprobs, written.logprobs or (), strict=False)
    close = COARSE if why_rounding_differs(model) else CLOSE
    same = bool(read.logprobs) and all(abs(one - other) <= close for one, other in pairs)
    return "" if same else "the model's scores in one pass are not those of writing token by token"
