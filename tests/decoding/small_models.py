"""Small real models with random weights, made on the fly, and what transformers itself says of them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    GenerationConfig,
    PreTrainedTokenizerFast,
    TextGenerationPipeline,
)

from pytest_llmcompare.decoding.request import Request
from pytest_llmcompare.models.gen_config import complete
from pytest_llmcompare.models.load import LocalModel, load_model, transformers_quiet

torch.set_num_threads(1)  # for models of this size more threads only wait for each other
TRAINED = Path(__file__).parents[2] / "example_suite" / "models"
VOCABULARY = 260  # 256 bytes and four special tokens
SIZE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "initializer_range": 0.4,
}
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": (
        "GPT2Config",
        {
            "n_positions": 96,
            "n_embd": 32,
            "n_layer": 2,
            "n_head": 4,
            "vocab_size": VOCABULARY,
            "initializer_range": 0.4,
        },
    ),
    "bloom": (
        "BloomConfig",
        {"vocab_size": VOCABULARY, "hidden_size": 32, "n_layer": 2, "n_head": 4, "initializer_range": 0.4},
    ),
    "llama": ("LlamaConfig", SIZE),
    "mistral": ("MistralConfig", {**SIZE, "sliding_window": 4}),
    "gemma": ("GemmaConfig", SIZE),
    "gemma2": ("Gemma2Config", {**SIZE, "sliding_window": 4}),
    "qwen2": ("Qwen2Config", SIZE),
    "mamba": (
        "MambaConfig",
        {
            "vocab_size": VOCABULARY,
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "state_size": 8,
            "initializer_range": 0.4,
        },
    ),
    "t5": (
        "T5Config",
        {
            "vocab_size": VOCABULARY,
            "d_model": 32,
            "d_kv": 8,
            "d_ff": 48,
            "num_layers": 2,
            "num_heads": 4,
            "decoder_start_token_id": 258,
            "initializer_factor": 3.0,
        },
    ),
}
PROMPTS = ("Q: Red?\nA:", "x", "Why? Because", "the sky over the sea", "ähnlich 猫", "a b c a b c", "Z")


def make_tokenizer(pad: bool = True) -> Any:
    """A tokenizer whose tokens are single bytes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = [*alphabet, "<s>", "</s>", "<pad>", "<more>"]
    core = Tokenizer(BPE({name: index for index, name in enumerate(names)}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = {"bos_token": "<s>", "eos_token": "</s>", **({"pad_token": "<pad>"} if pad else {})}
    return PreTrainedTokenizerFast(tokenizer_object=core, **special)  # type: ignore[no-untyped-call]


def make_model(name: str, **changes: Any) -> Any:
    """A model of an architecture, with weights that depend on nothing but its name."""
    kind, facts = CONFIGS[name]
    ids = {"bos_token_id": 256, "eos_token_id": 257}
    config = getattr(transformers, kind)(**{**ids, **facts, **changes})
    auto: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(sum(map(ord, name)))
        return auto.from_config(config).eval()


def make(name: str, pad: bool = True, **changes: Any) -> LocalModel:
    """A whole model of an architecture."""
    return LocalModel(name, make_model(name, **changes), make_tokenizer(pad))


@dataclass
class Answered:
    """What transformers says to a prompt asked alone."""

    text: str
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]


@dataclass
class Reference:
    """Transformers' own ways of asking a model one prompt."""

    local: LocalModel
    answers: dict[str, Answered] = field(default_factory=dict)
    rows: dict[str, torch.Tensor] = field(default_factory=dict)

    @cached_property
    def pipeline(self) -> Any:
        return TextGenerationPipeline(model=self.local.model, tokenizer=self.local.tokenizer)  # type: ignore[no-untyped-call]

    def answer(self, request: Request) -> Answered:
        """The answer of `model.generate`, called for this prompt alone."""
        if not request.gen_config["do_sample"]:
            request = replace(request, seed=None)  # asked once for all seeds
        asked = repr(request)
        if asked not in self.answers:
            self.answers[asked] = self.new_answer(request)
        return self.answers[asked]

    def new_answer(self, request: Request) -> Answered:
        """The same, asked now."""
        model = self.local.model
        if request.seed is not None:
            torch.manual_seed(request.seed)
        with transformers_quiet():
            whole = model.config.is_encoder_decoder  # the pipeline is for models without an encoder
            text, given = self.by_generate(request) if whole else self.by_pipeline(request)
        start = 1 if whole else len(self.local.tokenizer(request.prompt)["input_ids"])
        scores: tuple[float, ...] = ()
        if request.gen_config.get("num_beams", 1) == 1:
            likelihood = model.compute_transition_scores(given.sequences, given.scores, normalize_logits=True)
            scores = tuple(likelihood[0].tolist())
        return Answered(text, tuple(given.sequences[0, start:].tolist()), scores)

    def by_pipeline(self, request: Request) -> tuple[str, Any]:
        """The text of the pipeline, and what its call of `model.generate` gave."""
        generate, given = self.local.model.generate, []

        def keep(*arguments: Any, **options: Any) -> Any:
            given.append(generate(*arguments, **options, return_dict_in_generate=True, output_scores=True))
            return given[0].sequences

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.local.model, "generate", keep)
            answered = self.pipeline(
                request.prompt,
                return_full_text=False,
                generation_config=GenerationConfig(**request.gen_config),  # type: ignore[no-untyped-call]
                tokenizer=self.local.tokenizer,
            )
        return str(answered[0]["generated_text"]), given[0]

    def by_generate(self, request: Request) -> tuple[str, Any]:
        """The text that the tokenizer makes of what `model.generate` gives: all that follows the first token."""
        tokenizer = self.local.tokenizer
        inputs = tokenizer(request.prompt, return_tensors="pt")
        pipelines_own = {"temperature": 0.7} if request.gen_config["do_sample"] else {}
        settings = {**pipelines_own, **request.gen_config}
        given = self.local.model.generate(
            inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            generation_config=GenerationConfig(**settings),  # type: ignore[no-untyped-call]
            tokenizer=tokenizer,
            return_dict_in_generate=True,
            output_scores=True,
        )
        return tokenizer.decode(given.sequences[0, 1:], skip_special_tokens=True), given


@cache
def reference(name: str) -> Reference:
    """A model with its reference, made once per process; its weights and settings are not to be changed."""
    trained = TRAINED / name
    return Reference(load_model(trained, name=name, device="cpu") if trained.is_dir() else make(name))


def ask(gen_config: Mapping[str, Any], prompts: Sequence[str] = PROMPTS, seed: int | None = None) -> list[Request]:
    """Requests with the same settings, and with seeds of their own where there is one."""
    seeds = [None if seed is None else seed + place for place in range(len(prompts))]
    return [Request(prompt, complete(gen_config), own) for prompt, own in zip(prompts, seeds, strict=True)]
