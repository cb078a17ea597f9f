"""Small PEFT adapters of any kind, with weights large enough to change what their base writes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from pytest_llmcompare.models import in_memory, load, weights

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "lora": ("LoraConfig", {"r": 2}),
    "dora": ("LoraConfig", {"r": 2, "use_dora": True}),
    "bias": ("LoraConfig", {"r": 2, "bias": "all"}),
    "head": ("LoraConfig", {"r": 2, "modules_to_save": ["lm_head"]}),
    "pissa": ("LoraConfig", {"r": 2, "init_lora_weights": "pissa"}),
    "ia3": ("IA3Config", {}),
    "loha": ("LoHaConfig", {"r": 2}),
    "vera": ("VeraConfig", {"r": 2}),
    "prefix": ("PrefixTuningConfig", {"num_virtual_tokens": 4}),
    "prompt": ("PromptTuningConfig", {"num_virtual_tokens": 3}),
}


def make_adapter(
    base: Path, folder: Path, kind: str = "lora", *, seed: int = 0, scale: float = 0.3, **changes: Any
) -> Path:
    """Write an adapter of a base model into a folder, with random weights; return the folder."""
    model = load_base(base)
    name, options = KINDS[kind]
    task = "SEQ_2_SEQ_LM" if model.config.is_encoder_decoder else "CAUSAL_LM"
    config = getattr(peft, name)(task_type=task, **{**options, **targets_of(model, kind), **changes})
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        adapted = peft.get_peft_model(model, config)
        for weight in adapted.parameters():
            if weight.requires_grad:
                weight.add_(scale * torch.randn_like(weight))
    adapted.save_pretrained(str(folder), save_embedding_layers=False)
    return folder


def targets_of(model: Any, kind: str) -> dict[str, Any]:
    """The modules that an adapter of some kind changes in a model."""
    if kind in ("prefix", "prompt"):
        return {}
    names = {"gpt2": ["c_attn", "c_proj"], "t5": ["q", "v", "wo"], "bloom": ["query_key_value", "dense_4h_to_h"]}
    targets = names.get(model.config.model_type, ["q_proj", "v_proj", "down_proj"])
    if kind == "vera":
        return {"target_modules": targets[:1]}
    if kind == "ia3":
        return {"target_modules": targets, "feedforward_modules": targets[-1:]}
    return {"target_modules": targets}


def load_base(folder: Path, **options: Any) -> Any:
    """A base model as transformers loads it."""
    try:
        auto: Any = AutoModelForCausalLM
        return auto.from_pretrained(folder, **options).eval()
    except ValueError:
        return AutoModelForSeq2SeqLM.from_pretrained(folder, **options).eval()


def load_plainly(base: Path, adapter: Path, **options: Any) -> Any:
    """Base and adapter as PEFT loads them, in the base's precision as transformers does."""
    wrapper: Any = peft.PeftModel
    return wrapper.from_pretrained(load_base(base, **options), str(adapter), autocast_adapter_dtype=False).eval()


def folders_loaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Yield the folders of the weights that are loaded from now on; nothing is in memory before or after."""
    in_memory.release()
    folders: list[str] = []
    load_weights = weights.load_weights

    def counted(location: str, **options: Any) -> Any:
        folders.append(Path(location).name)
        return load_weights(location, **options)

    monkeypatch.setattr(load, "load_weights", counted)
    yield folders
    in_memory.release()
