"""Model folders: what makes one whole, what is said of one that is not, and its fingerprint."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
from pathlib import Path

import pytest

from pytest_llmcompare.errors import ModelError
from pytest_llmcompare.models.model_files import FURTHER, SETTINGS, matches, missing_files, weights_fingerprint
from pytest_llmcompare.models.resolve import ResolvedModel, resolve
from pytest_llmcompare.models.spec import parse_specs


@pytest.fixture
def root(tmp_path: Path, weights: Path) -> Path:
    """A project with a whole model in `models/tiny` and a sharded one in `models/sharded`."""
    shutil.copytree(weights / "gpt2", tmp_path / "models/tiny")
    shutil.copytree(weights / "sharded", tmp_path / "models/sharded")
    return tmp_path


def resolved(text: str, root: Path) -> ResolvedModel:
    return resolve(parse_specs([text], {}, root)[0], root=root)


def refusal(text: str, root: Path) -> str:
    with pytest.raises(ModelError) as error:
        resolved(text, root)
    return str(error.value)


@pytest.mark.parametrize("text", ["./models/tiny", "models/tiny", "models/../models/tiny", "{root}/models/tiny"])
def test_folder_is_found_below_root(text: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders are relative to pytest's root, wherever pytest was started."""
    monkeypatch.chdir(root / "models")
    found = resolved(text.format(root=root), root)
    assert found.location == str(root / "models/tiny")
    assert found.revision == ""
    assert found.fingerprint == weights_fingerprint(root / "models/tiny")


def test_sharded_folder_is_whole(root: Path) -> None:
    """All shards of the index count as the weights."""
    assert resolved("models/sharded", root).location == str(root / "models/sharded")


def test_no_such_folder(root: Path) -> None:
    """The folder is named in full, with one like it beside it."""
    assert refusal("./models/tinny", root) == (
        f"model 'tinny': there is no folder {root}/models/tinny. Did you mean 'tiny' beside it?\n"
        f"Folders are relative to pytest's root, {root}. A hub id has one '/' at most."
    )
    assert f"there is no folder {root}/a/b/c.\n" in refusal("a/b/c", root)


def test_file_instead_of_folder(root: Path) -> None:
    """A file is said to be one."""
    file = root / "models/tiny/config.json"
    assert refusal("./models/tiny/config.json", root) == (
        f"model 'config.json': {file} is a file. Name the folder of the model instead: config.json={file.parent}"
    )


def test_folder_without_weights(root: Path) -> None:
    """What is missing and what is there are listed, with the way to write a model."""
    folder = root / "models/tiny"
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        (folder / name).unlink()
    assert refusal("models/tiny", root) == (
        f"model 'tiny': {folder} lacks config.json, model.safetensors, tokenizer.json. "
        "There is generation_config.json, tokenizer_config.json.\n"
        "Write the whole model there: model.save_pretrained(FOLDER) and tokenizer.save_pretrained(FOLDER)."
    )


def test_empty_and_crowded_folders(root: Path) -> None:
    """Nothing is called nothing, and a long list is cut."""
    (root / "models/empty").mkdir()
    assert "There is nothing.\n" in refusal("models/empty", root)
    for number in range(30):
        (root / f"models/empty/{number:02}.txt").write_text("")
    assert "There is 00.txt, 01.txt" in refusal("models/empty", root)
    assert "11.txt and 18 more.\n" in refusal("models/empty", root)


def test_missing_shard(root: Path) -> None:
    """The shard that an index lists and that is not there is named."""
    (root / "models/sharded/model-00002-of-00005.safetensors").unlink()
    assert "sharded lacks model-00002-of-00005.safetensors. There is" in refusal("models/sharded", root)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"weight_map": 3}', '{"weight_map": {}}'])
def test_index_that_cannot_be_read(content: str, root: Path) -> None:
    """A broken index does not pass for a model without shards."""
    (root / "models/sharded/model.safetensors.index.json").write_text(content)
    message = refusal("models/sharded", root)
    assert "lacks model.safetensors.index.json (it cannot be read). There is" in message


@pytest.mark.parametrize(
    ("files", "missing"),
    [
        ({"tokenizer.model": ""}, ()),
        ({"spiece.model": ""}, ()),
        ({"qwen.tiktoken": ""}, ()),
        ({"vocab.txt": ""}, ()),
        ({"vocab.json": "", "merges.txt": ""}, ()),
        ({"vocab.json": ""}, ("tokenizer.json",)),
        ({"tokenizer_config.json": '{"tokenizer_class": "ByT5Tokenizer"}'}, ()),
        ({"tokenizer_config.json": '{"tokenizer_class": "GPT2Tokenizer"}'}, ("tokenizer.json",)),
        ({"tokenizer_config.json": "{"}, ("tokenizer.json",)),
    ],
)
def test_kinds_of_tokenizer(files: dict[str, str], missing: tuple[str, ...], tmp_path: Path) -> None:
    """Any vocabulary will do; only tokenizers that read bytes need none."""
    for name, content in {"config.json": "{}", "model.safetensors": "x", **files}.items():
        (tmp_path / name).write_text(content)
    assert missing_files(tmp_path) == missing


