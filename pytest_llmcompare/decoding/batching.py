"""Which prompts go through the model together. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_llmcompare.models.load import LocalModel


def prompt_fault(model: LocalModel, tokens: Sequence[int]) -> str:
    """Why a model can't be asked this; empty if it can.

    Checked before the call, because on a GPU such a fault ends the use of the device for good. Learned positions end at
    the context; computed ones go on, and so does transformers.
    """
    if not tokens:
        return "the prompt gives no tokens, so there is nothing to answer. Give it some text."
    if max(tokens) >= model.vocabulary:
        token = next(token for token in tokens if token >= model.vocabulary)
        return (
            f"the prompt holds token {token} ({model.show(token)!r}), "
            f"but the model embeds {model.vocabulary} tokens, 0 to {model.vocabulary - 1}.\n"
            "Save the model's own tokenizer beside it, or resize its embeddings: "
            "model.resize_token_embeddings(len(tokenizer))"
        )
    if model.context_is_hard and len(tokens) > (model.context or 0):
        return (
            f"the prompt has {len(tokens)} tokens, its context holds {model.context}.\n"
            "Shorten the prompt or its examples."
        )
    return ""


def room_after(model: LocalModel, length: int) -> float:
    """How many tokens may follow a prompt of this length; infinity if positions never end.

    The last token of an output is not fed back, so it needs no position.
    """
    if model.context is None or not model.context_is_hard:
        return float("inf")
    return model.context + 1 - (1 if model.is_encoder_decoder else length)


def batches(lengths: Sequence[int], *, tokens: int, rows: int = 0) -> list[list[int]]:
    """Split prompts into batches of similar length, longest first.

    Longest first shows at once whether memory suffices, and makes an estimate of the time left an upper bound.

    Args:
        lengths: Number of tokens of each prompt.
        tokens: Most tokens of a batch, padding included; a single prompt may be longer.
        rows: Most prompts of a batch; 0 sets no limit.

    Returns:
        Indices into `lengths`, each exactly once.
    """
    result: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        if result and _has_room(result[-1], lengths[result[-1][0]], tokens, rows):
            result[-1].append(index)
        else:
            result.append([index])
    return result


def _has_room(batch: Sequence[int], width: int, tokens: int, rows: int) -> bool:
    return (len(batch) + 1) * width <= tokens and (not rows or len(batch) < rows)


def chunks(batch: Sequence[int], rows: int) -> list[list[int]]:
    """Split a batch into chunks of at most `rows` prompts, in order."""
    return [list(batch[start : start + rows]) for start in range(0, len(batch), rows)]


def left_padded(prompts: Sequence[Sequence[int]], pad: int) -> tuple[list[list[int]], list[list[int]]]:
    """Token ids padded on the left to one length, and the attention mask, both as rows."""
    width = max(len(prompt) for prompt in prompts)
    gaps = [width - len(prompt) for prompt in prompts]
    ids = [[pad] * gap + list(prompt) for prompt, gap in zip(prompts, gaps, strict=True)]
    return ids, [[0] * gap + [1] * (width - gap) for gap in gaps]
