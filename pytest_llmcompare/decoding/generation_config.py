"""Which settings hold when a model generates: the case's own, and from the checkpoint its token ids only.

A setting that a case leaves out has the default of transformers' pipeline and `generate` (so sampling without
`temperature` and `top_k` is done at 0.7 from the 50 likeliest tokens), never the value in the checkpoint's
`generation_config.json`: a comparison of models should not become one of their authors' taste in sampling, and an
output should depend on nothing outside the user's repository. A note names the settings that are left out, once per
model (`left_out_note`).

Settings about *tokens* are part of the model and hold: `eos_token_id`, `pad_token_id`, `decoder_start_token_id`,
`forced_bos_token_id`, ... and the lists of tokens that it must not generate. A missing padding token is the
tokenizer's, as in a pipeline. So an output is that of

    model.generation_config = GenerationConfig(**token_settings(model))
    pipeline("text-generation", model, tokenizer=tokenizer)(
        prompt, return_full_text=False, generation_config=GenerationConfig(**gen_config)
    )

Settings are passed as an object: as a keyword of the pipeline, `max_length` would also cut the end off the prompt.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from transformers import GenerationConfig
from transformers.generation.configuration_utils import GenerationMode

from pytest_llmcompare.errors import GenerationError
from pytest_llmcompare.models.gen_config import (
    OF_SAMPLING,
    SAMPLING_DEFAULTS,
    WITHOUT_EFFECT,
    problem,
    problems,
    unused,
)
from pytest_llmcompare.models.load import LocalModel
from pytest_llmcompare.text import error_line

TOKEN_LISTS = ("bad_words_ids", "begin_suppress_tokens", "forced_decoder_ids", "suppress_tokens")
MODES = (
    GenerationMode.GREEDY_SEARCH,
    GenerationMode.SAMPLE,
    GenerationMode.BEAM_SEARCH,
    GenerationMode.BEAM_SAMPLE,
)

INDEPENDENT = frozenset(
    {
        "begin_suppress_tokens", "bos_token_id", "disable_compile", "do_sample", "eos_token_id", "max_length",
        "max_new_tokens", "min_new_tokens", "num_beams", "num_return_sequences", "pad_token_id",
        "renormalize_logits", "suppress_tokens", "temperature", "top_k", "top_p", "use_cache",
    }
)  # fmt: skip
"""Settings whose effect on a row of a greedy batch depends neither on the other rows nor on padding before it."""


REPLAYABLE = INDEPENDENT | {
    "bad_words_ids", "encoder_no_repeat_ngram_size", "encoder_repetition_penalty", "epsilon_cutoff", "eta_cutoff",
    "exponential_decay_length_penalty", "forced_bos_token_id", "forced_eos_token_id", "min_length", "min_p",
    "no_repeat_ngram_size", "remove_invalid_values", "repetition_penalty", "sequence_bias", "stop_strings",
    "top_h", "typical_p",
}  # fmt: skip
"""Settings whose effect at a position depends on nothing but the tokens and scores before it."""


SCORES_KEPT = frozenset(
    {
        "cache_config", "cache_implementation", "disable_compile", "length_penalty", "max_cache_len", "max_length",
        "max_new_tokens", "max_time", "prefill_chunk_size", "stop_strings", "use_cache",
    }
)  # fmt: skip
"""Settings without a logits processor, besides token ids."""


def token_settings(model: LocalModel) -> dict[str, Any]:
    """The checkpoint's settings about tokens, as keywords of `GenerationConfig`."""
    own = model.model.generation_config.to_dict()
    settings = {key: value for key, value in own.items() if key.endswith("_token_id") or key in TOKEN_LISTS}
    if settings.get("pad_token_id") is None:
        settings["pad_token_id"] = model.tokenizer.pad_token_id
    return {key: value for key, value in settings.items() if value is not None}


def left_out_note(model: LocalModel, in_force: Sequence[Mapping[str, Any]], stated: Collection[str]) -> str:
    """A note that names the checkpoint's own settings that don't count; empty if none is left out unexpectedly.

    Args:
        model: The model.
        in_force: Settings of the cases.
        stated: Names of the settings that the user gave for all cases.
    """
    own = model.model.generation_config.to_dict()
    tokens = token_settings(model)
    ignored = unused({key: value for key, value in own.items() if key not in tokens}, in_force, stated)
    if not ignored:
        return ""
    values = ", ".join(f"{key}={_shortened(value)}" for key, value in ignored.items())
    return (
        f"model {model.name!r}: settings in its generation_config.json are not used: {values}. To use them, put them "
        "into gen_config, of the test or of the model's table in pyproject.toml"
    )


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


