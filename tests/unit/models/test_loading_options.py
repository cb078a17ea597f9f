"""Options of a model's table that say how its files are found and loaded: what they take, and what they change."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmcompare.errors import ModelError, UsageError
from pytest_llmcompare.models.loading_options import KEYS, LoadingOptions
from pytest_llmcompare.models.resolve import ResolvedModel, resolve
from pytest_llmcompare.models.run_settings import with_settings
from pytest_llmcompare.models.spec import ModelSpec, parse_specs
from pytest_llmcompare.settings import Settings

if TYPE_CHECKING:
    from .conftest import Cache, Hub

TABLE = "[tool.llmcompare.models.m] in pyproject.toml"
OUTSIDE = f"leads out of the model's folder, expected {KEYS['subfolder'][1]}."


def spec(root: Path, source: str = "gpt2", **options: Any) -> ModelSpec:
    return parse_specs(["m"], {"m": {"source": source, **options}}, root)[0]


def found(root: Path, source: str = "gpt2", **options: Any) -> ResolvedModel:
    return resolve(spec(root, source, **options), root=root)


def refusal(root: Path, source: str = "gpt2", **options: Any) -> str:
    with pytest.raises(ModelError) as error:
        found(root, source, **options)
    return str(error.value)


def test_options_of_a_table(tmp_path: Path) -> None:
    """Each is carried by the spec; folders become absolute, hub ids stay as they are."""
    options: dict[str, Any] = {
        "subfolder": "checkpoint-500",
        "attn_implementation": "eager",
        "max_memory": {"0": "20GiB", "cpu": 10**9},
        "offload_folder": "spill",
        "tokenizer": "./words",
        "base": "org/base@v1",
    }
    assert spec(tmp_path, **options).loading == LoadingOptions(
        **{**options, "offload_folder": str(tmp_path / "spill"), "tokenizer": str(tmp_path / "words")}
    )
    assert spec(tmp_path).loading == LoadingOptions()
    assert spec(tmp_path, tokenizer="gpt2").loading.tokenizer == "gpt2"
    assert spec(tmp_path, gguf_file="q8/model.gguf").loading.gguf_file == "q8/model.gguf"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sub_folder": "x"}, "unknown key 'sub_folder'. Did you mean 'subfolder'?"),
        (
            {"attention_implementation": "x"},
            "unknown key 'attention_implementation'. Did you mean 'attn_implementation'?",
        ),
        ({"subfolder": 3}, f"subfolder = 3, expected {KEYS['subfolder'][1]}."),
        (
            {"subfolder": "../x"},
            f"subfolder = '../x' leads out of the model's folder, expected {KEYS['subfolder'][1]}.",
        ),
        ({"subfolder": "/x"}, f"subfolder = '/x' leads out of the model's folder, expected {KEYS['subfolder'][1]}."),
        ({"subfolder": "a\\..\\..\\x"}, f"subfolder = 'a\\\\..\\\\..\\\\x' {OUTSIDE}"),
        ({"attn_implementation": "eagr"}, "attn_implementation 'eagr' is not known. Did you mean 'eager'?"),
        (
            {"attn_implementation": "kernels-community/flash-attn"},
            (
                "attn_implementation 'kernels-community/flash-attn' is not known. Known: eager, flash_attention_2, "
                "flash_attention_3, flex_attention, sdpa."
            ),
        ),
        ({"gguf_file": "model.bin"}, f"gguf_file = 'model.bin', expected {KEYS['gguf_file'][1]}."),
        (
            {"max_memory": {"gpu": "1GiB"}},
            "max_memory names the device 'gpu', expected the number of a GPU, cpu, mps or disk.",
        ),
        (
            {"max_memory": {"0": "much"}},
            "max_memory gives '0' 'much', expected text such as '20GiB', or a number of bytes.",
        ),
        (
            {"max_memory": {"0": True}},
            "max_memory gives '0' True, expected text such as '20GiB', or a number of bytes.",
        ),
        (
            {"max_memory": {"cpu": "1GiB"}, "device": "cpu"},
            "max_memory has no effect with device = 'cpu'. Leave one of them out, or set device = \"auto\".",
        ),
        ({"tokenizer": "models:/qa/3"}, "tokenizer = 'models:/qa/3', expected text: a hub id or a folder."),
        ({"base": "echo:"}, "base = 'echo:', expected text: a hub id or a folder."),
        (
            {"source": "models:/qa/3", "subfolder": "x"},
            (
                "subfolder has no effect on this model, because it is loaded as it was logged: log it with that option "
                "(PyfuncTransformer(..., subfolder=...)). Leave it out."
            ),
        ),
        (
            {"source": "openai:qa@http://127.0.0.1:8000/v1", "tokenizer": "gpt2"},
            "tokenizer has no effect on this model, because its server decides. Leave it out.",
        ),
        (
            {"source": "echo:", "base": "gpt2"},
            "base has no effect on this model, because only hub models and folders have it. Leave it out.",
        ),
    ],
    ids=str,
)
def test_faulty_options(options: Mapping[str, Any], message: str, tmp_path: Path) -> None:
    """Each is one sentence with the value and what was expected."""
    with pytest.raises(UsageError) as error:
        spec(tmp_path, **{"source": "gpt2", **options})
    assert str(error.value) == f"{TABLE}: {message}"


def test_limited_memory_spreads_the_weights(tmp_path: Path) -> None:
    """`max_memory` stands for device = "auto", unless the run names one device; then it has no effect."""
    limited = spec(tmp_path, max_memory={"cpu": "1GiB"}, offload_folder="/spill")
    assert limited.device == "auto"
    assert limited.loading.arguments("auto") == {"max_memory": {"cpu": "1GiB"}, "offload_folder": "/spill"}
    assert LoadingOptions(max_memory={"0": 5}).arguments("auto") == {"max_memory": {0: 5}}
    run = Settings(device="cpu", origins={"device": "--llm-device"})
    assert with_settings(limited, run).device == "cpu"
    assert with_settings(limited, run).loading == LoadingOptions()


def test_subfolder_of_a_folder(weights: Path, tmp_path: Path) -> None:
    """The model is found there, and is the one that naming that folder gives."""
    shutil.copytree(weights / "gpt2", tmp_path / "run/checkpoint-500")
    inner = found(tmp_path, "./run", subfolder="checkpoint-500")
    assert inner.location == str(tmp_path / "run/checkpoint-500")
    assert inner.fingerprint == found(tmp_path, "./run/checkpoint-500").fingerprint
    assert refusal(tmp_path, "./run", subfolder="checkpoint-50") == (
        f"model 'm': there is no folder 'checkpoint-50' in {tmp_path}/run, which subfolder names. "
        "Did you mean 'checkpoint-500'?\nCorrect subfolder in [tool.llmcompare.models.m] of pyproject.toml."
    )


def test_subfolder_of_a_cached_repository(weights: Path, cache: Cache, tmp_path: Path) -> None:
    """It is found in the snapshot, with a fingerprint of its own; one that is not there is said to be missing."""
    snapshot = cache.add("org/both", weights / "gpt2")
    shutil.copytree(weights / "bloom", snapshot / "bloom")
    whole, inner = found(tmp_path, "org/both"), found(tmp_path, "org/both", subfolder="bloom")
    assert inner.location == f"{whole.location}/bloom"
    assert inner.revision == whole.revision
    assert inner.fingerprint != whole.fingerprint
    assert f"{snapshot}/blom: the download is not complete, it lacks blom/.\n" in refusal(
        tmp_path, "org/both", subfolder="blom"
    )


def test_subfolder_is_downloaded_alone(weights: Path, hub: Hub, tmp_path: Path) -> None:
    """Of the rest of the repository nothing is fetched; a folder that the hub does not have is named."""
    shutil.copytree(weights / "gpt2", tmp_path / "repo")
    shutil.copytree(weights / "sharded", tmp_path / "repo/inner")
    hub.repositories["org/m"] = tmp_path / "repo"
    assert found(tmp_path, "org/m", subfolder="inner").location.endswith("/inner")
    assert "model.safetensors" not in hub.downloaded
    assert "there is no folder 'iner' in org/m at " in (message := refusal(tmp_path, "org/m", subfolder="iner"))
    assert "which subfolder names. Did you mean 'inner'?\n" in message


def test_tokenizer_of_another_folder(weights: Path, tmp_path: Path) -> None:
    """A folder without a tokenizer is whole with it, and the fingerprint changes with its files alone."""
    shutil.copytree(weights / "gpt2", tmp_path / "bare", ignore=shutil.ignore_patterns("tokenizer*"))
    shutil.copytree(weights / "gpt2", tmp_path / "words")
    assert 'or name one: tokenizer = "FOLDER_OR_HUB_ID" in [tool.llmcompare.models.m]' in refusal(tmp_path, "./bare")
    first = found(tmp_path, "./bare", tokenizer="words/../words")
    assert first.tokenizer == str(tmp_path / "words")
    (tmp_path / "words/model.safetensors").unlink()
    assert found(tmp_path, "./bare", tokenizer="./words").fingerprint == first.fingerprint
    (tmp_path / "words/tokenizer.json").write_text((tmp_path / "words/tokenizer.json").read_text() + " ")
    assert found(tmp_path, "./bare", tokenizer="./words").fingerprint != first.fingerprint
    assert f"there is no folder {tmp_path}/wrds. Did you mean 'words' beside it?" in refusal(
        tmp_path, "./bare", tokenizer="./wrds"
    )


def test_tokenizer_of_the_hub(weights: Path, cache: Cache, tmp_path: Path) -> None:
    """It is found in the cache, where nothing but the tokenizer need be, and pinned to its commit."""
    shutil.copytree(weights / "gpt2", tmp_path / "bare", ignore=shutil.ignore_patterns("tokenizer*"))
    shutil.copytree(weights / "gpt2", tmp_path / "words", ignore=shutil.ignore_patterns("*.safetensors", "config.json"))
    snapshot = cache.add("org/words", tmp_path / "words")
    model = found(tmp_path, "./bare", tokenizer="org/words")
    assert model.tokenizer == str(snapshot)
    assert model.pins == {"tokenizer": f"org/words@{snapshot.name}"}
    assert "the hub model org/wrds is not on this machine, and HF_HUB_OFFLINE=1 forbids" in refusal(
        tmp_path, "./bare", tokenizer="org/wrds"
    )


def test_tokenizer_is_downloaded_without_weights(weights: Path, hub: Hub, tmp_path: Path) -> None:
    """Of the repository of a tokenizer no weights are fetched."""
    hub.repositories["org/m"] = weights / "gpt2"
    assert found(tmp_path, str(weights / "gpt2"), tokenizer="org/m").tokenizer
    assert "tokenizer.json" in hub.downloaded
    assert "model.safetensors" not in hub.downloaded
