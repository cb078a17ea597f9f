"""Decoding settings: known keys, allowed values, defaults.

A setting is a keyword of `transformers.GenerationConfig`. The keys are listed here, so that collecting tests does not
import transformers; a key that is not listed is looked up in the installed transformers before it is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeGuard

from pytest_llmcompare.errors import did_you_mean

DEFAULTS: Mapping[str, Any] = MappingProxyType({"do_sample": False, "max_new_tokens": 64})
"""Defaults: greedy, so that a run can be repeated, and short."""

SAMPLING_DEFAULTS: Mapping[str, Any] = MappingProxyType({"temperature": 0.7, "top_k": 50})
"""More defaults if outputs are sampled: those of transformers' pipeline. They are part of the settings' hash, and a
change of transformers' defaults changes nothing here."""


WITHOUT_EFFECT: Mapping[str, Any] = MappingProxyType(
    {
        **dict.fromkeys(("do_sample", "early_stopping", "remove_invalid_values", "renormalize_logits"), False),
        **dict.fromkeys(("low_memory", "token_healing"), False),
        **dict.fromkeys(("min_length", "min_new_tokens", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size"), 0),
        **dict.fromkeys(("epsilon_cutoff", "eta_cutoff", "diversity_penalty", "min_p", "penalty_alpha"), 0.0),
        **dict.fromkeys(("temperature", "top_p", "typical_p", "repetition_penalty", "length_penalty"), 1.0),
        **dict.fromkeys(("encoder_repetition_penalty", "guidance_scale", "top_h"), 1.0),
        **dict.fromkeys(("num_beams", "num_beam_groups", "num_return_sequences"), 1),
        "max_length": 20,
        "top_k": 50,
    }
)
"""Values that equal transformers' own defaults, so that giving them changes nothing."""

OF_SAMPLING = frozenset(
    {"temperature", "top_k", "top_p", "top_h", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff"}
)
"""Settings that matter only where outputs are sampled."""


@dataclass(frozen=True)
class Rule:
    """Allowed values of a setting: in words, and as a check."""

    expected: str
    fits: Callable[[Any], bool]
    fraction: bool = False  # transformers wants a float: it refuses temperature=2


def is_integer(value: object) -> TypeGuard[int]:
    """True for an integer, bool excluded."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_finite_number(value: object) -> bool:
    """True for a finite number, bool excluded."""
    return is_integer(value) or (isinstance(value, float) and math.isfinite(value))


def is_token(value: object) -> bool:
    """True for a token id."""
    return is_integer(value) and value >= 0


def are_tokens(value: object) -> bool:
    """True for a list of at least one token id."""
    return isinstance(value, list) and bool(value) and all(is_token(token) for token in value)


def are_texts(value: object) -> bool:
    """True for a stop string, or a list of at least one."""
    texts = value if isinstance(value, list) else [value]
    return bool(texts) and all(isinstance(text, str) and text for text in texts)


def are_biases(value: object) -> bool:
    """True for what `sequence_bias` takes as JSON: `[[[token, ...], bias], ...]`."""
    pairs = value if isinstance(value, list) else []
    return bool(pairs) and all(
        isinstance(pair, list) and len(pair) == 2 and are_tokens(pair[0]) and is_finite_number(pair[1])
        for pair in pairs
    )


FLAG = Rule("true or false", lambda value: isinstance(value, bool))
FROM_0 = Rule("a whole number from 0", lambda value: is_integer(value) and value >= 0)
FROM_1 = Rule("a whole number from 1", lambda value: is_integer(value) and value >= 1)
NUMBER = Rule("a number", is_finite_number, fraction=True)
ABOVE_0 = Rule("a number above 0", lambda value: is_finite_number(value) and value > 0, fraction=True)
SHARE = Rule("a number from 0 to 1", lambda value: is_finite_number(value) and 0 <= value <= 1, fraction=True)
SHARE_ABOVE_0 = Rule(
    "a number above 0, at most 1", lambda value: is_finite_number(value) and 0 < value <= 1, fraction=True
)
CUTOFF = Rule("a number from 0, below 1", lambda value: is_finite_number(value) and 0 <= value < 1, fraction=True)
TOKEN = Rule("a token id", is_token)
TOKENS = Rule("a list of token ids", are_tokens)
TOKEN_OR_TOKENS = Rule("a token id or a list of them", lambda value: is_token(value) or are_tokens(value))
TEXT = Rule("text", lambda value: isinstance(value, str) and bool(value))
OBJECT = Rule("a JSON object", lambda value: isinstance(value, dict) and is_json(value))

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "bad_words_ids": Rule(
            "a list of lists of token ids",
            lambda value: isinstance(value, list) and bool(value) and all(are_tokens(word) for word in value),
        ),
        "begin_suppress_tokens": TOKENS,
        "bos_token_id": TOKEN,
        "cache_config": OBJECT,
        "cache_implementation": TEXT,
        "decoder_start_token_id": TOKEN,
        "disable_compile": FLAG,
        "do_sample": FLAG,
        "early_stopping": Rule('true, false or "never"', lambda value: isinstance(value, bool) or value == "never"),
        "encoder_no_repeat_ngram_size": FROM_0,
        "encoder_repetition_penalty": ABOVE_0,
        "eos_token_id": TOKEN_OR_TOKENS,
        "epsilon_cutoff": CUTOFF,
        "eta_cutoff": CUTOFF,
        "exponential_decay_length_penalty": Rule(
            "a list of a start (a whole number from 0) and a factor (a number)",
            lambda value: (
                isinstance(value, list) and len(value) == 2 and FROM_0.fits(value[0]) and is_finite_number(value[1])
            ),
        ),
        "forced_bos_token_id": TOKEN,
        "forced_eos_token_id": TOKEN_OR_TOKENS,
        "guidance_scale": ABOVE_0,
        "length_penalty": NUMBER,
        "max_cache_len": FROM_1,
        "max_length": FROM_1,
        "max_new_tokens": FROM_1,
        "min_length": FROM_0,
        "min_new_tokens": FROM_0,
        "min_p": SHARE,
        "no_repeat_ngram_size": FROM_0,
        "num_beams": FROM_1,
        "num_return_sequences": Rule("1: a case has one output", lambda value: is_integer(value) and value == 1),
        "pad_token_id": TOKEN,
        "prefill_chunk_size": FROM_1,
        "remove_invalid_values": FLAG,
        "renormalize_logits": FLAG,
        "repetition_penalty": ABOVE_0,
        "sequence_bias": Rule("a list of [[token id, ...], bias]", are_biases),
        "stop_strings": Rule("text or a list of texts, none of them empty", are_texts),
        "suppress_tokens": TOKENS,
        "temperature": Rule(f"{ABOVE_0.expected} (greedy decoding is do_sample: false)", ABOVE_0.fits, fraction=True),
        "top_h": SHARE_ABOVE_0,
        "top_k": Rule(f"{FROM_0.expected} (0 switches it off)", FROM_0.fits),
        "top_p": SHARE,
        "typical_p": SHARE_ABOVE_0,
        "use_cache": FLAG,
        "watermarking_config": OBJECT,
    }
)

KNOWN_KEYS = frozenset(RULES)
"""Attributes of `transformers.GenerationConfig` that can change or stop a text."""


def _refused(reason: str, *keys: str) -> dict[str, str]:
    return dict.fromkeys(keys, reason)


REFUSED: Mapping[str, str] = MappingProxyType(
    {
        **_refused(
            "it adds tensors to what generate() returns, and a comparison looks at the text. Leave it out",
            "output_attentions", "output_hidden_states", "output_logits", "output_scores", "return_dict_in_generate",
        ),
        **_refused("it stops by the clock, so a slow machine would seem to drift. Use max_new_tokens", "max_time"),
        **_refused(
            "it belongs to speculative decoding, which changes the speed and not the text. Leave it out",
            "assistant_confidence_threshold", "assistant_early_exit", "assistant_ensemble_weight",
            "assistant_lookbehind", "assistant_model", "is_assistant", "max_matching_ngram_size",
            "num_assistant_tokens", "num_assistant_tokens_schedule", "prompt_lookup_num_tokens", "speculation_type",
            "target_lookbehind", "use_mtp",
        ),
        **_refused(
            "transformers 5 gets this way of decoding as code from the hub, which is not run here. Leave it out",
            "constraints", "custom_generate", "diversity_penalty", "dola_layers", "force_words_ids", "low_memory",
            "num_beam_groups", "penalty_alpha", "trust_remote_code",
        ),
        **_refused(
            "it takes a Python object, which neither a table nor a baseline can hold. Leave it out",
            "compile_config", "continuous_batching_config", "logits_processor", "negative_prompt_attention_mask",
            "negative_prompt_ids", "prefix_allowed_tokens_fn", "stopping_criteria", "streamer", "synced_gpus",
        ),
        **_refused(
            "it records where a configuration came from and has no effect. Leave it out",
            "_from_model_config", "transformers_version",
        ),
        **_refused("it changes the prompt that was asked. Leave it out", "token_healing"),
        **_refused("the output never holds the prompt. Leave it out", "return_full_text"),
        **_refused("the seed belongs to the marker: llm_prompts(..., seed=1)", "seed"),
    }
)  # fmt: skip
"""Keys of `generate` or a pipeline that make no sense here, each with the reason and what to do."""

OF_THE_TEXT = frozenset(RULES) - {
    "cache_config", "cache_implementation", "disable_compile", "max_cache_len", "prefill_chunk_size", "use_cache",
} | {
    "constraints", "diversity_penalty", "dola_layers", "force_words_ids", "low_memory", "max_time",
    "num_beam_groups", "penalty_alpha", "token_healing",
}  # fmt: skip
"""Settings of a checkpoint that change which text `generate` gives."""


def unused(own: Mapping[str, Any], in_force: Iterable[Mapping[str, Any]], stated: Collection[str]) -> dict[str, Any]:
    """Settings of a checkpoint that don't count, because those of the cases hold instead.

    Args:
        own: Settings in the checkpoint's generation_config.json, without those that do count.
        in_force: Settings of the cases.
        stated: Names of the settings that the user gave for all cases; these are not reported.
    """
    sampled = any(config.get("do_sample") for config in in_force)
    lengths = {"max_length", "max_new_tokens"}
    known = {*stated, *(lengths if lengths & set(stated) else ())}
    if not sampled and "do_sample" in stated:
        known |= OF_SAMPLING
    usual = {**WITHOUT_EFFECT, **(SAMPLING_DEFAULTS if sampled else {})}
    return {
        name: value
        for name, value in sorted(own.items())
        if name in OF_THE_TEXT and name not in known and value is not None and value != usual.get(name)
    }


def complete(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Merge layers of settings, the later over the earlier, over `DEFAULTS`.

    A value of None unsets what an earlier layer set. `max_length` replaces the default of `max_new_tokens`; if both are
    given both are kept, and transformers follows `max_new_tokens`.

    Returns:
        The settings in force, sorted by key; integers become floats if transformers wants floats, so that `1` and
        `1.0` are the same settings.
    """
    merged = {key: value for layer in layers for key, value in layer.items()}
    given = {key: value for key, value in merged.items() if value is not None}
    in_force = {**DEFAULTS, **(SAMPLING_DEFAULTS if given.get("do_sample") else {}), **given}
    if "max_length" in given and "max_new_tokens" not in given:
        del in_force["max_new_tokens"]
    return {
        key: float(value) if is_integer(value) and key in RULES and RULES[key].fraction else value
        for key, value in sorted(in_force.items())
    }


def problems(config: Mapping[str, Any]) -> list[str]:
    """Find faults in decoding settings: unknown keys, values of a wrong type or range.

    Returns:
        One sentence per fault, with the key, the value and what was expected; empty if there is no fault.
    """
    faults = [fault for key, value in config.items() if (fault := problem(key, value))]
    least, most = config.get("min_new_tokens"), config.get("max_new_tokens")
    if not faults and least is not None and most is not None and least > most:
        faults.append(f"min_new_tokens={least} is more than max_new_tokens={most}.")
    return faults


def problem(key: object, value: object) -> str:
    """What is wrong with one setting; empty if nothing is."""
    if not isinstance(key, str):
        return f"unknown decoding setting {key!r}: expected text."
    if key in REFUSED:
        return f"{key} cannot be set: {REFUSED[key]}."
    rule = RULES.get(key)
    if rule is None and not transformers_knows(key):
        return f"unknown decoding setting {key!r}.{did_you_mean(key, KNOWN_KEYS)}"
    if value is None:
        return ""
    if rule is not None:
        return "" if rule.fits(value) else f"{key}={value!r}, expected {rule.expected}."
    return "" if is_json(value) else f"{key}={value!r}, expected JSON: text, number, true, false, list or object."


def transformers_knows(key: str) -> bool:
    """True if the installed transformers has a setting of this name; imports it, so ask for unlisted keys only."""
    try:
        from transformers import GenerationConfig
    except ImportError:
        return False
    return not key.startswith("_") and key in vars(GenerationConfig())  # type: ignore[no-untyped-call]


def is_json(value: object) -> bool:
    """True for a value that JSON can hold and give back."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and is_json(part) for key, part in value.items())
    if isinstance(value, list):
        return all(is_json(part) for part in value)
    return value is None or isinstance(value, (str, bool)) or is_finite_number(value)
