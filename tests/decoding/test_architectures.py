"""Architectures that a shortcut was once wrong for: outputs are those of `generate`, asked alone, token for token.

`benchmarks/architectures.py` does the same for all architectures that transformers knows.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, GenerationConfig

from pytest_llmcompare.decoding.engine import ShortcutWarning, generate
from pytest_llmcompare.decoding.expert_capacity import expert_capacity
from pytest_llmcompare.decoding.request import Request
from pytest_llmcompare.decoding.self_check import (
    why_no_batches,
    why_no_padding,
    why_not_in_one_pass,
)
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.models.load import LocalModel, transformers_quiet

from .small_models import SIZE, VOCABULARY, make_tokenizer

CROWDED = {
    "vocab_size": VOCABULARY,
    "d_model": 32,
    "d_kv": 8,
    "num_layers": 2,
    "num_decoder_layers": 2,
    "num_heads": 4,
    "d_ff": 48,
    "num_experts": 4,
    "num_sparse_encoder_layers": 1,
    "num_sparse_decoder_layers": 1,
}
NLLB = {
    "vocab_size": VOCABULARY,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "num_experts": 4,
    "encoder_sparse_step": 2,
    "decoder_sparse_step": 1,
    "max_position_embeddings": 256,
}
BERT = {**SIZE, "is_decoder": True, "max_position_embeddings": 260}
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "switch": ("SwitchTransformersConfig", {**CROWDED, "expert_capacity": 5}),
    "nllb-moe": ("NllbMoeConfig", {**NLLB, "expert_capacity": 4, "moe_eval_capacity_token_fraction": -1.0}),
    "nllb-moe-fraction": ("NllbMoeConfig", {**NLLB, "moe_eval_capacity_token_fraction": 0.3}),
    "trocr": (
        "TrOCRConfig",
        {
            "vocab_size": VOCABULARY,
            "d_model": 32,
            "decoder_layers": 2,
            "decoder_attention_heads": 4,
            "decoder_ffn_dim": 48,
        },
    ),
    "xlm": ("XLMConfig", {"vocab_size": VOCABULARY, "emb_dim": 32, "n_layers": 2, "n_heads": 4, "causal": True}),
    "recurrent-gemma": (
        "RecurrentGemmaConfig",
        {**SIZE, "lru_width": 32, "attention_window_size": 8, "num_hidden_layers": 3},
    ),
    "mpt": ("MptConfig", {"vocab_size": VOCABULARY, "d_model": 32, "n_layers": 2, "n_heads": 4}),
    "gpt-neo": (
        "GPTNeoConfig",
        {
            "vocab_size": VOCABULARY,
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 4,
            "window_size": 20,
            "attention_types": [[["global", "local"], 1]],
        },
    ),
    "roberta": ("RobertaConfig", BERT),
    "rwkv": ("RwkvConfig", {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "rescale_every": 1}),
}
IDS = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
SHARED = "one two three four five "
PROMPTS = ("Q: Red?\nA:", "x", "Why? Because", "Z", *(SHARED + own for own in ("the sky over the sea", "a", "b c")))
GREEDY = {"do_sample": False, "max_new_tokens": 9}


def make(name: str, **changes: Any) -> LocalModel:
    """A small model with weights large enough for every token to count."""
    kind, facts = CONFIGS[name]
    config = getattr(transformers, kind)(**{**IDS, **facts, **changes})
    auto: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(3)
        model = auto.from_config(config).eval()
        for part in model.modules():
            if isinstance(part, torch.nn.Embedding):
                part.weight.normal_()
            elif isinstance(part, torch.nn.Linear):
                part.weight.normal_(std=2 / part.weight.shape[-1] ** 0.5)
    model.generation_config = GenerationConfig(**IDS)  # type: ignore[no-untyped-call]
    return LocalModel(name, model, make_tokenizer())


def alone(local: LocalModel, prompt: str, tokens: int = 9) -> tuple[int, ...]:
    """What a fresh copy of the model writes after one prompt."""
    model, ids = copy.deepcopy(local.model), torch.tensor([local.encode(prompt)])
    with transformers_quiet():
        found = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=tokens)
    return tuple(found[0, 1 if model.config.is_encoder_decoder else ids.shape[1] :].tolist())


@cache
def answered(name: str) -> tuple[LocalModel, dict[str, tuple[int, ...]]]:
    """A model, and what it says to each prompt alone."""
    local = make(name)
    return local, {prompt: alone(local, prompt) for prompt in PROMPTS}


def drafts_of(answer: tuple[int, ...]) -> Iterator[tuple[int, ...] | None]:
    """No draft, the right one, wrong ones, one too short and one too long."""
    yield None
    yield answer
    for at in (0, len(answer) // 2, len(answer) - 1):
        yield (*answer[:at], (answer[at] + 1) % 250, *answer[at + 1 :])
    yield answer[: max(1, len(answer) - 3)]
    yield (*answer, 7, 9, 11)


@pytest.mark.filterwarnings("ignore::pytest_llmcompare.decoding.engine.ShortcutWarning")
@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("name", CONFIGS)
def test_every_draft_and_batch_size_gives_what_generate_gives(name: str, size: int) -> None:
    """Ragged prompts, prompts of one token and prompts with a common beginning, with drafts of every kind at once."""
    local, answers = answered(name)
    asked = [(prompt, draft) for prompt, answer in answers.items() for draft in drafts_of(answer)]
    found = generate(local, [Request(prompt, GREEDY, draft=draft) for prompt, draft in asked], batch_size=size)
    for (prompt, draft), one in zip(asked, found, strict=True):
        assert isinstance(one, Generation), one
        assert one.token_ids == answers[prompt], (prompt, draft)


@pytest.mark.parametrize("name", ["switch", "nllb-moe", "nllb-moe-fraction"])
def test_experts_with_limited_places_read_no_draft(name: str) -> None:
    """Tokens of one pass compete for an expert's places, so drafts are refused, and the reason names the setting."""
    local, answers = answered(name)
    prompt, answer = next(iter(answers.items()))
    (found,) = generate(local, [Request(prompt, GREEDY, draft=answer)])
    assert isinstance(found, Generation)
    assert not found.verified
    assert "places for a limited number of tokens (expert_capacity=" in found.unverified


