"""Check the values of the marker's keywords; each function raises UsageError and says what was expected. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_llmcompare.errors import UsageError
from pytest_llmcompare.models.gen_config import problems


def checked_config(config: object, where: str) -> dict[str, Any]:
    """Decoding settings, all faults named at once."""
    if not isinstance(config, Mapping):
        raise UsageError(f'llm_prompts: {where}={config!r}, expected decoding settings, e.g. {{"max_new_tokens": 10}}.')
    faults = problems(config)
    if faults:
        raise UsageError("\n".join(f"llm_prompts, {where}: {fault}" for fault in faults))
    return dict(config)


def checked_text(value: object, where: str) -> str:
    """Text, or empty for None."""
    if value is not None and not isinstance(value, str):
        raise UsageError(f"llm_prompts: {where}={value!r} is {type(value).__name__}, expected text.")
    return value or ""


def checked_name(value: object, where: str) -> str:
    """A name with visible characters, or empty for None."""
    name = checked_text(value, where)
    if value is not None and not name.strip():
        raise UsageError(f"llm_prompts: {where}={value!r} is blank, expected a name. Leave it out to have one made.")
    return name


def checked_column(given: Mapping[str, Any], keyword: str) -> str | None:
    """A column's name, or None."""
    return None if given[keyword] is None else checked_text(given[keyword], keyword)


def checked_seed(value: object) -> int:
    """A whole number."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise UsageError(f"llm_prompts: seed={value!r}, expected a whole number.")
    return value


def checked_samples(value: object) -> int:
    """A whole number of 1 or more."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UsageError(f"llm_prompts: samples={value!r}, expected how many outputs to draw, 1 or more.")
    return value


def checked_tolerance(value: object) -> float | None:
    """A margin in nats, or None."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise UsageError(f"llm_prompts: tolerance={value!r}, expected a number of nats, 0 or more, and finite.")
    return float(value)


def checked_models(value: object) -> tuple[str, ...]:
    """Model specs: one text or several."""
    texts = [value] if isinstance(value, str) else value
    if texts is None:
        return ()
    if not isinstance(texts, Sequence) or not texts or not all(isinstance(text, str) for text in texts):
        raise UsageError(f'llm_prompts: models={value!r}, expected model specs, e.g. ["gpt2-large", "distilgpt2"].')
    return tuple(texts)


def checked_metrics(value: object) -> tuple[Any, ...]:
    """MLflow metrics: names or metric objects."""
    metrics = value if isinstance(value, Sequence) and not isinstance(value, str) else [None]
    if not all(isinstance(metric, str) or hasattr(metric, "name") for metric in metrics):
        raise UsageError(f"llm_prompts: metrics={value!r}, expected a list of MLflow metrics or of their names.")
    return tuple(metrics)
