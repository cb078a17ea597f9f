"""Hub models: the cache in its real layout first, then only the missing files of the hub, else an error that helps."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_llmcompare.errors import ModelError
from pytest_llmcompare.models.hub import cache_folder, offline_variable
from pytest_llmcompare.models.resolve import ResolvedModel, resolve
from pytest_llmcompare.models.spec import ModelSpec, parse_specs

if TYPE_CHECKING:
    from .conftest import Cache, Hub

COMMIT = "607a30d783dfa663caf39e06633721c8d4cfcd7e"
OTHER_COMMIT = "11c5a3d5811f50298f278a704980280950aedb10"


def spec_of(text: str, root: Path, **fields: object) -> ModelSpec:
    named = {"m": {"source": text, **fields}} if fields else {}
    return parse_specs(["m" if fields else text], named, root)[0]


def refusal(spec: ModelSpec, root: Path) -> str:
    with pytest.raises(ModelError) as error:
        resolve(spec, root=root)
    return str(error.value)


@pytest.mark.parametrize(
    ("repo", "kind"), [("gpt2-large", "gpt2"), ("bigscience/bloom-560m", "bloom"), ("distilgpt2", "sharded")]
)
def test_cached_model_is_found_and_loads(repo: str, kind: str, weights: Path, cache: Cache, tmp_path: Path) -> None:
    """A model as `hf download` leaves it resolves to its snapshot, which transformers loads."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    snapshot = cache.add(repo, weights / kind)
    spec = spec_of(repo, tmp_path)
    found = resolve(spec, root=tmp_path)
    assert found == ResolvedModel(spec, str(snapshot), COMMIT, COMMIT[:12])
    assert AutoModelForCausalLM.from_pretrained(found.location).config.vocab_size == 4
    assert AutoTokenizer.from_pretrained(found.location)("a b").input_ids == [1, 2]


def test_revisions(weights: Path, cache: Cache, tmp_path: Path) -> None:
    """A branch, a nested ref, a commit and a short commit each lead to their snapshot."""
    main = cache.add("gpt2", weights / "gpt2")
    other = cache.add("gpt2", weights / "sharded", OTHER_COMMIT, refs=("v1", "refs/pr/3"))
    wanted = {
        "gpt2": main,
        "gpt2@main": main,
        f"gpt2@{COMMIT}": main,
        "gpt2@v1": other,
        "gpt2@refs/pr/3": other,
        f"gpt2@{OTHER_COMMIT}": other,
        f"gpt2@{OTHER_COMMIT[:8]}": other,
    }
    found = {text: resolve(spec_of(text, tmp_path), root=tmp_path).location for text in wanted}
    assert found == {text: str(snapshot) for text, snapshot in wanted.items()}


def test_missing_model_offline(cache: Cache, tmp_path: Path) -> None:
    """Offline, the message says where we looked and what to do."""
    assert refusal(spec_of("gpt2-large", tmp_path), tmp_path) == (
        "model 'gpt2-large': the hub model gpt2-large is not on this machine, and HF_HUB_OFFLINE=1 forbids asking "
        "the hub.\n"
        f"Looked in {cache.folder}/models--gpt2-large: there is no such folder.\n"
        "Download it where there is a network (hf download gpt2-large), or unset HF_HUB_OFFLINE, "
        "or name a folder that holds it: gpt2-large=./FOLDER"
    )


