"""Models that accelerate places, on one device or in part on disk, answer as they do in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from pytest_llmcompare.decoding.engine import Outcome, generate
from pytest_llmcompare.decoding.request import Request
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.models.load import LocalModel, load_model, transformers_quiet

from .small_models import PROMPTS, TRAINED, ask, make_model, make_tokenizer, reference

EXAMPLES = "Q: Sky?\nA: Blue.\nQ: Sun?\nA: "  # long enough to be shared
LAYERS = {"gpt2": "transformer.h", "llama": "model.layers", "mistral": "model.layers", "bloom": "transformer.h"}
SETTINGS: dict[str, dict[str, Any]] = {
    "greedy": {"max_new_tokens": 5},
    "drawn": {"max_new_tokens": 4, "do_sample": True, "top_k": 20},
    "beams": {"max_new_tokens": 3, "num_beams": 2},
}


def requests_of(name: str, settings: str) -> tuple[list[Request], list[tuple[int, ...]]]:
    """Requests with right drafts, and the tokens that a model in memory answers when asked one by one."""
    asked = ask(SETTINGS[settings], [EXAMPLES + prompt for prompt in PROMPTS[:4]], seed=7)
    tokens = [reference(name).answer(request).tokens for request in asked]
    return [replace(request, draft=right) for request, right in zip(asked, tokens, strict=True)], tokens


def check(found: Sequence[Outcome], tokens: Sequence[tuple[int, ...]], *, verified: bool) -> None:
    """Outputs are these tokens, and drafts were confirmed or not."""
    for outcome, expected in zip(found, tokens, strict=True):
        assert isinstance(outcome, Generation), outcome
        assert outcome.token_ids == expected
        assert outcome.verified == verified, outcome.unverified


def split(name: str, folder: Path, places: Mapping[str, str]) -> LocalModel:
    """A model whose parts are where a device map puts them."""
    make_model(name).save_pretrained(folder / "saved")
    auto: Any = AutoModelForSeq2SeqLM if name == "t5" else AutoModelForCausalLM
    with transformers_quiet():
        model = auto.from_pretrained(folder / "saved", device_map=dict(places), offload_folder=folder / "offloaded")
    assert "disk" in model.hf_device_map.values()
    return LocalModel(name, model.eval(), make_tokenizer())


@pytest.mark.parametrize("name", ["tiny-gpt2", "tiny-bloom"])
def test_placed_automatically(name: str) -> None:
    """`auto` uses what there is, and where that is one device it answers as on that one, drafts included."""
    auto, usual = load_model(TRAINED / name, device="auto"), load_model(TRAINED / name)
    assert auto.environment == usual.environment
    asked = ask({"max_new_tokens": 6}, [EXAMPLES + prompt for prompt in PROMPTS])
    expected = generate(usual, asked, shortcuts=False, batch_size=1)
    tokens = [one.token_ids or () for one in expected if isinstance(one, Generation)]
    check(generate(auto, asked), tokens, verified=False)
    drafted = [replace(request, draft=right) for request, right in zip(asked, tokens, strict=True)]
    check(generate(auto, drafted), tokens, verified=True)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("name", LAYERS)
def test_one_layer_on_disk(name: str, settings: str, tmp_path: Path) -> None:
    """A model of which a layer is fetched from disk at each pass says what it says in memory."""
    parts = make_model(name).named_modules()
    leaves = {part: "cpu" for part, module in parts if not [*module.children()] and LAYERS[name] not in part}
    local = split(name, tmp_path, {**leaves, f"{LAYERS[name]}.0": "cpu", f"{LAYERS[name]}.1": "disk"})
    assert {part.device.type for part in local.model.parameters()} == {"cpu", "meta"}
    requests, tokens = requests_of(name, settings)
    check(generate(local, [replace(request, draft=None) for request in requests]), tokens, verified=False)
    check(generate(local, requests), tokens, verified=settings != "beams")


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2", "mamba", "t5"])
def test_all_on_disk(name: str, settings: str, tmp_path: Path) -> None:
    """A model of which nothing is in memory between passes computes on the processor and says the same."""
    local = split(name, tmp_path, {"": "disk"})
    assert (local.model.device.type, local.device.type) == ("meta", "cpu")
    assert dict(local.environment)["device"] == "cpu"
    requests, tokens = requests_of(name, settings)
    check(generate(local, [replace(request, draft=None) for request in requests]), tokens, verified=False)
    check(generate(local, requests), tokens, verified=settings != "beams")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU has room for it")
@pytest.mark.parametrize(("kilobytes", "in_memory"), [(1, False), (1700, True)])
def test_too_little_memory(kilobytes: int, in_memory: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit into the memory that is left stays on disk, and outputs are what they are otherwise."""
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=kilobytes * 1024))
    local = load_model(TRAINED / "tiny-gpt2", device="auto")
    assert set(local.model.hf_device_map.values()) == ({"cpu", "disk"} if in_memory else {"disk"})
    requests, tokens = requests_of("tiny-gpt2", "greedy")
    check(generate(local, requests), tokens, verified=True)
