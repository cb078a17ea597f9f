"""A fault of one prompt is that prompt's outcome, says what to do, and leaves the others alone."""

from __future__ import annotations

from dataclasses import replace
from operator import itemgetter
from typing import Any

import pytest
import torch

from pytest_llmcompare.decoding.engine import answers, generate
from pytest_llmcompare.decoding.request import Request
from pytest_llmcompare.errors import GenerationError
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.models.gen_config import complete
from pytest_llmcompare.models.load import LocalModel

from .small_models import PROMPTS, Reference, ask, make, make_model, make_tokenizer, reference

GREEDY = {"max_new_tokens": 4}


def one_fault(local: LocalModel, requests: list[Request], faulty: int) -> str:
    """The message of the one fault; the others are what they are without it."""
    found = generate(local, requests)
    assert [isinstance(one, GenerationError) for one in found] == [at == faulty for at in range(len(requests))]
    rest = generate(local, [request for at, request in enumerate(requests) if at != faulty])
    assert [str(one) for at, one in enumerate(found) if at != faulty] == [str(one) for one in rest]
    return str(found[faulty])


def test_empty_prompt() -> None:
    """A prompt that gives no tokens is a fault, where transformers would make something up."""
    message = one_fault(reference("gpt2").local, ask(GREEDY, ["a", "", "b"]), 1)
    assert message == "model 'gpt2': the prompt gives no tokens, so there is nothing to answer. Give it some text."


def test_prompt_longer_than_the_context() -> None:
    """A prompt for whose tokens there are no positions is a fault that counts them."""
    message = one_fault(reference("gpt2").local, ask(GREEDY, ["a", "b" * 97, "b"]), 1)
    assert message == (
        "model 'gpt2': the prompt has 97 tokens, its context holds 96.\nShorten the prompt or its examples."
    )


def test_output_longer_than_the_context() -> None:
    """An output that would go beyond the last position is a fault, with the number of tokens that do fit."""
    message = one_fault(reference("gpt2").local, ask(GREEDY, ["a", "b" * 94, "b"]), 1)
    assert message == (
        "model 'gpt2': a prompt of 94 tokens and 4 new ones do not fit into its context of 96, "
        "and the output has not ended before.\n"
        "Shorten the prompt or its examples, or set max_new_tokens=3 or less."
    )


def test_output_up_to_the_last_position() -> None:
    """What the message proposes does work, because the last token needs no position; one more fails transformers."""
    local, prompt = reference("gpt2").local, "b" * 94
    (found,) = generate(local, ask({"max_new_tokens": 3}, [prompt]))
    assert isinstance(found, Generation)
    assert found.token_ids == reference("gpt2").answer(ask({"max_new_tokens": 3}, [prompt])[0]).tokens
    with pytest.raises(IndexError):
        reference("gpt2").answer(ask({"max_new_tokens": 4}, [prompt])[0])


@pytest.mark.parametrize("draws", [{}, {"do_sample": True, "top_k": 5}])
def test_output_that_ends_before_the_context_does(draws: dict[str, Any]) -> None:
    """Settings that would go beyond the context are fine where the output ends by itself, as in transformers."""
    local, prompt = reference("gpt2").local, "b" * 90
    (free,) = generate(local, ask({"max_new_tokens": 7, **draws}, [prompt], seed=1))
    assert isinstance(free, Generation)
    assert free.token_ids is not None
    request = ask({"max_new_tokens": 50, "eos_token_id": free.token_ids[3], **draws}, [prompt], seed=1)[0]
    (found,) = generate(local, [request])
    assert isinstance(found, Generation)
    assert (found.token_ids, found.stop) == (reference("gpt2").answer(request).tokens, "eos")


def test_beam_search_beyond_the_context_is_transformers_error() -> None:
    """A beam search looks ahead, so its limit is not moved; where positions end it fails, alone."""
    requests = ask({"max_new_tokens": 4, "num_beams": 2}, ["a", "b" * 94])
    assert "transformers cannot answer with the settings" in one_fault(reference("gpt2").local, requests, 1)


