"""Adapters by their files: which base they belong to, what identifies them, and what is said of broken ones."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from pytest_llmcompare.errors import ModelError
from pytest_llmcompare.models import in_memory
from pytest_llmcompare.models.resolve import ResolvedModel, resolve
from pytest_llmcompare.models.spec import parse_specs
from tests.adapters import make_adapter

if TYPE_CHECKING:
    from .conftest import Cache, Hub

NAMING = 'Name the base by hand: base = "FOLDER_OR_HUB_ID" in [tool.llmcompare.models.m] of pyproject.toml'


@pytest.fixture(scope="module")
def adapter(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter of the small GPT-2, which names its base by an absolute path."""
    return make_adapter(weights / "gpt2", tmp_path_factory.mktemp("adapters") / "lora")


@pytest.fixture
def root(adapter: Path, weights: Path, tmp_path: Path) -> Path:
    """A project with the adapter in `tuned` and its base in `base`, by which the adapter names it."""
    shutil.copytree(weights / "gpt2", tmp_path / "base")
    shutil.copytree(adapter, tmp_path / "tuned")
    configure(tmp_path, base_model_name_or_path="./base")
    return tmp_path


def configure(root: Path, **changes: Any) -> None:
    """Change the adapter's configuration."""
    path = root / "tuned/adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def found(root: Path, source: str = "./tuned", **options: Any) -> ResolvedModel:
    table = {"source": source, "device": "cpu", **options}
    return resolve(parse_specs(["m"], {"m": table}, root)[0], root=root)


def refusal(root: Path, source: str = "./tuned", **options: Any) -> str:
    """What is said of an adapter: when it is resolved, else when it is loaded."""
    with pytest.raises(ModelError) as error:
        in_memory.hold(found(root, source, **options))
    return str(error.value).replace(str(root), "ROOT")


def test_adapter_and_base_are_found(root: Path, weights: Path) -> None:
    """The base is the one that the adapter names, and both are in the fingerprint."""
    model = found(root)
    assert (model.location, model.base, model.tokenizer) == (str(root / "tuned"), f"{root}/base", f"{root}/base")
    assert model.pins == {"base": str(root / "base")}
    assert model.base_fingerprint == found(root, "./base").fingerprint
    (root / "base/model.safetensors").write_bytes((weights / "gpt2/model.safetensors").read_bytes() + b" ")
    other_base = found(root)
    assert len({model.fingerprint, model.base_fingerprint, other_base.fingerprint, other_base.base_fingerprint}) == 4
    configure(root, lora_alpha=99)
    assert found(root).fingerprint != other_base.fingerprint
    assert found(root).base_fingerprint == other_base.base_fingerprint


def test_own_tokenizer(root: Path) -> None:
    """A tokenizer beside the adapter is taken before the base's, which need not have one then."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (root / "base" / name).rename(root / "tuned" / name)
    assert found(root).tokenizer == str(root / "tuned")
    assert in_memory.hold(found(root)).encode("a b") == [1, 2]


def test_base_of_the_table(root: Path) -> None:
    """It stands in for the one that the adapter names, which need not be there."""
    configure(root, base_model_name_or_path="/home/alice/base")
    assert found(root, base="base/../base").base == str(root / "base")
    assert refusal(root) == (
        "model 'm': the base of the adapter in ROOT/tuned cannot be used (adapter_config.json names "
        "'/home/alice/base'): there is no folder /home/alice/base.\n"
        f"Folders are relative to pytest's root, ROOT. A hub id has one '/' at most.\n{NAMING}"
    )


def test_base_of_the_hub(root: Path, weights: Path, cache: Cache) -> None:
    """It is found in the cache, in the adapter's revision; one that is missing offline is said to be at once."""
    configure(root, base_model_name_or_path="org/base", revision="v1")
    assert refusal(root).startswith(
        "model 'm': the base of the adapter in ROOT/tuned cannot be used (adapter_config.json names 'org/base'): the "
        "hub model org/base@v1 is not on this machine, and HF_HUB_OFFLINE=1 forbids asking the hub.\n"
    )
    main = cache.add("org/base", weights / "gpt2", "1" * 40)
    assert "it has no revision 'v1'; there is main." in refusal(root)
    tagged = cache.add("org/base", weights / "gpt2", "2" * 40, refs=("v1", "v2"))
    assert (found(root).base, found(root).pins) == (str(tagged), {"base": f"org/base@{'2' * 40}"})
    assert found(root, base="org/base").base == str(tagged)
    assert found(root, base="org/base@v2").base == found(root, base=found(root).pins["base"]).base == str(tagged)
    assert refusal(root, base="org/base@main") == (
        "model 'm': the base of the adapter in ROOT/tuned is org/base in revision 'main', but the adapter was trained "
        "on revision 'v1'.\nName that revision: base = \"org/base@v1\""
    )
    configure(root, revision=None)
    assert found(root).base == str(main)


