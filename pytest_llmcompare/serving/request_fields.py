"""Decoding settings as the fields of a completion request. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_llmcompare.errors import UsageError
from pytest_llmcompare.models.gen_config import DEFAULTS, OF_SAMPLING, WITHOUT_EFFECT

SAME_NAME = ("temperature", "top_p")
FURTHER = ("top_k", "min_p")
"""Settings by a name that is not of OpenAI's API, but of vLLM, SGLang and llama.cpp."""
OTHER_NAME: Mapping[str, str] = {"max_new_tokens": "max_tokens", "stop_strings": "stop"}
KNOWN = frozenset({"do_sample", *SAME_NAME, *FURTHER, *OTHER_NAME})

KEEP_CHOICES = frozenset(
    {
        *("add_special_tokens", "cache_prompt", "cache_salt", "chat_template_kwargs", "id_slot", "ignore_eos"),
        *("include_stop_str_in_output", "metadata", "min_p", "priority", "prompt_cache_key", "request_id"),
        *("safety_identifier", "service_tier", "skip_special_tokens", "spaces_between_special_tokens"),
        *("stop_token_ids", "store", "timings_per_token", "top_k", "top_p", "user"),
    }
)
"""Further fields of a request that leave greedy decoding its most likely token."""
NEUTRAL: Mapping[str, object] = {
    **dict.fromkeys(("frequency_penalty", "presence_penalty", "min_tokens"), 0),
    **dict.fromkeys(("repetition_penalty", "repeat_penalty"), 1),
}
"""Values with which further fields have no effect."""


def keeps_choices(extra_body: Mapping[str, Any]) -> bool:
    """True if the most likely token is the one that greedy decoding takes, whatever further fields are sent.

    Servers show log-probs before penalties, biases and grammars, so with these they do not tell what is chosen.
    """
    return all(name in KEEP_CHOICES or NEUTRAL.get(name, ...) == value for name, value in extra_body.items())


def without_counterpart(gen_config: Mapping[str, Any]) -> list[str]:
    """Names of settings that would change an output and that a server cannot be given, sorted.

    Args:
        gen_config: Complete decoding settings, as returned by `gen_config.complete`.
    """
    ignored = frozenset() if gen_config.get("do_sample") else OF_SAMPLING
    return sorted(
        name
        for name, value in gen_config.items()
        if name not in KNOWN | ignored and value is not None and not _has_no_effect(name, value)
    )


def _has_no_effect(name: str, value: object) -> bool:
    return name != "max_length" and name in WITHOUT_EFFECT and WITHOUT_EFFECT[name] == value


def check_settings(name: str, gen_config: Mapping[str, Any]) -> None:
    """Check that a server can follow decoding settings; most servers ignore in silence what they do not know.

    Raises:
        UsageError: It can't follow some of them.
    """
    if names := without_counterpart(gen_config):
        raise UsageError(
            f"model {name!r}: {', '.join(names)} cannot be asked of a served model. Leave it out, or give what the "
            "server takes in its place by extra_body in the model's table."
        )


def request_fields(gen_config: Mapping[str, Any], seed: int | None) -> dict[str, Any]:
    """Fields of a request; `temperature` and `max_tokens` are always among them, because servers sample by default.

    Args:
        gen_config: Complete decoding settings without any of `without_counterpart`.
        seed: Seed for sampling; None leaves it to the server.
    """
    fields: dict[str, Any] = {"max_tokens": gen_config.get("max_new_tokens", DEFAULTS["max_new_tokens"])}
    if stop := gen_config.get("stop_strings"):
        fields["stop"] = [stop] if isinstance(stop, str) else list(stop)
    if not gen_config.get("do_sample"):
        return {**fields, "temperature": 0.0}
    fields["temperature"] = gen_config.get("temperature", 1.0)
    fields.update({name: gen_config[name] for name in (*SAME_NAME, *FURTHER) if gen_config.get(name) is not None})
    return fields if seed is None else {**fields, "seed": seed}
