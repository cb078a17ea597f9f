"""Models and prompts for the benchmarks of verdicts and noise, and a line about this machine."""

from __future__ import annotations

import csv
import os
import platform
import sys
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers

from pytest_llmcompare.models.load import LocalModel, load_model

SUITE = Path(__file__).resolve().parent.parent / "example_suite"
sys.path.append(str(SUITE))

from corpus import ARTICLE_EXAMPLES, Fact, facts  # noqa: E402 - the example suite is no package

TRAINED = ("tiny-gpt2", "tiny-gpt2-distil", "tiny-bloom")
SHARP = 100.0  # largest score (logit) of the sharp model
COMMON = {"vocab_size": 768, "bos_token_id": 0, "eos_token_id": 0, "max_position_embeddings": 512}
WIDE = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 4, "head_dim": 32, "initializer_range": 0.1}
DEEP = {"hidden_size": 128, "num_hidden_layers": 4, "initializer_range": 0.3}
GROUPED = {"num_attention_heads": 8, "num_key_value_heads": 2}  # heads that share keys and values
RANDOM: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", {**COMMON, **WIDE, **GROUPED}),
    "qwen2": ("Qwen2Config", {**COMMON, **WIDE, **GROUPED}),
    "mamba": ("MambaConfig", {"vocab_size": 768, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0, **DEEP}),
    "gemma2": ("Gemma2Config", {**COMMON, **WIDE, **GROUPED, "sliding_window": 512}),
    "gpt2-large-size": ("GPT2Config", {"n_layer": 36, "n_embd": 1280, "n_head": 20, "initializer_range": 0.05}),
}
"""Architectures with random weights, whose scores have many near ties."""


def trained(name: str, dtype: str = "float32") -> LocalModel:
    """Load a model of the example suite."""
    return load_model(SUITE / "models" / name, name=name, dtype=dtype, device="cpu")


def random(name: str, dtype: str = "float32") -> LocalModel:
    """Make a model with random weights, seeded by its name, and the tokenizer of tiny-gpt2."""
    kind, settings = RANDOM[name]
    torch.manual_seed(sum(map(ord, name)))
    model = transformers.AutoModelForCausalLM.from_config(getattr(transformers, kind)(**settings))
    return LocalModel(name, model.to(getattr(torch, dtype)).eval(), trained("tiny-gpt2").tokenizer)


def sharp(dtype: str = "float32") -> LocalModel:
    """Make a tiny-gpt2 whose largest score is about `SHARP`."""
    local = trained("tiny-gpt2")
    ids = torch.tensor([local.encode(facts()[0].prompt)])
    with torch.no_grad():
        factor = SHARP / float(local.model(ids).logits.abs().max())
    embedding = local.model.lm_head.weight.detach()
    local.model.lm_head = torch.nn.Linear(embedding.shape[1], embedding.shape[0], bias=False)
    local.model.lm_head.weight = torch.nn.Parameter(embedding * factor)  # no longer tied
    local.model.to(getattr(torch, dtype)).eval()
    return LocalModel("sharp", local.model, local.tokenizer)


def subject(name: str, dtype: str = "float32") -> LocalModel:
    """Make or load a model by name."""
    if name == "sharp":
        return sharp(dtype)
    return trained(name, dtype) if name in TRAINED else random(name, dtype)


def examples(count: int = len(ARTICLE_EXAMPLES)) -> str:
    """Few-shot examples as one text, to stand before a question."""
    return "".join(fact.prompt + fact.completion for fact in ARTICLE_EXAMPLES[:count])


def questions(count: int) -> list[str]:
    """Prompts: those of the example suite's table, then a sample of the corpus."""
    with (SUITE / "trivia.csv").open(encoding="utf-8", newline="") as file:
        table = [row["prompt"] for row in csv.DictReader(file)]
    known = {*table}
    others: list[Fact] = [fact for fact in facts() if fact.prompt not in known]
    step = max(1, len(others) // max(1, count - len(table)))
    return [*table, *(fact.prompt for fact in others[::step])][:count]


def machine() -> str:
    """Processor and versions that figures were measured with."""
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores {platform.machine()} ({torch.backends.cpu.get_cpu_capability()}), {versions}"