def test_computed_positions_go_on_beyond_the_context() -> None:
    """Where positions are computed, a longer prompt is answered as transformers answers it."""
    local = make("llama", max_position_embeddings=16)
    assert (local.context, local.context_is_hard) == (16, False)
    requests = ask(GREEDY, ["a" * 40, "b"])
    found = generate(local, requests)
    assert [str(one) for one in found] == [Reference(local).answer(request).text for request in requests]


def test_token_beyond_the_vocabulary() -> None:
    """A token without an embedding is a fault that names it."""
    local = LocalModel("gpt2", make_model("gpt2", vocab_size=259), make_tokenizer())
    local.tokenizer.add_tokens(["<new>", "<newer>"])
    message = one_fault(local, ask(GREEDY, ["a", "b<newer>", "b"]), 1)
    assert message == (
        "model 'gpt2': the prompt holds token 261 ('<newer>'), but the model embeds 259 tokens, 0 to 258.\n"
        "Save the model's own tokenizer beside it, or resize its embeddings: "
        "model.resize_token_embeddings(len(tokenizer))"
    )


@pytest.mark.parametrize("gen_config", [{}, {"do_sample": True}, {"num_beams": 2}, {"repetition_penalty": 1.2}])
def test_scores_that_are_not_numbers(gen_config: dict[str, Any]) -> None:
    """A model whose scores are not numbers gives an error and never a text, however tokens are chosen."""
    local = LocalModel("llama", make_model("llama", tie_word_embeddings=False), make_tokenizer())
    with torch.no_grad():
        local.model.get_input_embeddings().weight[local.encode("Z")[0]] = float("nan")
    message = one_fault(local, ask({**GREEDY, **gen_config}, ["a", "Z", "b", "c"], seed=1), 1)
    assert message.startswith("model 'llama': the model's scores are not a number at token 1 of the output.\nWeights")
    assert "--llm-dtype=float32" in message


def test_infinite_score() -> None:
    """An infinite score has no likelihood either."""
    local = LocalModel("llama", make_model("llama", tie_word_embeddings=False), make_tokenizer())
    with torch.no_grad():
        local.model.lm_head.weight[3] = float("inf")
    found = generate(local, ask(GREEDY))
    assert {type(one) for one in found} == {GenerationError}


def test_settings_that_leave_no_token() -> None:
    """Settings that forbid every token give an error, not the first token of the vocabulary."""
    found = generate(reference("gpt2").local, ask({**GREEDY, "suppress_tokens": list(range(260))}, ["a", "b"]))
    message = "model 'gpt2': the decoding settings leave no token to choose at token 1 of the output.\nBan fewer tokens"
    assert [str(one)[: len(message)] for one in found] == [message] * 2


@pytest.mark.parametrize(
    ("gen_config", "why"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens=0, expected a whole number from 1."),
        ({"max_new_token": 4}, "unknown decoding setting 'max_new_token'. Did you mean 'max_new_tokens'?"),
        (
            {"max_new_tokens": 0, "top_kk": 1},
            (
                "max_new_tokens=0, expected a whole number from 1. "
                "unknown decoding setting 'top_kk'. Did you mean 'top_k'?"
            ),
        ),
    ],
)
def test_settings_that_cannot_be_used(gen_config: dict[str, Any], why: str) -> None:
    """Settings that are unknown or out of range are the fault of the requests that have them, whatever their draft."""
    local = reference("gpt2").local
    sound = ask(GREEDY, ["a", "b"])
    faulty = replace(ask(gen_config, ["c"])[0], draft=(1, 2))
    message = one_fault(local, [sound[0], faulty, sound[1]], 1)
    assert message == f"model 'gpt2': the decoding settings cannot be used: {why}"


def test_chat_template_that_fails() -> None:
    """A fault in a chat template is the fault of each prompt, with what the template said."""
    local = make("gpt2")
    local.chat_template = "{{ raise_exception('no user, no answer') }}"
    (found,) = generate(local, ask(GREEDY, ["a"]))
    assert str(found) == "model 'gpt2': the prompt cannot be made into tokens: TemplateError: no user, no answer"


