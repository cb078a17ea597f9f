"""Whether a prompt fits a model: its tokens, its length, the room that is left for an output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_llmcompare.models.local import LocalModel


def fault_of(model: LocalModel, tokens: Sequence[int]) -> str:
    """Why a model cannot be asked this, told before it is tried: a GPU is of no use after such a fault.

    Positions that are computed go on beyond the context, and so does transformers; learned ones end there.

    Returns:
        The message, empty where all is well.
    """
    if not tokens:
        return f"model {model.name!r}: the prompt gives no tokens, so there is nothing to answer. Give it some text."
    if max(tokens) >= model.vocabulary:
        token = next(token for token in tokens if token >= model.vocabulary)
        return (
            f"model {model.name!r}: the prompt holds token {token} ({model.show(token)!r}), "
            f"but the model embeds {model.vocabulary} tokens, 0 to {model.vocabulary - 1}.\n"
            "Save the model's own tokenizer beside it, or resize its embeddings: "
            "model.resize_token_embeddings(len(tokenizer))"
        )
    if model.context_is_hard and len(tokens) > (model.context or 0):
        return (
            f"model {model.name!r}: the prompt has {len(tokens)} tokens, its context holds {model.context}.\n"
            "Shorten the prompt or its examples."
        )
    return ""


def room(model: LocalModel, length: int) -> float:
    """How many tokens may follow a prompt of this length; infinity where positions never end.

    The last token of an output is not read again, so it needs no position.
    """
    if model.context is None or not model.context_is_hard:
        return float("inf")
    return model.context + 1 - (1 if model.is_encoder_decoder else length)