def test_adapter_of_the_hub(root: Path, hub: Hub) -> None:
    """Adapter and base are downloaded once, without anything else of their repositories."""
    configure(root, base_model_name_or_path="org/base")
    (root / "tuned/optimizer.pt").write_bytes(b"x")
    hub.repositories |= {"org/tuned": root / "tuned", "org/base": root / "base"}
    model = found(root, "org/tuned")
    assert {"adapter_config.json", "adapter_model.safetensors", "model.safetensors"} < set(hub.downloaded)
    assert "optimizer.pt" not in hub.downloaded
    asked = len(hub.asked)
    assert found(root, "org/tuned") == model
    assert len(hub.asked) == asked


def test_pickled_adapter_of_the_hub(root: Path, hub: Hub) -> None:
    """It is refused before it is downloaded."""
    (root / "tuned/adapter_model.safetensors").rename(root / "tuned/adapter_model.bin")
    hub.repositories["org/tuned"] = root / "tuned"
    message = refusal(root, "org/tuned")
    assert message.startswith("model 'm' is refused: adapter_model.bin in org/tuned at ")
    assert "is pickled, and reading a pickle can run any code." in message
    assert hub.downloaded == []


def test_pickled_adapter(root: Path) -> None:
    """It is refused as any pickle is, under its own name or another, unless it is allowed by name."""
    weights = {"base_model.model.transformer.h.0.attn.c_attn.lora_A.weight": torch.zeros(2, 16)}
    torch.save(weights, root / "tuned/adapter_model.safetensors")
    assert "is refused: adapter_model.safetensors in ROOT/tuned is pickled" in refusal(root)
    (root / "tuned/adapter_model.safetensors").rename(root / "tuned/adapter_model.bin")
    assert refusal(root).startswith("model 'm' is refused: adapter_model.bin in ROOT/tuned is pickled")
    assert found(root, allow_pickle=True).base == str(root / "base")
    (root / "tuned/adapter_model.bin").write_bytes(b"")
    assert "is refused: adapter_model.bin" in refusal(root)


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no weights": (
        lambda root: (root / "tuned/adapter_model.safetensors").unlink(),
        (
            "ROOT/tuned lacks adapter_model.safetensors. There is README.md, adapter_config.json.\n"
            "Write adapter and configuration there: model.save_pretrained(FOLDER) of PEFT."
        ),
    ),
    "cut off": (
        lambda root: cut(root / "tuned/adapter_model.safetensors", 4000),
        "adapter_model.safetensors in ROOT/tuned is not whole: it has 4000 bytes instead of ",
    ),
    "header cut off": (
        lambda root: cut(root / "tuned/adapter_model.safetensors", 50),
        "adapter_model.safetensors in ROOT/tuned is not whole: it has 50 bytes, which is less than its header.\n",
    ),
    "no JSON": (
        lambda root: (root / "tuned/adapter_config.json").write_text("{"),
        "adapter_config.json in ROOT/tuned cannot be read as JSON: ",
    ),
    "no object": (
        lambda root: (root / "tuned/adapter_config.json").write_text("[]"),
        "adapter_config.json in ROOT/tuned cannot be read as JSON: expected an object.\n",
    ),
    "no base": (
        lambda root: configure(root, base_model_name_or_path=None),
        f"the base of the adapter in ROOT/tuned is not named in its adapter_config.json.\n{NAMING}",
    ),
    "base in MLflow": (
        lambda root: configure(root, base_model_name_or_path="models:/qa/3"),
        f"the base of the adapter in ROOT/tuned is 'models:/qa/3', expected a hub id or a folder.\n{NAMING}",
    ),
    "base with a control character": (
        lambda root: configure(root, base_model_name_or_path="a\x1b[31m"),
        "the base of the adapter in ROOT/tuned: 'a\\x1b[31m' holds a character that cannot be printed.",
    ),
    "base is an adapter": (
        lambda root: configure(root, base_model_name_or_path="./tuned"),
        (
            "the base of the adapter in ROOT/tuned cannot be used (adapter_config.json names './tuned'): ROOT/tuned is "
            f"an adapter itself.\n{NAMING}"
        ),
    ),
    "unknown kind": (
        lambda root: configure(root, peft_type="XLORA"),
        "the adapter in ROOT/tuned is of a kind that is not supported: XLORA for CAUSAL_LM. Expected one of ADALORA, ",
    ),
    "no kind": (
        lambda root: configure(root, peft_type=None, task_type=None),
        "the adapter in ROOT/tuned is of a kind that is not supported: no peft_type. Expected one of ADALORA, ",
    ),
    "activated LoRA": (
        lambda root: configure(root, alora_invocation_tokens=[1]),
        "the adapter in ROOT/tuned is of a kind that is not supported: LORA with alora_invocation_tokens",
    ),
    "classifier": (
        lambda root: configure(root, task_type="SEQ_CLS"),
        "the adapter in ROOT/tuned was trained for another task than writing text (SEQ_CLS).\n",
    ),
    "whole model beside it": (
        lambda root: shutil.copytree(root / "base", root / "tuned", dirs_exist_ok=True),
        "ROOT/tuned holds a whole model and a PEFT adapter (adapter_config.json), which transformers ",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_adapters(case: str, root: Path) -> None:
    """Each is a sentence at once: what, where, what was expected, what to do."""
    damage, message = BROKEN[case]
    damage(root)
    with pytest.raises(ModelError) as error:
        found(root)
    assert str(error.value).replace(str(root), "ROOT").removeprefix("model 'm': ").startswith(message)


def cut(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])