def limit_rows(local: LocalModel, most: int) -> list[int]:
    """Let the model run out of memory with more rows than this; returns the rows of each pass that did fit."""
    passes: list[int] = []

    def check(module: object, args: object, kwargs: dict[str, Any]) -> None:
        rows = len(kwargs["input_ids"])
        if rows > most:
            raise torch.OutOfMemoryError(f"no memory for {rows} rows")
        passes.append(rows)

    local.model.register_forward_pre_hook(check, with_kwargs=True)
    return passes


def test_batch_that_does_not_fit_into_memory_is_halved() -> None:
    """Where memory is short, batches get smaller, it is said once per step, and outputs are what they are alone."""
    local = LocalModel("gpt2", make_model("gpt2"), make_tokenizer())
    requests = ask(GREEDY)
    expected = [str(one) for one in generate(local, requests)]
    passes = limit_rows(local, 2)
    with pytest.warns(UserWarning, match="out of memory") as said:
        found = generate(local, requests, batch_size=7)
    assert [str(one) for one in found] == expected
    assert [str(one.message) for one in said] == [
        "model 'gpt2': out of memory with 7 prompts at once, going on with 3. To start so: --llm-batch-size=3",
        "model 'gpt2': out of memory with 3 prompts at once, going on with 1. To start so: --llm-batch-size=1",
    ]
    assert max(passes) == 1


def test_prompt_that_does_not_fit_into_memory() -> None:
    """A single prompt too large for memory is a fault that says what would help."""
    local = LocalModel("gpt2", make_model("gpt2"), make_tokenizer())
    limit_rows(local, 0)
    (found,) = generate(local, ask(GREEDY, ["a" * 7]))
    assert str(found) == (
        "model 'gpt2': out of memory with one prompt of 7 tokens.\n"
        "Shorten the prompt or its examples, or use --llm-dtype=bfloat16 or --llm-device=cpu."
    )


def test_batch_that_fails_is_asked_one_by_one() -> None:
    """An error of transformers in the middle of a batch becomes the outcome of the prompts that cause it."""
    local = LocalModel("gpt2", make_model("gpt2"), make_tokenizer())
    token = local.encode("Z")[0]

    def check(module: object, args: object, kwargs: dict[str, Any]) -> None:
        if (kwargs["input_ids"] == token).any():
            raise RuntimeError("no Z\nsecond line")

    local.model.register_forward_pre_hook(check, with_kwargs=True)
    message = one_fault(local, ask(GREEDY, ["a", "b", "Z"]), 2)
    assert message == (
        "model 'gpt2': transformers cannot answer with the settings do_sample=False, max_new_tokens=4: "
        "RuntimeError: no Z"
    )


def test_every_outcome_is_reported_once_as_soon_as_it_is_there() -> None:
    """Each request comes once, faulty or not, with the outcome that `generate` returns."""
    requests = [*ask(GREEDY, ["a", "", "b"]), *ask({"no_such": 1}, ["c"]), *ask({**GREEDY, "do_sample": True}, seed=1)]
    finished = list(answers(reference("gpt2").local, requests, batch_size=2))
    assert sorted(index for index, _ in finished) == list(range(len(requests)))
    expected = generate(reference("gpt2").local, requests, batch_size=2)
    assert [repr(outcome) for _, outcome in sorted(finished, key=itemgetter(0))] == [repr(one) for one in expected]


def test_interrupt_stops_at_once() -> None:
    """Ctrl-C in the middle of a pass goes through; what was finished before has been reported."""
    local = LocalModel("gpt2", make_model("gpt2"), make_tokenizer())
    passes: list[int] = []
    heard: list[int] = []

    def check(module: object, args: object) -> None:
        passes.append(1)
        if len(passes) == 6:
            raise KeyboardInterrupt

    local.model.register_forward_pre_hook(check)
    requests = [Request(prompt, complete({"max_new_tokens": 2, "repetition_penalty": 1.1})) for prompt in PROMPTS]
    with pytest.raises(KeyboardInterrupt):
        heard.extend(index for index, _ in answers(local, requests))
    assert heard == [0, 1]
    assert len(passes) == 6
