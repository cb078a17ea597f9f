"""Shortcuts are taken where they are sound, really save work, and say why where they are not taken."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertLMHeadModel, ChameleonConfig, ChameleonForConditionalGeneration

from pytest_llmcompare.compat import takes_positions_to_keep
from pytest_llmcompare.decoding import generate as generate_module
from pytest_llmcompare.decoding.engine import Outcome, answers, generate
from pytest_llmcompare.decoding.request import Request
from pytest_llmcompare.decoding.self_check import why_not_in_one_pass, why_rounding_differs
from pytest_llmcompare.errors import GenerationError
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.models.load import LocalModel

from .small_models import (
    CONFIGS,
    PROMPTS,
    SIZE,
    VOCABULARY,
    Reference,
    ask,
    make,
    make_model,
    make_tokenizer,
    reference,
)

EXAMPLES = ("Q: Sky?\nA: Blue.\nQ: Sun?\nA: Yellow.\n", "one two three four five six seven eight nine ")
GREEDY = {"max_new_tokens": 4}


def new_gpt2() -> LocalModel:
    """A model of its own, to be changed."""
    return LocalModel("gpt2", make_model("gpt2"), make_tokenizer())


def drafted(local: LocalModel, requests: list[Request]) -> list[Request]:
    """The requests with right drafts."""
    found = generate(local, requests, shortcuts=False)
    return [replace(one, draft=said.token_ids) for one, said in zip(requests, found, strict=True)]  # type: ignore[union-attr]


@contextmanager
def counted(local: LocalModel) -> Iterator[list[tuple[int, int]]]:
    """Rows and tokens of each pass of the model."""
    passes: list[tuple[int, int]] = []
    hook = local.model.register_forward_pre_hook(
        lambda _, args, kwargs: passes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    yield passes
    hook.remove()


def reasons(outcomes: list[Outcome]) -> set[str]:
    """Why drafts were not confirmed."""
    return {one.unverified for one in outcomes if isinstance(one, Generation)}


@pytest.mark.parametrize("name", ["gpt2", "bloom", "llama", "gemma", "qwen2"])
def test_shared_tokens_are_read_once(name: str) -> None:
    """Of two sets of examples each goes through the model once, in recording and in verifying, in any order."""
    local = reference(name).local
    texts = [examples + prompt for prompt in PROMPTS[:5] for examples in EXAMPLES]
    requests = ask(GREEDY, texts)
    expected = [reference(name).answer(request).tokens for request in requests]
    for asked in (requests, drafted(local, requests)):
        generate(local, asked)  # so that the model has been tried
        with counted(local) as passes:
            found = generate(local, asked)
        assert [one.token_ids for one in found if isinstance(one, Generation)] == expected
        lengths = [len(local.encode(examples)) for examples in EXAMPLES]
        assert sorted(seq for rows, seq in passes if rows == 1) == sorted(lengths)
        assert len(passes) == (4 if asked[0].draft else 2 + 2 * GREEDY["max_new_tokens"])


@pytest.mark.parametrize(
    ("limit", "tokens", "most"),
    [
        pytest.param("CPU_LAYER_TOKENS", 4096, 3, id="that one layer attends to"),
        pytest.param("CPU_OWN_TOKENS", 40, 2, id="that are kept of each row"),
    ],
)
def test_few_outputs_are_written_at_once_after_long_examples(
    monkeypatch: pytest.MonkeyPatch, limit: str, tokens: int, most: int
) -> None:
    """What a batch takes of memory on a CPU is bounded: its own tokens, and those that one layer puts before them."""
    monkeypatch.setattr(generate_module, limit, tokens)
    local = make("llama", max_position_embeddings=2048)
    requests = ask(GREEDY, ["a b c " * 200 + prompt for prompt in PROMPTS])
    with counted(local) as passes:
        found = generate(local, requests)
    assert max(rows for rows, _ in passes) == most
    plain = generate(local, requests, shortcuts=False, batch_size=1)
    assert [str(one) for one in found] == [str(one) for one in plain]


@contextmanager
def scored(local: LocalModel) -> Iterator[list[int]]:
    """How many positions each pass of the model computes logits for."""
    positions: list[int] = []
    head = local.model.get_output_embeddings()
    hook = head.register_forward_hook(lambda *given: positions.append(given[-1].shape[:-1].numel()))
    yield positions
    hook.remove()


@pytest.mark.parametrize("name", ["gpt2", "bloom", "llama", "mistral", "gemma2", "qwen2", "mamba"])
def test_logits_are_computed_where_a_draft_needs_them(name: str) -> None:
    """Those of prompts and padding are not, whatever the lengths; with an older transformers from an end on."""
    local = reference(name).local
    requests = drafted(local, ask(GREEDY, PROMPTS))
    requests = [replace(one, draft=one.draft and one.draft[: 1 + at % 4]) for at, one in enumerate(requests)]
    generate(local, requests)  # so that the model has been tried
    with scored(local) as positions:
        outputs = generate(local, requests)
    expected = [reference(name).answer(replace(request, draft=None)).tokens for request in requests]
    assert [one.token_ids for one in outputs if isinstance(one, Generation)] == expected
    drafts = sum(len(one.draft or ()) for one in requests)
    widths = {len(local.encode(one.prompt)) for one in requests}
    if takes_positions_to_keep(local.model):
        assert positions[0] == drafts
    else:
        assert drafts < positions[0] <= len(requests) * (max(widths) - min(widths) + 4)


def test_a_model_that_needs_the_logits_of_all_rows_gets_them() -> None:
    """Chameleon takes a mask of positions, then looks for rows and columns; its drafts are verified all the same."""
    facts: dict[str, Any] = {
        **SIZE,
        "vocabulary_map": {"<image>": 3, "IMGIMGA": 4},
        "vq_config": {"embed_dim": 4, "num_embeddings": 4, "latent_channels": 4, "base_channels": 32, "resolution": 32},
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        chameleon: Any = ChameleonForConditionalGeneration(ChameleonConfig(**facts))
    local = LocalModel("chameleon", chameleon.eval(), make_tokenizer())
    requests = ask(GREEDY, PROMPTS)
    expected = [Reference(local).answer(request).tokens for request in requests]
    outputs = generate(local, drafted(local, requests))
    assert [one.token_ids for one in outputs if isinstance(one, Generation)] == expected
    assert reasons(outputs) == {""}


def test_plain_decoding_reads_everything() -> None:
    """Without shortcuts no draft is looked at and no prefix lent."""
    local = reference("llama").local
    requests = drafted(local, ask(GREEDY, [EXAMPLES[0] + prompt for prompt in PROMPTS]))
    with counted(local) as passes:
        found = generate(local, requests, shortcuts=False, batch_size=7)
    assert passes[0] == (7, max(len(local.encode(request.prompt)) for request in requests))
    assert len(passes) == GREEDY["max_new_tokens"]
    assert reasons(found) == {""}


@pytest.mark.parametrize("gen_config", [{"use_cache": False}, {"num_beams": 2}, {"do_sample": True, "top_k": 5}])
def test_prefix_is_lent_only_where_settings_allow_it(gen_config: dict[str, Any]) -> None:
    """Settings that read everything again, search or draw give what they give alone, after shared tokens too."""
    requests = ask({**GREEDY, **gen_config}, [EXAMPLES[0] + prompt for prompt in PROMPTS], seed=5)
    found = generate(reference("gpt2").local, requests)
    expected = [reference("gpt2").answer(request).tokens for request in requests]
    assert [one.token_ids for one in found if isinstance(one, Generation)] == expected


def test_wrong_draft_costs_only_what_follows_it() -> None:
    """An output goes on from the first token that differs, and not from the prompt."""
    local = reference("gpt2").local
    requests = drafted(local, ask({"max_new_tokens": 12}, [EXAMPLES[0] + prompt for prompt in PROMPTS]))
    wrong = [replace(one, draft=(*(one.draft or ())[:10], 3, 3)) for one in requests]
    generate(local, wrong)  # so that the model has been tried
    with counted(local) as passes:
        found = generate(local, wrong)
    assert [one.token_ids for one in found if isinstance(one, Generation)] == [one.draft for one in requests]
    assert reasons(found) == {"the model chooses another token at token 11"}
    assert len(passes) == 3  # the prefix, the drafts, the last token of all


def test_unsure_token_is_asked_plainly() -> None:
    """Where all tokens are equally likely no pass over a draft can tell, so it is not confirmed by one.

    Nor by another shortcut, which would come to the same tokens, so none is tried in between.
    """
    local = new_gpt2()
    requests = drafted(local, ask(GREEDY, [EXAMPLES[0] + prompt for prompt in "abcd"]))
    generate(local, requests)  # so that the model has been tried
    with torch.no_grad():
        local.model.transformer.ln_f.weight.zero_()
    with counted(local) as passes:
        found = generate(local, requests)
    length = len(local.encode(requests[0].prompt))
    written = [(1, length), (1, 1), (1, 1), (1, 1)]
    assert passes == [(1, length - 1), (4, 4), *written * 4]  # the prefix, the drafts, each prompt by itself
    assert reasons(found) == {"two tokens are nearly equally likely at token 1"}
    assert [one.token_ids for one in found if isinstance(one, Generation)] == [
        Reference(local).answer(replace(request, draft=None)).tokens for request in requests
    ]


def test_a_near_tie_is_decided_plainly_and_the_rest_by_the_draft() -> None:
    """Plain decoding ends after the last near tie, if it wrote what the draft has; if not, it goes on."""
    local, settings = new_gpt2(), {"max_new_tokens": 12}
    (request,) = drafted(local, ask(settings, ["Q: Sky?"]))
    tokens = request.draft or ()
    place = next(at for at, token in enumerate(tokens) if tokens.count(token) == 1 and 2 < at < 9)
    twin = next(token for token in range(tokens[place] + 1, VOCABULARY) if token not in tokens)
    with torch.no_grad():  # both are equally likely now, and transformers takes the first
        local.model.transformer.wte.weight[twin] = local.model.transformer.wte.weight[tokens[place]]
    expected = Reference(local).answer(replace(request, draft=None))
    assert expected.tokens == tokens
    generate(local, [request])  # so that the model has been tried
    length = len(local.encode(request.prompt))

    with counted(local) as passes:
        (found,) = generate(local, [request])
    assert isinstance(found, Generation)
    assert (found.token_ids, found.stop) == (tokens, "length")
    assert found.logprobs == pytest.approx(expected.logprobs, abs=1e-4)
    assert passes == [(1, length + 11), (1, length), *[(1, 1)] * place]

    other = replace(request, draft=(*tokens[:place], twin, *tokens[place + 1 :]))
    with counted(local) as passes:
        (found,) = generate(local, [other])
    assert isinstance(found, Generation)
    assert (found.token_ids, found.stop) == (tokens, "length")
    assert passes == [(1, length + 11), (1, length), *[(1, 1)] * 11]


@pytest.mark.parametrize(
    ("gen_config", "reason"),
    [
        ({"num_beams": 2}, "a beam search looks at more than one output"),
        ({"use_cache": False}, "use_cache=False asks for every token to be read again"),
        ({"guidance_scale": 1.5}, "guidance_scale cannot be reproduced in one pass"),
        ({"do_sample": True}, "sampling without a seed cannot be repeated"),
    ],
)
def test_settings_that_no_pass_can_tell(gen_config: dict[str, Any], reason: str) -> None:
    """What looks further than the tokens before is asked plainly, and the reason is told."""
    requests = [replace(one, draft=(1, 2, 3, 4)) for one in ask({**GREEDY, **gen_config}, ["a", "b"])]
    assert reasons(generate(reference("llama").local, requests)) == {f"not tried: {reason}"}


def test_models_that_no_pass_can_tell() -> None:
    """Positions that depend on the length, and a model that looks ahead, in coarse precision, too."""
    low = LocalModel("llama", make_model("llama").to(torch.bfloat16), make_tokenizer())
    rope = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
    assert why_not_in_one_pass(low) == ""
    assert why_rounding_differs(low).startswith("in bfloat16 one pass over many tokens rounds")
    assert why_not_in_one_pass(make("llama", rope_parameters=rope)).startswith("the model's positions depend")
    facts: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
    }
    torch.manual_seed(1)
    ahead: Any = BertLMHeadModel(BertConfig(vocab_size=VOCABULARY, is_decoder=False, initializer_range=0.4, **facts))
    both_ways = LocalModel("bert", ahead.eval(), make_tokenizer())
    assert why_not_in_one_pass(both_ways) == ("the model's scores in one pass are not those of writing token by token")


@pytest.mark.parametrize("name", [*CONFIGS, "tiny-bloom"])
def test_models_that_one_pass_can_tell(name: str) -> None:
    """Everything that writes from left to right in float32 can be read in one pass."""
    assert why_not_in_one_pass(reference(name).local) == ""


def test_multiplication_in_lower_precision_is_no_ground_for_a_pass() -> None:
    """Where torch may round float32 while it multiplies, outputs are not told from one pass."""
    try:
        torch.set_float32_matmul_precision("high")
        told = why_rounding_differs(reference("gpt2").local)
    finally:
        torch.set_float32_matmul_precision("highest")
    assert told == "torch is set to multiply float32 in a lower precision"


def test_shortest_and_longest_prompts_are_read_together() -> None:
    """Prompts of one token and of the whole context are confirmed, with and without a padding token."""
    local = make("gpt2", pad=False, eos_token_id=None, bos_token_id=None)
    requests = ask({"max_new_tokens": 1}, ["a", "b" * 96, "c" * 95, "b" * 80 + "c"])
    found = generate(local, drafted(local, requests))
    assert reasons(found) == {""}
    expected = [Reference(local).answer(request).tokens for request in requests]
    assert [one.token_ids for one in found if isinstance(one, Generation)] == expected


def test_draft_beyond_the_context_hides_no_fault() -> None:
    """An output that does not fit into the context is the same fault with a draft, however long that is."""
    local = reference("gpt2").local
    requests = ask(GREEDY, ["a", "b" * 94])
    known = drafted(local, ask({"max_new_tokens": 3}, ["b" * 94]))[0].draft or ()
    for draft in (known, (*known, 5), (*known, *range(50))):
        first, faulty = generate(local, [requests[0], replace(requests[1], draft=draft)])
        assert isinstance(first, Generation)
        assert isinstance(faulty, GenerationError)
        assert "a prompt of 94 tokens and 4 new ones do not fit into its context of 96" in str(faulty)


def test_drafts_that_do_not_fit_into_memory_are_read_in_halves() -> None:
    """Where memory is short, batches get smaller, it is said, and drafts are confirmed all the same."""
    local = new_gpt2()
    requests = drafted(local, ask(GREEDY))
    generate(local, requests[:1])

    def check(module: object, args: object, kwargs: dict[str, Any]) -> None:
        if len(kwargs["input_ids"]) > 3:
            raise torch.OutOfMemoryError

    local.model.register_forward_pre_hook(check, with_kwargs=True)
    with pytest.warns(UserWarning, match="out of memory with 7 prompts at once, going on with 3"):
        found = generate(local, requests)
    assert all(one.verified for one in found if isinstance(one, Generation))
    assert len(found) == len(requests)


def test_scores_that_are_no_numbers_fail_with_a_draft_too() -> None:
    """A draft hides no fault, and the others are confirmed."""
    local = LocalModel("llama", make_model("llama", tie_word_embeddings=False), make_tokenizer())
    requests = drafted(local, ask(GREEDY, ["a", "Z", "b"]))
    generate(local, requests[:1])
    with torch.no_grad():
        local.model.get_input_embeddings().weight[local.encode("Z")[0]] = float("nan")
    first, faulty, last = generate(local, requests)
    assert str(faulty).startswith("model 'llama': the model's scores are not a number at token 1 of the output.\n")
    assert isinstance(faulty, GenerationError)
    assert isinstance(first, Generation)
    assert isinstance(last, Generation)
    assert (first.verified, last.verified) == (True, True)


def test_every_draft_is_reported_as_soon_as_it_is_read() -> None:
    """Confirmed drafts come batch by batch, each once."""
    local = reference("gpt2").local
    requests = drafted(local, ask(GREEDY))
    heard: dict[int, Outcome] = {}
    passes_before: list[int] = []
    with counted(local) as passes:
        for index, outcome in answers(local, requests, batch_size=2):
            assert index not in heard
            heard[index] = outcome
            passes_before.append(len(passes))
    assert [heard[index] for index in range(len(requests))] == generate(local, requests, batch_size=2)
    assert passes_before[0] < passes_before[-1]
