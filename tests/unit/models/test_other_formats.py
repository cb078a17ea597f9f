"""Folders and files that hold a model in another form than transformers reads: what they are, and what to do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pytest_llmcompare.errors import ModelError
from pytest_llmcompare.models.resolve import resolve
from pytest_llmcompare.models.spec import parse_specs

from .conftest import COMMIT, OTHER_COMMIT, Cache

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"


@pytest.fixture
def root(tmp_path: Path, weights: Path) -> Path:
    """A project with a whole model in `tiny`."""
    shutil.copytree(weights / "gpt2", tmp_path / "tiny")
    return tmp_path


def refusal(text: str, root: Path) -> str:
    with pytest.raises(ModelError) as error:
        resolve(parse_specs([text], {}, root)[0], root=root)
    return str(error.value)


def test_output_of_a_trainer(root: Path) -> None:
    """Its checkpoints are named, the latest first by their number."""
    out = root / "out"
    for step in (500, 1500, 90):
        shutil.copytree(root / "tiny", out / f"checkpoint-{step}")
    (out / "trainer_state.json").write_text("{}")
    message = refusal("qa=./out", root)
    assert (
        f"{out} holds checkpoints of a training run, in checkpoint-1500/, checkpoint-500/, checkpoint-90/." in message
    )
    assert message.endswith(f"Name one of them: qa={out}/checkpoint-1500 (the latest)")


def test_folder_of_models(root: Path) -> None:
    """Any folder that has models in folders of it says so."""
    shutil.copytree(root / "tiny", root / "all/best")
    (root / "all/adapter").mkdir()
    (root / "all/adapter/adapter_config.json").write_text("{}")
    message = refusal("./all", root)
    assert "holds no model itself, but models in adapter/, best/." in message


def test_trainer_output_with_the_final_model(root: Path) -> None:
    """A whole model beside its checkpoints is a model."""
    shutil.copytree(root / "tiny", root / "tiny/checkpoint-500")
    assert resolve(parse_specs(["./tiny"], {}, root)[0], root=root).location == str(root / "tiny")


def test_folders_of_the_hubs_cache(root: Path, cache: Cache, weights: Path) -> None:
    """The model is named by its id, and the folder with its files."""
    cache.add("org/small", weights / "gpt2", OTHER_COMMIT, refs=())
    snapshot = cache.add("org/small", weights / "gpt2")
    home = snapshot.parent.parent
    for folder in (home, home / "snapshots", home / "blobs", home / "refs"):
        message = refusal(f"qa={folder}", root)
        assert str(snapshot) in message or folder.name == "snapshots"
        assert COMMIT in message or OTHER_COMMIT in message
    assert f"Name it by its id, qa=org/small, or the folder of its files: qa={snapshot}" in refusal(f"qa={home}", root)
    assert "Name a model in it by its id, with HF_HUB_CACHE set to that folder: qa=org/small" in refusal(
        f"qa={cache.folder}", root
    )
    shutil.rmtree(home / "snapshots")
    assert "hf download org/small" in refusal(f"qa={home}", root)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("model-Q4_K_M.gguf", "GGUF, the format of llama.cpp and Ollama"),
        ("model.onnx", "ONNX"),
        ("tf_model.h5", "TensorFlow"),
        ("flax_model.msgpack", "Flax"),
        ("consolidated.00.pth", "the format of its authors' training code"),
        ("consolidated.safetensors", "the format of its authors' training code"),
        ("last.ckpt", "a checkpoint of PyTorch"),
        ("weights.pt", "a checkpoint of PyTorch"),
        ("model.bin", "a checkpoint of PyTorch"),
        ("weights.npz", "numpy arrays"),
        ("openvino_model.bin", "compiled for another runtime"),
        ("gpt2-v2.safetensors", "safetensors under another name"),
    ],
)
def test_weights_that_are_not_read(name: str, says: str, root: Path) -> None:
    """Alone, beside configuration and tokenizer, and named as a file: what it is, and what to do."""
    (root / "tiny/model.safetensors").unlink()
    (root / "tiny" / name).write_bytes(b"GGUF")
    (root / "alone").mkdir()
    shutil.copy(root / "tiny" / name, root / "alone")
    for folder in ("./tiny", "./alone"):
        message = refusal(folder, root)
        assert f"{name} is not read: it is {says}" in message
        assert len(message.splitlines()) == 3
    if not name.endswith((".safetensors", ".gguf")):  # a file of GGUF is read
        assert f"{root / 'alone' / name} is not read: it is {says}" in refusal(f"./alone/{name}", root)


def test_file_named_like_a_hub_model(root: Path, cache: Cache) -> None:
    """A path without ./ is taken for a hub id; that there is such a file is said."""
    (root / "models").mkdir()
    (root / "models/small.onnx").write_bytes(b"ONNX")
    assert cache.folder
    message = refusal("models/small.onnx", root)
    assert "There is a file of that name; models are folders. It is ONNX" in message


def test_weights_file_of_a_whole_model(root: Path) -> None:
    """The folder of a file is what is meant."""
    assert refusal("m=./tiny/model.safetensors", root).endswith(f"Name the folder of the model instead: m={root}/tiny")


def test_sharded_weights_that_are_not_complete(root: Path, weights: Path) -> None:
    """Another shard is not taken for weights of another name."""
    shutil.copytree(weights / "sharded", root / "sharded")
    (root / "sharded/model-00003-of-00005.safetensors").unlink()
    message = refusal("./sharded", root)
    assert "lacks model-00003-of-00005.safetensors" in message
    assert "Shards of the weights are missing" in message


@pytest.mark.parametrize(
    "name",
    [
        *("config.json", "tokenizer.json", "generation_config.json", "tokenizer_config.json", "model.safetensors"),
        *("model.safetensors.index.json", "tokenizer.model", "chat_template.jinja", "vocab.json", "merges.txt"),
        *("special_tokens_map.json", "pytorch_model.bin", "adapter_config.json", "model-00001-of-00002.safetensors"),
    ],
)
def test_git_lfs_pointer_of_any_file(name: str, root: Path) -> None:
    """A clone without git-lfs is told from a broken model, whichever file git-lfs has."""
    (root / "tiny" / name).write_text(POINTER)
    message = refusal("./tiny", root)
    assert f"{name} in {root}/tiny is a git-lfs pointer" in message
    assert message.endswith(f"Fetch it: git -C {root}/tiny lfs pull")


@pytest.mark.parametrize(
    "architecture",
    [
        *(
            "GPT2ForSequenceClassification",
            "GPT2ForTokenClassification",
            "T5ForQuestionAnswering",
            "XForMultipleChoice",
        ),
        *("LlamaForSequenceClassification", "BertForMaskedLM", "BertForNextSentencePrediction", "GPTRewardModel"),
        *("LlamaForReward", "Wav2Vec2ForCTC", "ViTForImageClassification", "MyClassifier"),
    ],
)
def test_architecture_that_writes_no_text(architecture: str, root: Path) -> None:
    """It is refused before anything is loaded."""
    config = json.loads((root / "tiny/config.json").read_text())
    (root / "tiny/config.json").write_text(json.dumps({**config, "architectures": [architecture]}))
    message = refusal("./tiny", root)
    assert f"holds a {architecture} (architectures in config.json), which was trained for another task" in message


@pytest.mark.parametrize(
    "architectures",
    [["GPT2LMHeadModel"], ["GPT2Model"], ["GPT2DoubleHeadsModel"], None, [], "x", ["XForConditionalGeneration"]],
)
def test_architectures_that_may_write(architectures: object, root: Path) -> None:
    """The weights decide in the end."""
    config = json.loads((root / "tiny/config.json").read_text())
    (root / "tiny/config.json").write_text(json.dumps({**config, "architectures": architectures}))
    assert resolve(parse_specs(["./tiny"], {}, root)[0], root=root)