def test_missing_model_offline_needs_no_library(cache: Cache, tmp_path: Path) -> None:
    """The quick failure stays quick: neither huggingface_hub nor transformers is imported for it."""
    script = (
        "import sys; from pathlib import Path\n"
        "from pytest_llmcompare.models.spec import parse_specs\n"
        "from pytest_llmcompare.models.resolve import resolve\n"
        "try: resolve(parse_specs(['gpt2-large'], {}, Path('.'))[0], root=Path('.'))\n"
        "except Exception as error: print(type(error).__name__)\n"
        "print([m for m in ('huggingface_hub', 'transformers', 'torch', 'mlflow') if m in sys.modules])\n"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout == "ModelError\n[]\n"


def test_missing_revision_offline(weights: Path, cache: Cache, tmp_path: Path) -> None:
    """The revisions that are there are named."""
    cache.add("org/m", weights / "gpt2", refs=("main", "v1"))
    message = refusal(spec_of("org/m@v2", tmp_path), tmp_path)
    assert f"{cache.folder}/models--org--m: it has no revision 'v2'; there is main, v1." in message
    assert "(hf download org/m --revision v2)" in message


@pytest.mark.parametrize(
    ("kind", "leave_out", "lacks"),
    [
        ("gpt2", "model.safetensors", "model.safetensors"),
        ("gpt2", "config.json", "config.json"),
        ("gpt2", "tokenizer.json", "tokenizer.json"),
        ("sharded", "model-00002-of-00005.safetensors", "model-00002-of-00005.safetensors"),
    ],
)
def test_incomplete_download_offline(
    kind: str, leave_out: str, lacks: str, weights: Path, cache: Cache, tmp_path: Path
) -> None:
    """A download that broke off is not taken for a model; what it lacks is named."""
    assert (weights / kind / leave_out).is_file()
    snapshot = cache.add("gpt2", weights / kind, leave_out=leave_out)
    message = refusal(spec_of("gpt2", tmp_path), tmp_path)
    assert f"Looked in {snapshot}: the download is not complete, it lacks {lacks}.\n" in message


def test_link_to_a_lost_blob_is_a_missing_file(weights: Path, cache: Cache, tmp_path: Path) -> None:
    """A snapshot whose blob was cleaned away counts as incomplete."""
    snapshot = cache.add("gpt2", weights / "gpt2")
    (snapshot / "model.safetensors").resolve().unlink()
    assert "it lacks model.safetensors." in refusal(spec_of("gpt2", tmp_path), tmp_path)


def test_settings_that_the_download_noted_are_missed(weights: Path, cache: Cache, tmp_path: Path) -> None:
    """A model that loads without generation_config.json would decode otherwise, so its loss counts."""
    snapshot = cache.add("gpt2", weights / "gpt2", leave_out="generation_config.json")
    assert resolve(spec_of("gpt2", tmp_path), root=tmp_path).location == str(snapshot)
    trees = snapshot.parents[1] / "trees"
    trees.mkdir()
    files: dict[str, dict[str, int]] = {"generation_config.json": {}, "README.md": {}, "config.json": {}}
    (trees / f"{COMMIT}.json").write_text(json.dumps({"format_version": 1, "files": files}))
    assert "it lacks generation_config.json." in refusal(spec_of("gpt2", tmp_path), tmp_path)


def test_near_names(weights: Path, cache: Cache, tmp_path: Path) -> None:
    """A configured model, a folder or a cached model that may have been meant is named."""
    cache.add("gpt2-large", weights / "gpt2")
    (tmp_path / "tiny").mkdir()
    (near,) = parse_specs(["tin"], {"tiny": {"source": "./tiny"}}, tmp_path)
    assert " Did you mean 'tiny', which pyproject.toml configures?\n" in refusal(near, tmp_path)
    assert " Did you mean the folder ./tiny? Then write the ./ too.\n" in refusal(spec_of("tiny", tmp_path), tmp_path)
    assert " Did you mean 'gpt2-large', which is in the cache?\n" in refusal(spec_of("gpt2-larg", tmp_path), tmp_path)


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"),
        ({"HUGGINGFACE_HUB_CACHE": "/a"}, "/a"),
        ({"HF_HOME": "/b"}, "/b/hub"),
        ({"HF_HOME": "$WHERE/b"}, "/w/b/hub"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/huggingface/hub"),
        ({}, "~/.cache/huggingface/hub"),
    ],
)
def test_cache_folder_is_that_of_huggingface_hub(
    variables: dict[str, str], folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each variable counts as it does for huggingface_hub itself, asked in a process of its own."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**variables, "WHERE": "/w"}.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(folder).expanduser()
    script = "from huggingface_hub.constants import HF_HUB_CACHE; print(HF_HUB_CACHE)"
    theirs = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert str(cache_folder()) == theirs.stdout.strip()


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({}, ""),
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE"),
        ({"HF_HUB_OFFLINE": "yes"}, "HF_HUB_OFFLINE"),
        ({"HF_HUB_OFFLINE": "0"}, ""),
        ({"TRANSFORMERS_OFFLINE": "true"}, "TRANSFORMERS_OFFLINE"),
        ({"HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "1"}, ""),
    ],
)
def test_offline_switches(variables: dict[str, str], found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The switches mean what they mean to huggingface_hub."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert offline_variable() == found


def crowded(weights: Path, tmp_path: Path, kind: str = "gpt2") -> Path:
    """A repository with all that hub repositories carry besides the model."""
    folder = tmp_path / "repository"
    shutil.copytree(weights / kind, folder)
    (folder / "onnx").mkdir()
    for name in ("pytorch_model.bin", "flax_model.msgpack", "tf_model.h5", "onnx/config.json", "onnx/model.onnx"):
        (folder / name).write_bytes(b"large")
    for name in ("README.md", ".gitattributes", "code.py", "merges.txt", "vocab.json"):
        (folder / name).write_text(f"text of {name}")
    return folder


@pytest.mark.parametrize("kind", ["gpt2", "sharded"])
def test_download_takes_only_what_is_needed(kind: str, weights: Path, hub: Hub, online: Cache, tmp_path: Path) -> None:
    """Configuration, tokenizer and safetensors are fetched; the next run finds them without the hub."""
    hub.repositories["org/m"] = crowded(weights, tmp_path, kind)
    found = resolve(spec_of("org/m", tmp_path), root=tmp_path)
    wanted = {file.name for file in (weights / kind).iterdir()} | {"merges.txt", "vocab.json"}
    assert {path.name for path in Path(found.location).iterdir()} == set(hub.downloaded) == wanted
    assert found.revision == COMMIT
    hub.asked.clear()
    assert resolve(spec_of("org/m", tmp_path), root=tmp_path) == found
    assert resolve(spec_of(f"org/m@{COMMIT}", tmp_path), root=tmp_path).location == found.location
    assert hub.asked == []


def test_download_completes_what_is_there(weights: Path, hub: Hub, online: Cache, tmp_path: Path) -> None:
    """Of a download that broke off, only the rest is fetched."""
    hub.repositories["org/m"] = weights / "sharded"
    online.add("org/m", weights / "sharded", leave_out="model-00002-of-00005.safetensors")
    resolve(spec_of("org/m", tmp_path), root=tmp_path)
    assert hub.downloaded == ["model-00002-of-00005.safetensors"]


def test_download_of_a_revision(weights: Path, hub: Hub, online: Cache, tmp_path: Path) -> None:
    """A branch is noted, so that the cache knows it afterwards."""
    hub.repositories["org/m"] = weights / "gpt2"
    assert resolve(spec_of("org/m@v1", tmp_path), root=tmp_path).revision == COMMIT
    refs = online.folder / "models--org--m" / "refs"
    assert {path.name: path.read_text() for path in refs.iterdir()} == {"v1": COMMIT}


def test_download_prefers_safetensors_to_a_cached_pickle(
    weights: Path, hub: Hub, online: Cache, tmp_path: Path
) -> None:
    """Where older libraries left pickled weights in the cache, the safetensors are fetched beside them."""
    old = tmp_path / "old"
    shutil.copytree(weights / "gpt2", old)
    (old / "model.safetensors").rename(old / "pytorch_model.bin")
    hub.repositories["org/m"] = weights / "gpt2"
    snapshot = online.add("org/m", old)
    resolve(spec_of("org/m", tmp_path), root=tmp_path)
    assert (snapshot / "model.safetensors").is_file()


def test_pickled_weights_are_refused_before_any_download(
    weights: Path, hub: Hub, online: Cache, tmp_path: Path
) -> None:
    """The message holds the table that allows them, and with it they are fetched."""
    repository = crowded(weights, tmp_path)
    (repository / "model.safetensors").unlink()
    hub.repositories["org/m"] = repository
    assert refusal(spec_of("org/m@v1", tmp_path), tmp_path) == (
        f"model 'm' is refused: pytorch_model.bin in org/m@v1 at {hub.address} is pickled, "
        "and reading a pickle can run any code.\n"
        "Take a model saved as safetensors (or logged from code), or if you trust this one, allow it by name "
        "in pyproject.toml:\n"
        "    [tool.llmcompare.models.m]\n"
        '    source = "org/m@v1"\n'
        "    allow_pickle = true"
    )
    assert hub.downloaded == []
    found = resolve(spec_of("org/m@v1", tmp_path, allow_pickle=True), root=tmp_path)
    assert (Path(found.location) / "pytorch_model.bin").read_bytes() == b"large"


def test_remote_code_is_refused_before_the_weights(weights: Path, hub: Hub, online: Cache, tmp_path: Path) -> None:
    """Weights are not fetched for a model that will not be loaded; with consent the code comes along."""
    repository = crowded(weights, tmp_path)
    config = json.loads((repository / "config.json").read_text())
    config |= {"model_type": "novel", "auto_map": {"AutoModelForCausalLM": "code.Novel"}}
    (repository / "config.json").write_text(json.dumps(config))
    hub.repositories["org/m"] = repository
    assert "asks to run its own code (code.py)" in refusal(spec_of("org/m", tmp_path), tmp_path)
    assert "model.safetensors" not in hub.downloaded
    assert "code.py" not in hub.downloaded
    found = resolve(spec_of("org/m", tmp_path, trust_remote_code=True), root=tmp_path)
    assert (Path(found.location) / "code.py").is_file()


def test_hub_without_the_model(hub: Hub, online: Cache, tmp_path: Path) -> None:
    """A name that the hub does not show is said to be that, after one question."""
    message = refusal(spec_of("org/nope", tmp_path), tmp_path)
    assert f"org/nope is not on this machine, and {hub.address} has no public model of that name.\n" in message
    assert "or log in if it is private: hf auth login, or name a folder" in message
    assert len(hub.asked) == 1


def test_hub_without_the_revision(weights: Path, hub: Hub, online: Cache, tmp_path: Path) -> None:
    """A revision that the hub does not know is named."""
    hub.repositories["org/m"] = weights / "gpt2"
    message = refusal(spec_of("org/m@v7", tmp_path), tmp_path)
    assert f"and {hub.address} knows no branch, tag or commit 'v7' of it.\n" in message
    assert f"or see {hub.address}/org/m, or name" in message


def test_gated_model(weights: Path, hub: Hub, online: Cache, tmp_path: Path) -> None:
    """A gated model says where to accept its terms."""
    hub.repositories["org/m"] = weights / "gpt2"
    hub.gated = "org/m"
    message = refusal(spec_of("org/m", tmp_path), tmp_path)
    assert f"and {hub.address} asks you to accept its terms.\n" in message
    assert f"or accept them at {hub.address}/org/m, then log in: hf auth login, or name" in message


def test_repository_without_usable_weights(weights: Path, hub: Hub, online: Cache, tmp_path: Path) -> None:
    """A repository of another format says what it has."""
    repository = tmp_path / "gguf"
    shutil.copytree(weights / "gpt2", repository)
    (repository / "model.safetensors").rename(repository / "model.Q4.gguf")
    hub.repositories["org/m"] = repository
    message = refusal(spec_of("org/m", tmp_path), tmp_path)
    assert message.startswith(f"model 'm': org/m at {hub.address} has no model.safetensors that transformers can ")
    assert "model.Q4.gguf" in message
    assert hub.downloaded == []


def test_download_that_breaks_off(weights: Path, hub: Hub, online: Cache, tmp_path: Path) -> None:
    """Trouble on the way is an error of the model, and says that running again goes on."""
    hub.repositories["org/m"] = weights / "gpt2"
    blocked = online.folder / "models--org--m"
    blocked.parent.mkdir(parents=True)
    blocked.write_text("a file where the folder should be")
    message = refusal(spec_of("org/m", tmp_path), tmp_path)
    assert message.startswith(f"model 'm': the download of org/m from {hub.address} broke off: ")
    assert message.endswith(f"What was fetched is kept in {blocked}; run again to go on.")


def test_hub_that_is_down(online: Cache, closed_port: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused connection is not tried again."""
    monkeypatch.setenv("HF_ENDPOINT", closed_port.replace("://", "://user:secret@") + "/")
    message = refusal(spec_of("gpt2-large", tmp_path), tmp_path)
    assert f"is not on this machine, and {closed_port} did not answer within 1 s (ConnectError: " in message
    assert "or check the network, HTTPS_PROXY and HF_ENDPOINT, or name a folder" in message
    assert "secret" not in message


def test_hub_that_never_answers(
    online: Cache, silent_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that accepts and keeps silent is waited for once."""
    monkeypatch.setenv("HF_ENDPOINT", silent_server)
    message = refusal(spec_of("gpt2-large", tmp_path), tmp_path)
    assert f"and {silent_server} did not answer within 1 s (ReadTimeout" in message


def test_cached_model_does_not_wait_for_a_silent_hub(
    weights: Path, online: Cache, silent_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is cached is never asked for, online either."""
    monkeypatch.setenv("HF_ENDPOINT", silent_server)
    snapshot = online.add("gpt2", weights / "gpt2")
    assert resolve(spec_of("gpt2", tmp_path), root=tmp_path).location == str(snapshot)


def test_offline_mode_that_only_the_library_knows(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that imported huggingface_hub offline stays offline, and is told so."""
    from huggingface_hub import constants

    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "and offline mode forbids asking the hub.\n" in refusal(spec_of("gpt2", tmp_path), tmp_path)
    assert not (Path(os.environ["HF_HOME"]) / "hub").exists()