def test_mlflow_model_folder(root: Path) -> None:
    """The folder of an MLflow model is to be named by its URI, or the transformers model in it by its folder."""
    folder = root / "logged"
    shutil.copytree(root / "models/tiny", folder / "model")
    (folder / "MLmodel").write_text("flavors: {}")
    assert refusal("./logged", root) == (
        f"model 'logged': {folder} is the folder of an MLflow model (it has an MLmodel file).\n"
        "Name it by its URI in the tracking store: models:/NAME/VERSION or runs:/RUN_ID/PATH\n"
        f"The transformers model in it can be named too: logged={folder}/model"
    )
    shutil.rmtree(folder / "model")
    assert refusal("./logged", root).endswith("models:/NAME/VERSION or runs:/RUN_ID/PATH")


def test_git_lfs_pointer(root: Path) -> None:
    """A clone without git-lfs is told from a model."""
    folder = root / "models/tiny"
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    assert refusal("models/tiny", root) == (
        f"model 'tiny': model.safetensors in {folder} is a git-lfs pointer, not the file itself.\n"
        f"Fetch it: git -C {folder} lfs pull"
    )


def test_fingerprint_is_of_the_content(root: Path) -> None:
    """Neither the folder's name, nor times, nor other files count."""
    tiny, copy = root / "models/tiny", root / "copy"
    shutil.copytree(tiny, copy)
    (copy / "README.md").write_text("notes")
    (copy / "checkpoint").mkdir()
    os.utime(copy / "model.safetensors", (0, 0))
    first = weights_fingerprint(tiny)
    assert weights_fingerprint(copy) == first
    assert len(first) == 12
    assert set(first) <= set("0123456789abcdef")


@pytest.mark.parametrize(
    "name", ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"]
)
def test_fingerprint_changes_with_each_file(name: str, root: Path) -> None:
    """One changed byte in a file that decides the output shows, in the same process too."""
    file = root / "models/tiny" / name
    before = weights_fingerprint(file.parent)
    content = bytearray(file.read_bytes())
    content[-2] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(1, 1))
    assert weights_fingerprint(file.parent) != before


def test_fingerprint_sees_files_come_and_move(root: Path) -> None:
    """A chat template that is added shows, and so do two shards that swap their names."""
    tiny, sharded = root / "models/tiny", root / "models/sharded"
    before = weights_fingerprint(tiny), weights_fingerprint(sharded)
    (tiny / "chat_template.jinja").write_text("{{ messages }}")
    one, two = (sharded / f"model-0000{number}-of-00005.safetensors" for number in (1, 2))
    content = one.read_bytes(), two.read_bytes()
    one.write_bytes(content[1])
    two.write_bytes(content[0])
    os.utime(one, ns=(1, 1))
    os.utime(two, ns=(1, 1))
    after = weights_fingerprint(tiny), weights_fingerprint(sharded)
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_fingerprint_of_a_folder_without_weights(tmp_path: Path) -> None:
    """Every file of another kind of model counts, those in folders too."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code/model.py").write_text("a")
    before = weights_fingerprint(tmp_path)
    (tmp_path / "code/model.py").write_text("bb")
    assert weights_fingerprint(tmp_path) != before


def test_pickles_that_nothing_loads_do_not_count(root: Path) -> None:
    """What a training run leaves beside safetensors is no obstacle."""
    for name in ("optimizer.pt", "training_args.bin", "rng_state.pth", "pytorch_model.bin"):
        (root / "models/tiny" / name).write_bytes(b"")
    assert resolved("models/tiny", root).location.endswith("tiny")


def test_config_is_json_or_the_loader_says_so(root: Path) -> None:
    """A broken config.json is not mistaken for one that wants code."""
    (root / "models/tiny/config.json").write_text(json.dumps([1]))
    assert resolved("models/tiny", root).location.endswith("tiny")


def test_vocabularies_of_all_tokenizers_are_known() -> None:
    """Whatever file a tokenizer of transformers reads, a change of it is noticed."""
    spec = importlib.util.find_spec("transformers")
    assert spec is not None
    assert spec.origin is not None
    names: set[str] = set()
    for path in Path(spec.origin).parent.glob("models/*/tokenization*.py"):
        for block in re.findall(r"VOCAB_FILES_NAMES = \{[^}]*\}", path.read_text(encoding="utf-8")):
            names |= set(re.findall(r': "([^"]+)"', block))
    assert {"vocab.json", "bpe.codes", "spiece.model"} <= names
    assert [name for name in sorted(names) if not matches(name, (*FURTHER, *SETTINGS))] == []


@pytest.mark.parametrize(
    ("content", "fault"),
    [("{", "JSONDecodeError: Expecting property name"), ("[1]", "expected an object"), ("\x80", "UnicodeDecodeError")],
)
def test_settings_that_cannot_be_read(content: str, fault: str, root: Path) -> None:
    """transformers would do without them, and with them without the tokens that end an output."""
    path = root / "models/tiny/generation_config.json"
    path.write_bytes(content.encode("latin-1"))
    message = refusal("models/tiny", root)
    assert message.startswith(f"model 'tiny': {path} cannot be read as JSON: {fault}")
    assert message.endswith("Save it again: model.generation_config.save_pretrained(FOLDER). Or delete it.")
