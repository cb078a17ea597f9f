"""Settings of a checkpoint that do not count: which of them are named to the user."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import GenerationConfig

from pytest_llmcompare.models.gen_config import KNOWN_KEYS, OF_THE_TEXT, complete, unused

GREEDY: dict[str, Any] = complete()
SAMPLED: dict[str, Any] = complete({"do_sample": True})


@pytest.mark.parametrize(
    ("own", "in_force", "stated", "named"),
    [
        ({}, GREEDY, (), ()),
        ({"repetition_penalty": 1.8}, GREEDY, (), ("repetition_penalty",)),
        ({"repetition_penalty": 1.8}, GREEDY, ("repetition_penalty",), ()),
        (
            {"repetition_penalty": 1.0, "num_beams": 1, "do_sample": False, "top_k": 50, "max_length": 20},
            GREEDY,
            (),
            (),
        ),
        ({"no_repeat_ngram_size": 3, "num_beams": 4}, GREEDY, ("num_beams",), ("no_repeat_ngram_size",)),
        ({"do_sample": True, "temperature": 0.6}, GREEDY, (), ("do_sample", "temperature")),
        ({"do_sample": True, "temperature": 0.6, "top_p": 0.9}, GREEDY, ("do_sample",), ()),
        ({"temperature": 0.6, "top_k": 20}, SAMPLED, ("do_sample", "top_k"), ("temperature",)),
        ({"temperature": 1.0}, SAMPLED, ("do_sample",), ("temperature",)),
        ({"temperature": 0.7, "top_k": 50}, SAMPLED, ("do_sample",), ()),
        ({"max_length": 142}, GREEDY, (), ("max_length",)),
        ({"max_length": 142, "max_new_tokens": 9}, GREEDY, ("max_new_tokens",), ()),
        ({"use_cache": False, "cache_implementation": "static", "transformers_version": "5"}, GREEDY, (), ()),
        ({"guidance_scale": 1.5, "min_length": 5, "sequence_bias": [[[1], 2.0]]}, GREEDY, (), None),
        ({"max_time": 3.0, "stop_strings": ["x"], "penalty_alpha": 0.6}, GREEDY, (), None),
    ],
)
def test_what_does_not_count(
    own: dict[str, Any], in_force: dict[str, Any], stated: tuple[str, ...], named: tuple[str, ...] | None
) -> None:
    """What changes the text of plain `generate`, and what the user did not decide."""
    assert tuple(unused(own, [in_force], stated)) == (tuple(sorted(own)) if named is None else named)


def test_defaults_of_transformers_say_nothing() -> None:
    """A checkpoint that writes out the defaults is as one that says nothing."""
    defaults = GenerationConfig._get_default_generation_params()
    assert unused(defaults, [GREEDY], ()) == {}
    assert unused(GenerationConfig().to_dict(), [GREEDY], ()) == {}  # type: ignore[no-untyped-call]


def test_settings_of_the_text_are_known() -> None:
    """Each is one that can be given, or one that transformers takes besides."""
    assert {
        *("constraints", "diversity_penalty", "dola_layers", "force_words_ids", "low_memory", "max_time"),
        *("num_beam_groups", "penalty_alpha", "token_healing"),
    } == OF_THE_TEXT - KNOWN_KEYS
