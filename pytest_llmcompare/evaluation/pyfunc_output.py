"""Reads what a pyfunc's `predict` returned: one text per row, or an error in its place. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pytest_llmcompare.errors import GenerationError
from pytest_llmcompare.suite.raw_rows import is_frame, plain_value, shown_value

TEXT_KEYS = ("generated_text", "output_text", "text", "output", "outputs", "prediction", "predictions", "answer")
"""Keys or columns that may hold the text, in order of preference, in a dict or DataFrame with several."""

ONE_EACH = "Let its predict return one text per row, in the order of the rows."


class WrongCountError(GenerationError):
    """A model returned more or fewer outputs than prompts, so that none can be assigned to its prompt."""


def texts_of(output: object, count: int) -> list[str | GenerationError]:
    """One text per prompt, or an error in its place.

    Args:
        output: What `predict` returned: a list, array, Series, DataFrame or dict of columns; each item a text, a dict
            or list that holds one, or what a transformers pipeline returns.
        count: Number of prompts.
    """
    items = items_of(output, count)
    if items is None:
        why = f"the model returned {described(output)}, expected {count} texts.\n{ONE_EACH}"
        return [GenerationError(why) for _ in range(count)]
    if len(items) != count:
        why = (
            f"the model returned {len(items)} of {count} outputs, so outputs cannot be assigned to prompts.\n{ONE_EACH}"
        )
        return [WrongCountError(why) for _ in range(count)]
    return [text_of(item) for item in items]


def items_of(output: Any, count: int) -> list[Any] | None:
    """The items of an output, usually one per prompt; None if it has no items."""
    if is_frame(output):
        return items_of({str(name): output[name].tolist() for name in output.columns}, count)
    if isinstance(output, Mapping):
        lists = {str(name): plain_value(part) for name, part in output.items() if isinstance(plain_value(part), list)}
        column = only_key(lists)
        return lists[column] if column else [output] if count == 1 else None
    items = plain_value(list(output)) if isinstance(output, (tuple, Iterator)) else plain_value(output)
    if isinstance(items, str) and count == 1:
        return [items]
    return items if isinstance(items, list) else None


def only_key(named: Mapping[str, Any]) -> str:
    """The key that holds the text: the only key, or the first of `TEXT_KEYS`; empty if there is none."""
    if len(named) == 1:
        return next(iter(named))
    return next((key for key in TEXT_KEYS if key in named), "")


def text_of(item: Any) -> str | GenerationError:
    """The text of one item."""
    inner = item
    while isinstance(inner, (list, Mapping)) and inner:
        if isinstance(inner, list):
            # A list is the single answer of a pipeline, or a conversation that ends with the answer.
            if len(inner) > 1 and not (isinstance(inner[-1], Mapping) and "content" in inner[-1]):
                break
            inner = inner[-1]
        elif "content" in inner and "role" in inner:
            inner = inner["content"]
        elif "choices" in inner or "message" in inner:  # a chat completion, as of MLflow's task llm/v1/chat
            inner = inner["choices" if "choices" in inner else "message"]
        elif key := only_key(inner):
            inner = inner[key]
        else:
            break
    if isinstance(inner, str):
        return str(inner)
    return GenerationError(f"the model returned {described(item)} for this prompt, expected text.")


def described(value: object) -> str:
    """A value of an unexpected kind, shortened, with its type."""
    return "None" if plain_value(value) is None else f"{shown_value(value)} ({type(value).__name__})"
