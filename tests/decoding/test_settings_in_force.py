"""Which settings hold: the case's, transformers' defaults, and of the checkpoint its token ids."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import pytest
from transformers import GenerationConfig

from pytest_llmcompare.decoding.engine import answers, generate
from pytest_llmcompare.decoding.request import Request
from pytest_llmcompare.errors import GenerationError
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.models.load import LocalModel

from .small_models import PROMPTS, Reference, ask, make, make_model, make_tokenizer, reference


def outputs(local: LocalModel, requests: list[Request]) -> list[Any]:
    """Texts and tokens, without the likelihoods, in which padding shows."""
    found = generate(local, requests)
    return [(one.text, one.token_ids) if isinstance(one, Generation) else str(one) for one in found]


@pytest.mark.parametrize("gen_config", [{}, {"do_sample": True}, {"do_sample": True, "temperature": 1.2}])
def test_checkpoints_settings_do_not_leak(gen_config: dict[str, Any]) -> None:
    """Whatever the checkpoint's generation_config.json says of sampling, penalties and lengths, it changes nothing."""
    local = LocalModel("gpt2", make_model("gpt2"), make_tokenizer())
    requests = ask({"max_new_tokens": 6, **gen_config}, seed=1)
    before = outputs(local, requests)
    local.model.generation_config.update(
        do_sample=True, top_k=1, temperature=3.0, repetition_penalty=5.0, max_length=7, num_beams=2, min_p=0.9,
        stop_strings=["a"], no_repeat_ngram_size=1, min_new_tokens=3, renormalize_logits=True,
    )  # fmt: skip
    assert outputs(local, requests) == before


def test_checkpoints_token_ids_hold() -> None:
    """A token that the checkpoint ends with ends an output, and one that it never says is never said."""
    local = LocalModel("gpt2", make_model("gpt2"), make_tokenizer())
    (first,) = generate(local, ask({"max_new_tokens": 6}, ["hello"]))
    assert isinstance(first, Generation)
    assert first.token_ids is not None
    local.model.generation_config.eos_token_id = [257, first.token_ids[1]]
    assert outputs(local, ask({"max_new_tokens": 6}, ["hello"]))[0][1] == first.token_ids[:2]
    local.model.generation_config.suppress_tokens = [first.token_ids[0]]
    assert outputs(local, ask({"max_new_tokens": 6}, ["hello"]))[0][1][0] != first.token_ids[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [("eos_token_id", "x"), ("bad_words_ids", [[5000]]), ("suppress_tokens", "x")],
)
def test_a_checkpoints_setting_that_cannot_be_used_is_named(name: str, value: Any) -> None:
    """The user's own are not the only ones that may be wrong."""
    local = LocalModel("gpt2", make_model("gpt2"), make_tokenizer())
    setattr(local.model.generation_config, name, value)
    (error,) = generate(local, ask({"max_new_tokens": 4}, PROMPTS[:1]))
    assert isinstance(error, GenerationError)
    named = f"do_sample=False, max_new_tokens=4, and {name}={value!r} of the checkpoint: "
    assert error.reason.startswith(f"transformers cannot answer with the settings {named}")


def test_tokens_that_may_not_begin_an_output_may_follow_a_draft() -> None:
    """What the checkpoint bars from the beginning of an output is not barred where a draft ends."""
    local = LocalModel("gpt2", make_model("gpt2"), make_tokenizer())
    local.model.generation_config.begin_suppress_tokens = list(range(0, 250, 2))
    requests = ask({"max_new_tokens": 8})
    expected = outputs(local, requests)
    drafts = [((tokens[0] + 1) % 256, *tokens[1:]) for _, tokens in expected]
    drafted = [replace(request, draft=draft) for request, draft in zip(requests, drafts, strict=True)]
    assert outputs(local, drafted) == expected


