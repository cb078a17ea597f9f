"""Adapters: outputs are those of plain `generate`, and a base that had one attached is the pure base again."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from pytest_llmcompare.decoding.engine import generate
from pytest_llmcompare.decoding.float32_reading import in_float32
from pytest_llmcompare.decoding.float32_trial import why_not_in_float32
from pytest_llmcompare.decoding.request import Request
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.models import in_memory
from pytest_llmcompare.models.gen_config import complete
from pytest_llmcompare.models.load import LocalModel, load_model, transformers_quiet
from pytest_llmcompare.models.resolve import ResolvedModel, resolve
from pytest_llmcompare.models.spec import parse_specs
from tests.adapters import folders_loaded, load_base, load_plainly, make_adapter

from .small_models import make_model, make_tokenizer

SHARED = "The sky over the sea is blue. "
PROMPTS = ("Q: Red?\nA:", "x", "Why? Because", f"{SHARED}And?", f"{SHARED}So what?", f"{SHARED}a b c a b c")
GREEDY = {"max_new_tokens": 8}
SETTINGS: Sequence[dict[str, Any]] = (
    GREEDY,
    {"max_new_tokens": 6, "do_sample": True, "temperature": 0.9, "top_k": 20},
    {"max_new_tokens": 5, "num_beams": 2},
    {"max_new_tokens": 6, "repetition_penalty": 1.3},
)


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of small random models."""
    folder = tmp_path_factory.mktemp("bases")
    for name in ("gpt2", "llama", "t5"):
        make_model(name).save_pretrained(folder / name)
        make_tokenizer().save_pretrained(folder / name)
    return folder


class Zoo:
    """Models with adapters, and what their bases answer: each made once, not to be changed.

    Args:
        bases: Folder of the bases.
        folder: An empty folder for adapters.
    """

    def __init__(self, bases: Path, folder: Path) -> None:
        self.bases, self.folder = bases, folder
        self.models: dict[tuple[str, str], tuple[LocalModel, Any]] = {}
        self.answers: dict[tuple[str, str], list[tuple[int, ...]]] = {}

    def adapted(self, name: str, kind: str) -> tuple[LocalModel, Any]:
        """A base with an adapter, as we load it and as PEFT does."""
        if (name, kind) not in self.models:
            adapter = make_adapter(self.bases / name, self.folder / f"{name}-{kind}", kind)
            local = load_model(self.bases / name, device="cpu", adapter=str(adapter))
            self.models[name, kind] = local, load_plainly(self.bases / name, adapter)
        return self.models[name, kind]

    def of_base(self, name: str, settings: dict[str, Any]) -> list[tuple[int, ...]]:
        """What a base answers by plain `generate`."""
        key = name, str(settings)
        if key not in self.answers:
            self.answers[key] = plain_tokens(load_base(self.bases / name), requests(settings))
        return self.answers[key]


