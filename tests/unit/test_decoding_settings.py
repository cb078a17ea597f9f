"""Decoding settings: how layers are merged, and the text of every refusal."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import pytest
from transformers import GenerationConfig

from pytest_llmcompare.models import gen_config
from pytest_llmcompare.models.gen_config import DEFAULTS, KNOWN_KEYS, REFUSED, RULES, complete, problems


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([], {"do_sample": False, "max_new_tokens": 64}),
        ([{}, {}], {"do_sample": False, "max_new_tokens": 64}),
        ([{"max_new_tokens": 10}], {"do_sample": False, "max_new_tokens": 10}),
        (
            [{"top_k": 5}, {"top_k": 6, "do_sample": True}],
            {"do_sample": True, "max_new_tokens": 64, "temperature": 0.7, "top_k": 6},
        ),
        # max_length stands in for the default, and beside a max_new_tokens that somebody gave
        ([{"max_length": 180}], {"do_sample": False, "max_length": 180}),
        (
            [{"max_length": 180, "max_new_tokens": 10}],
            {"do_sample": False, "max_length": 180, "max_new_tokens": 10},
        ),
        ([{"max_new_tokens": 10}, {"max_length": 9}], {"do_sample": False, "max_length": 9, "max_new_tokens": 10}),
        # None takes back what an earlier layer set
        ([{"top_k": 5}, {"top_k": None}], {"do_sample": False, "max_new_tokens": 64}),
        ([{"do_sample": True}, {"do_sample": None}], {"do_sample": False, "max_new_tokens": 64}),
        ([{"max_new_tokens": 9}, {"max_length": 20, "max_new_tokens": None}], {"do_sample": False, "max_length": 20}),
        ([{"max_length": None}], {"do_sample": False, "max_new_tokens": 64}),
    ],
)
def test_later_layers_win_over_earlier_ones_and_defaults(
    layers: list[dict[str, Any]], expected: dict[str, Any]
) -> None:
    assert complete(*layers) == expected


def test_settings_in_force_are_sorted() -> None:
    assert list(complete({"top_p": 0.5, "num_beams": 2})) == ["do_sample", "max_new_tokens", "num_beams", "top_p"]


def test_whole_numbers_become_floats_where_transformers_wants_floats() -> None:
    """`TemperatureLogitsWarper` refuses the int 2; and 1 and 1.0 are one setting, with one hash."""
    found = complete({"temperature": 2, "top_p": 1, "repetition_penalty": 3, "top_k": 4, "num_beams": 1, "new": 5})
    assert repr(found) == (
        "{'do_sample': False, 'max_new_tokens': 64, 'new': 5, 'num_beams': 1, 'repetition_penalty': 3.0, "
        "'temperature': 2.0, 'top_k': 4, 'top_p': 1.0}"
    )


def test_layers_are_left_alone() -> None:
    layer = {"max_length": 5}
    complete(layer)["top_k"] = 1
    assert layer == {"max_length": 5}
    assert dict(DEFAULTS) == {"do_sample": False, "max_new_tokens": 64}


GOOD: list[dict[str, Any]] = [
    {},
    {"max_length": 180, "max_new_tokens": 10},
    {"do_sample": True, "top_k": 10, "top_p": 0.9, "temperature": 0.7, "min_p": 0, "typical_p": 1, "top_h": 0.4},
    {"top_k": 0, "temperature": 1},
    {"num_beams": 4, "early_stopping": "never", "length_penalty": -1.0, "num_return_sequences": 1},
    {"stop_strings": "\n", "min_new_tokens": 2, "max_new_tokens": 2},
    {"stop_strings": ["\n", "Q:"], "bad_words_ids": [[1, 2], [3]], "suppress_tokens": [0]},
    {"eos_token_id": 0, "pad_token_id": 1},
    {"eos_token_id": [0, 5], "exponential_decay_length_penalty": [5, 1.2], "sequence_bias": [[[1, 2], -1.5]]},
    {"repetition_penalty": 1.2, "no_repeat_ngram_size": 3, "renormalize_logits": True},
    {"cache_implementation": "static", "cache_config": {"a": [1]}, "use_cache": True},
    {"max_new_tokens": None, "temperature": None, "min_new_tokens": None},
]


@pytest.mark.parametrize("config", GOOD)
def test_good_settings_have_no_problems_and_transformers_takes_them(config: dict[str, Any]) -> None:
    assert problems(config) == []
    GenerationConfig(**config)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens=0, expected a whole number from 1."),
        ({"max_new_tokens": -5}, "max_new_tokens=-5, expected a whole number from 1."),
        ({"max_new_tokens": 10.0}, "max_new_tokens=10.0, expected a whole number from 1."),
        ({"max_new_tokens": "10"}, "max_new_tokens='10', expected a whole number from 1."),
        ({"max_new_tokens": True}, "max_new_tokens=True, expected a whole number from 1."),
        ({"min_new_tokens": -1}, "min_new_tokens=-1, expected a whole number from 0."),
        ({"min_new_tokens": 9, "max_new_tokens": 8}, "min_new_tokens=9 is more than max_new_tokens=8."),
        ({"do_sample": "yes"}, "do_sample='yes', expected true or false."),
        ({"do_sample": 1}, "do_sample=1, expected true or false."),
        ({"temperature": 0}, "temperature=0, expected a number above 0 (greedy decoding is do_sample: false)."),
        ({"temperature": "hot"}, "temperature='hot', expected a number above 0 (greedy decoding is do_sample: false)."),
        ({"top_k": 2.5}, "top_k=2.5, expected a whole number from 0 (0 switches it off)."),
        ({"top_p": 1.5}, "top_p=1.5, expected a number from 0 to 1."),
        ({"top_p": float("nan")}, "top_p=nan, expected a number from 0 to 1."),
        ({"length_penalty": float("inf")}, "length_penalty=inf, expected a number."),
        ({"typical_p": 0}, "typical_p=0, expected a number above 0, at most 1."),
        ({"epsilon_cutoff": 1}, "epsilon_cutoff=1, expected a number from 0, below 1."),
        ({"repetition_penalty": 0}, "repetition_penalty=0, expected a number above 0."),
        ({"num_beams": 0}, "num_beams=0, expected a whole number from 1."),
        ({"num_return_sequences": 2}, "num_return_sequences=2, expected 1: a case has one output."),
        ({"early_stopping": "always"}, "early_stopping='always', expected true, false or \"never\"."),
        ({"stop_strings": []}, "stop_strings=[], expected text or a list of texts, none of them empty."),
        ({"stop_strings": ["a", ""]}, "stop_strings=['a', ''], expected text or a list of texts, none of them empty."),
        ({"eos_token_id": -1}, "eos_token_id=-1, expected a token id or a list of them."),
        ({"pad_token_id": [1]}, "pad_token_id=[1], expected a token id."),
        ({"suppress_tokens": 1}, "suppress_tokens=1, expected a list of token ids."),
        ({"bad_words_ids": [1]}, "bad_words_ids=[1], expected a list of lists of token ids."),
        (
            {"exponential_decay_length_penalty": (5, 1.2)},
            (
                "exponential_decay_length_penalty=(5, 1.2), "
                "expected a list of a start (a whole number from 0) and a factor (a number)."
            ),
        ),
        ({"sequence_bias": {(1,): 2.0}}, "sequence_bias={(1,): 2.0}, expected a list of [[token id, ...], bias]."),
        ({"cache_implementation": ""}, "cache_implementation='', expected text."),
        ({"cache_config": {"a": {1}}}, "cache_config={'a': {1}}, expected a JSON object."),
        ({"watermarking_config": {1: 2}}, "watermarking_config={1: 2}, expected a JSON object."),
        ({"top_kk": 1}, "unknown decoding setting 'top_kk'. Did you mean 'top_k'?"),
        ({"max_tokens": 1}, "unknown decoding setting 'max_tokens'. Did you mean 'max_new_tokens'?"),
        ({"to_dict": 1}, "unknown decoding setting 'to_dict'."),
        ({7: 1}, "unknown decoding setting 7: expected text."),
        ({"seed": 1}, "seed cannot be set: the seed belongs to the marker: llm_prompts(..., seed=1)."),
        (
            {"return_full_text": False},
            "return_full_text cannot be set: the output never holds the prompt. Leave it out.",
        ),
        (
            {"max_time": 2.0},
            "max_time cannot be set: it stops by the clock, so a slow machine would seem to drift. Use max_new_tokens.",
        ),
        (
            {"output_scores": True},
            (
                "output_scores cannot be set: it adds tensors to what generate() returns, "
                "and a comparison looks at the text. Leave it out."
            ),
        ),
        (
            {"prompt_lookup_num_tokens": 3},
            (
                "prompt_lookup_num_tokens cannot be set: it belongs to speculative decoding, "
                "which changes the speed and not the text. Leave it out."
            ),
        ),
        (
            {"penalty_alpha": 0.6},
            (
                "penalty_alpha cannot be set: transformers 5 gets this way of decoding as code from the hub, "
                "which is not run here. Leave it out."
            ),
        ),
        (
            {"streamer": None},
            (
                "streamer cannot be set: it takes a Python object, which neither a table nor a baseline can hold. "
                "Leave it out."
            ),
        ),
        (
            {"transformers_version": "4.26"},
            (
                "transformers_version cannot be set: it records where a configuration came from and has no effect. "
                "Leave it out."
            ),
        ),
    ],
)
def test_faulty_settings(config: dict[Any, Any], expected: str) -> None:
    (found,) = problems(config)
    assert found == expected or found.startswith(f"{expected} Known: bad_words_ids, ")


def test_all_faults_are_found_at_once() -> None:
    assert len(problems({"top_k": -1, "tempratur": 1, "max_time": 3, "num_beams": 2})) == 3


def test_every_setting_of_the_installed_transformers_is_known_or_refused_with_a_reason() -> None:
    installed = {name for name in vars(GenerationConfig()) if not name.startswith("_")}  # type: ignore[no-untyped-call]
    assert installed - KNOWN_KEYS - set(REFUSED) == set()


def test_every_known_setting_is_one_of_the_installed_transformers() -> None:
    assert set(vars(GenerationConfig())) >= KNOWN_KEYS  # type: ignore[no-untyped-call]
    assert KNOWN_KEYS.isdisjoint(REFUSED)
    assert set(DEFAULTS) <= KNOWN_KEYS


def test_settings_that_transformers_wants_as_floats_are_converted() -> None:
    """Asked of transformers itself: the processors that check for `float`."""
    from transformers.generation import logits_process as processors

    checked = {
        "temperature": processors.TemperatureLogitsWarper,
        "repetition_penalty": processors.RepetitionPenaltyLogitsProcessor,
        "encoder_repetition_penalty": processors.EncoderRepetitionPenaltyLogitsProcessor,
    }
    for key, processor in checked.items():
        assert "float)" in inspect.getsource(processor.__init__)  # type: ignore[misc]
        assert RULES[key].fraction


def test_a_setting_of_a_newer_transformers_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attribute that our list lacks, known to the installed library: only JSON can be checked."""
    monkeypatch.setattr(gen_config, "RULES", {key: rule for key, rule in RULES.items() if key != "top_h"})
    assert problems({"top_h": 0.5}) == []
    assert problems({"top_h": {0.5}}) == ["top_h={0.5}, expected JSON: text, number, true, false, list or object."]


def test_good_settings_do_not_import_transformers() -> None:
    script = (
        "import sys; from pytest_llmcompare.models.gen_config import problems, complete; "
        "assert not problems(complete({'top_k': 5, 'do_sample': True})); assert problems({'max_time': 3}); "
        "print([name for name in ('transformers', 'torch', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