def test_capacity_that_no_short_text_reaches() -> None:
    """A capacity shows in no probe that is shorter, so it is looked up; a draft beyond it is not read in one pass."""
    local = make("switch", expert_capacity=16)
    answer = alone(local, "Q: Red?\nA:", 80)
    (found,) = generate(local, [Request("Q: Red?\nA:", {**GREEDY, "max_new_tokens": 80}, draft=answer)])
    assert isinstance(found, Generation)
    assert (found.token_ids, found.verified) == (answer, False)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"expert_capacity": 64}, "expert_capacity=64"),
        ({"moe_capacity_factor": 1.25}, "moe_capacity_factor=1.25"),
        ({"drop_tokens": True}, "drop_tokens=True"),
        ({"moe": {"eval_capacity_factor": 2.0}}, "eval_capacity_factor=2.0"),
        ({"expert_capacity": None, "capacity_factor": 0, "drop_tokens": False}, ""),
        ({"attention_dropout": 0.1, "token_type_ids": 3}, ""),
    ],
)
def test_settings_that_limit_an_experts_tokens(settings: dict[str, Any], expected: str) -> None:
    """A limit is found by its name, in the configuration and in its parts; one that is off counts for nothing."""
    local, _ = answered("gpt-neo")
    model = copy.deepcopy(local.model)
    model.config.update(settings)
    assert expert_capacity(model) == expected


def test_limit_that_stands_in_a_module_alone() -> None:
    """A checkpoint's own code may have its capacity in no configuration."""
    model = copy.deepcopy(answered("gpt-neo")[0].model)
    model.transformer.h[1].mlp.expert_capacity = 8
    assert expert_capacity(model) == "expert_capacity=8"


@pytest.mark.parametrize("name", ["trocr", "xlm"])
def test_models_whose_positions_move_with_padding(name: str) -> None:
    """Only prompts of one length share a batch; the user hears of it once per model."""
    local = make(name)
    assert why_no_padding(local) == "padding before a prompt changes the model's scores"
    assert why_no_batches(local) == ""
    rows: list[int] = []
    hook = local.model.register_forward_pre_hook(
        lambda _, args, kwargs: rows.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    requests = [Request(prompt, GREEDY) for prompt in ("ab", "x", "yz", "abc", "Q")]
    with pytest.warns(ShortcutWarning) as said:
        found, _ = [generate(local, requests) for _ in range(2)]
    hook.remove()
    assert max(rows) == 2
    (note,) = said
    assert f"model {name!r}: only prompts of one length share a batch" in str(note.message)
    assert [one.token_ids for one in found if isinstance(one, Generation)] == [
        alone(local, str(request.prompt)) for request in requests
    ]


@pytest.mark.parametrize("name", ["mpt", "gpt-neo", "roberta"])
def test_models_that_measure_distances_in_the_cache_are_batched(name: str) -> None:
    """Padding before a shared prefix, positions as `generate` gives them: these keep all shortcuts."""
    local, _ = answered(name)
    assert (why_no_padding(local), why_not_in_one_pass(local)) == ("", "")


def test_state_that_others_left_in_a_model() -> None:
    """RecurrentGemma keeps the end of the last prompt; one-token prompts are answered as by a model just loaded."""
    local, answers = make("recurrent-gemma"), answered("recurrent-gemma")[1]
    ids = torch.tensor([local.encode("what others asked")])
    with transformers_quiet():
        local.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=3)
    for prompt in ("x", "Z"):
        (found,) = generate(local, [Request(prompt, GREEDY)])
        assert isinstance(found, Generation)
        assert found.token_ids == answers[prompt]