def test_checkpoints_settings_are_left_as_they_were() -> None:
    """They are back whenever an outcome is handed out, and after a call that is interrupted or abandoned."""
    local = LocalModel("gpt2", make_model("gpt2"), make_tokenizer())
    own = local.model.generation_config = GenerationConfig(top_k=3, do_sample=True)  # type: ignore[no-untyped-call]
    abandoned = answers(local, ask({"max_new_tokens": 1}, ["a", "b"]), batch_size=1)
    next(abandoned)
    assert local.model.generation_config is own
    assert len(generate(local, ask({"max_new_tokens": 1}))) == len(PROMPTS)  # while another call is half done
    abandoned.close()
    assert local.model.generation_config is own
    assert local.model._forward_pre_hooks == {}

    def interrupt(module: object, args: object) -> None:
        assert local.model.generation_config is not own
        raise KeyboardInterrupt

    local.model.register_forward_pre_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        generate(local, ask({"max_new_tokens": 1}))
    assert local.model.generation_config is own


def test_pipelines_temperature_is_what_a_draw_without_one_has() -> None:
    """Sampling without a temperature equals sampling at the pipeline's own."""
    local = reference("llama").local
    assert outputs(local, ask({"do_sample": True}, seed=4)) == outputs(
        local, ask({"do_sample": True, "temperature": 0.7, "top_k": 50}, seed=4)
    )


def test_both_lengths_together_follow_the_number_of_new_tokens(capfd: pytest.CaptureFixture[str]) -> None:
    """`max_length` and `max_new_tokens` together give that many new tokens and no warning, not even on stderr."""
    local = reference("tiny-gpt2").local
    requests = ask({"max_length": 180, "max_new_tokens": 10}, ["Q: What is red?\nA:" * 20, "Q: Why?\nA:"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = generate(local, requests)
    assert [len(one.token_ids or ()) for one in found if isinstance(one, Generation)] == [10, 10]
    assert capfd.readouterr() == ("", "")


def test_prompt_is_not_cut_to_the_length() -> None:
    """`max_length` alone limits the whole, and a prompt that fills it is a fault and not cut."""
    local = reference("tiny-gpt2").local
    long, short = generate(local, ask({"max_length": 12}, ["Q: What is red?\nA:" * 9, "Q: Why?\nA:"]))
    assert isinstance(short, Generation)
    assert isinstance(long, GenerationError)
    assert "`max_length` is set to 12" in str(long)
    assert "with the settings do_sample=False, max_length=12" in str(long)


@pytest.mark.parametrize(
    ("gen_config", "message"),
    [
        ({"max_new_token": 5}, "unknown decoding setting 'max_new_token'. Did you mean 'max_new_tokens'?"),
        ({"top_k": -1, "do_sample": True}, "top_k=-1, expected a whole number from 0 (0 switches it off)."),
        ({"penalty_alpha": 0.6}, "penalty_alpha cannot be set"),
        ({"watermarking_config": {"no_such": 1}}, "transformers refuses the decoding settings do_sample="),
        ({"cache_implementation": "fastest"}, "cache_implementation"),
        ({"token_healing": True}, "token_healing cannot be set: it changes the prompt that was asked. Leave it out."),
    ],
)
def test_settings_that_cannot_be_used_are_named(gen_config: dict[str, Any], message: str) -> None:
    """A setting that is unknown, out of range, or refused by transformers fails its own requests, by name."""
    local = reference("llama").local
    faulty, fine = [*ask(gen_config, ["a"]), *ask({}, ["a"])]
    found = generate(local, [faulty, fine])
    assert isinstance(found[0], GenerationError)
    assert str(found[0]).startswith("model 'llama': ")
    assert message in str(found[0])
    assert isinstance(found[1], Generation)


def test_padding_token_of_the_tokenizer_is_used() -> None:
    """Outputs of different length in a batch are filled up with the tokenizer's padding, which is no part of them."""
    local = make("bloom")
    requests = ask({"max_new_tokens": 10, "eos_token_id": list(range(0, 256, 5))})
    lengths = [len(one.token_ids or ()) for one in generate(local, requests) if isinstance(one, Generation)]
    assert lengths == [len(Reference(local).answer(request).tokens) for request in requests]
    assert len(set(lengths)) > 1
    assert len(lengths) == len(PROMPTS)