@pytest.fixture(scope="module")
def zoo(bases: Path, tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    """The models of this module."""
    return Zoo(bases, tmp_path_factory.mktemp("adapters"))


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Folders of the weights that are loaded from now on."""
    yield from folders_loaded(monkeypatch)


def requests(settings: dict[str, Any], drafts: Sequence[tuple[int, ...]] = ()) -> list[Request]:
    config = complete(settings)
    seeds = [at if config["do_sample"] else None for at in range(len(PROMPTS))]
    known: Sequence[tuple[int, ...] | None] = drafts or [None] * len(PROMPTS)
    return [Request(prompt, config, seed, draft) for prompt, seed, draft in zip(PROMPTS, seeds, known, strict=True)]


def tokens(local: LocalModel, asked: Sequence[Request]) -> list[tuple[int, ...] | None]:
    outcomes = generate(local, asked, read=True)
    assert all(isinstance(outcome, Generation) for outcome in outcomes), outcomes
    return [outcome.token_ids for outcome in outcomes if isinstance(outcome, Generation)]


def plain_tokens(model: Any, asked: Sequence[Request]) -> list[tuple[int, ...]]:
    """Tokens of `generate`, called for each prompt alone."""
    tokenizer, answers = make_tokenizer(), []
    for request in asked:
        inputs = tokenizer(request.prompt, return_tensors="pt")
        if request.seed is not None:
            torch.manual_seed(request.seed)
        with transformers_quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            row = model.generate(
                input_ids=inputs.input_ids, attention_mask=inputs.attention_mask, pad_token_id=258, **request.gen_config
            )[0]
        skip = 1 if model.config.is_encoder_decoder else inputs.input_ids.shape[1]
        answers.append(tuple(row[skip:].tolist()))
    return answers


def resolved(folder: Path, name: str = "m", **options: Any) -> ResolvedModel:
    table = {"source": str(folder), "device": "cpu", **options}
    return resolve(parse_specs([name], {name: table}, folder)[0], root=folder)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("kind", ["lora", "ia3", "prefix"])
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_outputs_of_plain_generate(name: str, kind: str, settings: dict[str, Any], zoo: Zoo) -> None:
    """In batches, after shared prefixes, along right and wrong drafts: token for token the same."""
    local, plain = zoo.adapted(name, kind)
    expected = plain_tokens(plain, requests(settings))
    assert tokens(local, requests(settings)) == expected
    base = zoo.of_base(name, settings)
    assert kind == "prefix" or base != expected
    for drafts in (expected, base):
        assert tokens(local, requests(settings, drafts)) == expected


@pytest.mark.parametrize("kind", ["lora", "ia3", "prefix"])
def test_low_precision(kind: str, bases: Path, tmp_path: Path) -> None:
    """A bfloat16 base: outputs as of plain `generate`; read in float32 if that is possible, else said to be not."""
    adapter = make_adapter(bases / "llama", tmp_path / "adapter", kind)
    local = load_model(bases / "llama", device="cpu", dtype="bfloat16", adapter=str(adapter))
    expected = plain_tokens(load_plainly(bases / "llama", adapter, dtype=torch.bfloat16), requests(GREEDY))
    assert tokens(local, requests(GREEDY)) == expected
    if kind == "prefix":
        assert "bfloat16" in why_not_in_float32(local)
        return
    assert why_not_in_float32(local) == ""
    ids = torch.tensor([[5, 80, 20, 30, 40]])
    with torch.no_grad():
        copied = copy.deepcopy(local.model).float()(input_ids=ids).logits
        with in_float32(local.model):
            assert torch.equal(local.model(input_ids=ids).logits, copied)


@pytest.mark.parametrize("kind", ["dora", "loha", "vera", "head", "bias", "pissa"])
def test_further_kinds(kind: str, bases: Path, tmp_path: Path) -> None:
    """Whatever is changed inside of the base, outputs are those of plain `generate`."""
    adapter = make_adapter(bases / "llama", tmp_path / "adapter", kind)
    local = load_model(bases / "llama", device="cpu", adapter=str(adapter))
    assert tokens(local, requests(GREEDY)) == plain_tokens(load_plainly(bases / "llama", adapter), requests(GREEDY))


def test_encoder_decoder(bases: Path, tmp_path: Path) -> None:
    """LoRA on T5."""
    adapter = make_adapter(bases / "t5", tmp_path / "adapter")
    local = load_model(bases / "t5", device="cpu", adapter=str(adapter))
    expected = plain_tokens(load_plainly(bases / "t5", adapter), requests(GREEDY))
    assert tokens(local, requests(GREEDY)) == expected
    assert tokens(local, requests(GREEDY, expected)) == expected


def test_base_and_adapters_share_weights(bases: Path, tmp_path: Path, loads: list[str]) -> None:
    """The base is loaded once; each answers as if it had been loaded by itself, and drafts are verified for each."""
    base = bases / "llama"
    folders = {kind: make_adapter(base, tmp_path / kind, kind, seed=3) for kind in ("lora", "ia3", "prefix", "dora")}
    expected = {kind: plain_tokens(load_plainly(base, folder), requests(GREEDY)) for kind, folder in folders.items()}
    expected["base"] = plain_tokens(load_base(base), requests(GREEDY))
    folders["base"] = base
    before = {name: weight.clone() for name, weight in load_base(base).named_parameters()}
    for kind in ("base", "lora", "base", "ia3", "lora", "prefix", "dora", "base"):
        with in_memory.using(resolved(folders[kind])) as local:
            assert tokens(local, requests(GREEDY)) == expected[kind], kind
            assert tokens(local, requests(GREEDY, expected[kind])) == expected[kind]
    assert loads == ["llama"]
    with in_memory.using(resolved(base)) as local:
        after = dict(local.model.named_parameters())
        assert after.keys() == before.keys()
        assert all(torch.equal(weight, before[name]) for name, weight in after.items())


@pytest.mark.parametrize("kind", ["bias", "pissa"])
def test_adapter_that_changes_its_base(kind: str, bases: Path, tmp_path: Path, loads: list[str]) -> None:
    """Biases and PiSSA are written into the base's own weights; the base is then loaded anew."""
    base = bases / "gpt2"
    adapter = make_adapter(base, tmp_path / "adapter", kind)
    expected = plain_tokens(load_base(base), requests(GREEDY))
    for folder in (base, adapter, base):
        with in_memory.using(resolved(folder)) as local:
            assert (tokens(local, requests(GREEDY)) == expected) == (folder == base)
    assert loads == ["gpt2", "gpt2"]


def test_shortcuts_are_tried_for_each_adapter(bases: Path, tmp_path: Path, loads: list[str]) -> None:
    """What was found out about the base is not taken for its adapters, and the other way round."""
    base, adapter = bases / "gpt2", make_adapter(bases / "gpt2", tmp_path / "adapter", "lora")
    with in_memory.using(resolved(base)) as local:
        first = local.model
    with in_memory.using(resolved(adapter)) as local:
        assert local.model is not first
        assert type(local.model) is type(first)
    with in_memory.using(resolved(base)) as local:
        assert local.model is first
    assert loads == ["gpt2"]


def test_virtual_tokens_take_context(bases: Path, tmp_path: Path) -> None:
    """They have positions, too."""
    adapter = make_adapter(bases / "gpt2", tmp_path / "adapter", "prefix")
    local, whole = (load_model(bases / "gpt2", device="cpu", adapter=one) for one in (str(adapter), ""))
    assert (local.context, local.virtual_tokens) == ((whole.context or 0) - 4, 4)
    assert local.context_is_hard == whole.context_is_hard


@pytest.mark.parametrize("kind", ["prefix", "prompt"])
def test_lost_virtual_tokens_are_said(kind: str, bases: Path, tmp_path: Path) -> None:
    """Where `generate` loses them, a note says so; else drafts are verified."""
    adapter = make_adapter(bases / "llama", tmp_path / "adapter", kind, scale=2.0)
    local = load_model(bases / "llama", device="cpu", adapter=str(adapter))
    expected = plain_tokens(load_plainly(bases / "llama", adapter), requests(GREEDY))
    outcomes = generate(local, requests(GREEDY, expected))
    assert [outcome.token_ids for outcome in outcomes if isinstance(outcome, Generation)] == expected
    verified = [outcome.verified for outcome in outcomes if isinstance(outcome, Generation)]
    loses = bool(local.notes)
    assert all(verified) != loses
    assert not loses or "loses the adapter's virtual tokens" in local.notes[0]