def test_adapter_of_another_base(root: Path, weights: Path) -> None:
    """Of another size, of another architecture, or with fewer layers: the base is said to be the wrong one."""
    from transformers import GPT2Config, GPT2LMHeadModel

    not_trained = "model 'm': the adapter in ROOT/tuned was not trained on the base in ROOT/base: "
    for changes, why in ({"n_embd": 32}, "size mismatch for "), ({"n_layer": 1}, "6 of its weights have no place"):
        sizes: Any = {"vocab_size": 4, "n_positions": 16, "n_embd": 16, "n_layer": 2, "n_head": 2, **changes}
        GPT2LMHeadModel(GPT2Config(**sizes)).save_pretrained(root / "base")
        message = refusal(root)
        assert message.startswith(f"{not_trained}{why}")
        assert message.endswith(NAMING.replace("Name the base by hand", "Name the base that it was trained on"))
    shutil.copytree(weights / "bloom", root / "base", dirs_exist_ok=True)
    assert (message := refusal(root)).startswith(not_trained)
    assert "Target modules {'c_" in message


def test_half_of_the_weights(root: Path) -> None:
    """An adapter that lacks some of its weights is none: they would be as before training."""
    from safetensors.torch import load_file, save_file

    path = root / "tuned/adapter_model.safetensors"
    weights = load_file(path)
    save_file({name: weight for name, weight in weights.items() if ".h.1." not in name}, path)
    assert "was not trained on the base in ROOT/base: it lacks 6 weights, such as 'base_model.model." in refusal(root)


def test_another_vocabulary(root: Path) -> None:
    """A tokenizer beside the adapter that numbers tokens in another way than the base's does is an error."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(root / "base" / name, root / "tuned")
    path = root / "tuned/tokenizer.json"
    path.write_text(path.read_text().replace('"a": 1', '"a": 2').replace('"b": 2', '"b": 1'))
    assert refusal(root).startswith(
        "model 'm': the adapter in ROOT/tuned was trained on another vocabulary than that of the base in ROOT/base: "
        "token 'a' is 2 there and 1 here.\n"
    )


def test_base_of_a_whole_model(root: Path) -> None:
    """`base` has a meaning for adapters alone."""
    assert refusal(root, "./base", base="./base") == (
        f"model 'm': base = '{'ROOT/base'}' has an effect on adapters only, and ROOT/base holds a whole model.\n"
        "Leave base out of [tool.llmcompare.models.m] of pyproject.toml."
    )


def test_without_peft(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is named, and nothing is loaded."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "peft" else find(name, *rest))
    assert refusal(root) == (
        "model 'm': ROOT/tuned holds a PEFT adapter (adapter_config.json), and the Python package 'peft' is not "
        "installed here.\nInstall it: pip install 'pytest-llmcompare[peft]'"
    )