@contextmanager
def own_settings_aside(model: LocalModel) -> Iterator[None]:
    """Reduce the checkpoint's generation config to its token settings until the block ends."""
    own, tokens = model.model.generation_config, token_settings(model)
    model.model.generation_config = GenerationConfig(**tokens)  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        model.model.generation_config = own


def configuration(gen_config: Mapping[str, Any]) -> GenerationConfig:
    """Make a `GenerationConfig` of settings.

    Raises:
        GenerationError: Unknown keys, values that transformers refuses, or a way of decoding that is not supported.
    """
    if faults := problems(gen_config):
        raise GenerationError(f"the decoding settings cannot be used: {' '.join(faults)}")
    try:
        config = GenerationConfig(**with_defaults(gen_config))  # type: ignore[no-untyped-call]
        config.validate()
        mode = config.get_generation_mode()
    except Exception as error:  # transformers' checks raise any kind
        raise GenerationError(
            f"transformers refuses the decoding settings {settings_text(gen_config)}: {error_line(error)}"
        ) from None
    if mode not in MODES:
        known = ", ".join(mode.value for mode in MODES)
        raise GenerationError(
            f"the decoding settings {settings_text(gen_config)} ask for {mode.value}, which is not supported; "
            f"supported are: {known}."
        )
    return config


def with_defaults(gen_config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with the defaults for sampling; None counts as not given."""
    given = {key: value for key, value in gen_config.items() if value is not None}
    return {**SAMPLING_DEFAULTS, **given} if given.get("do_sample") else given


def rows_are_independent(gen_config: Mapping[str, Any], model: LocalModel) -> bool:
    """True if the settings give each row of a padded batch the output that it has alone.

    Sampled rows share one generator, beams and `max_length` count the padding in, and settings that look at the tokens
    before an output (penalties, n-grams, stop strings, banned words) would see padding there.
    """
    in_force = {**token_settings(model), **{key: value for key, value in gen_config.items() if value is not None}}
    greedy = not in_force.get("do_sample") and in_force.get("num_beams", 1) == 1
    token_ids = {key for key in in_force if key.endswith("_token_id") and not key.startswith("forced_")}
    return greedy and "max_new_tokens" in in_force and in_force.keys() - token_ids <= INDEPENDENT


def keeps_scores(gen_config: Mapping[str, Any], model: LocalModel) -> bool:
    """True if tokens are chosen greedily by the model's own scores, which no logits processor changes."""
    in_force = {**token_settings(model), **{key: value for key, value in gen_config.items() if value is not None}}
    if in_force.get("do_sample"):
        return False
    token_ids = {key for key in in_force if key.endswith("_token_id") and not key.startswith("forced_")}
    changing = in_force.keys() - token_ids - SCORES_KEPT - OF_SAMPLING
    return all(key in WITHOUT_EFFECT and in_force[key] == WITHOUT_EFFECT[key] for key in changing)


def why_not_replayed(config: GenerationConfig, gen_config: Mapping[str, Any]) -> str:
    """Why one pass over a draft cannot verify it under these settings; empty if it can."""
    if (config.num_beams or 1) > 1:
        return "a beam search looks at more than one output"
    if (config.num_return_sequences or 1) > 1:
        return "more than one output is asked for"
    if config.use_cache is False:
        return "use_cache=False asks for every token to be read again"
    given = {key for key, value in gen_config.items() if value is not None and not key.endswith("_token_id")}
    if other := sorted(given - REPLAYABLE):
        return f"{', '.join(other)} cannot be reproduced in one pass"
    return ""


def all_settings_text(gen_config: Mapping[str, Any], model: LocalModel) -> str:
    """Settings as text for messages, with those of the checkpoint that may be why they do not work."""
    usual = {"bos_token_id", "decoder_start_token_id", "eos_token_id", "pad_token_id"}
    own = {key: value for key, value in token_settings(model).items() if key not in usual or problem(key, value)}
    text = settings_text(gen_config)
    if not own:
        return text
    return f"{text}, and {', '.join(f'{key}={_shortened(value)}' for key, value in own.items())} of the checkpoint"


def settings_text(gen_config: Mapping[str, Any]) -> str:
    """Settings as text for messages."""
    return ", ".join(f"{key}={value!r}" for key, value in gen_config.items())
