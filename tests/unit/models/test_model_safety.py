"""What is refused: pickles and foreign code, each with the table that allows it."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmcompare.errors import ModelError
from pytest_llmcompare.models.resolve import resolve
from pytest_llmcompare.models.safety import check_mlflow_model, check_weights
from pytest_llmcompare.models.spec import ModelSpec, SourceKind

if TYPE_CHECKING:
    from .conftest import Store

SPEC = ModelSpec("my model", "./tiny", SourceKind.FOLDER)
PICKLE = dataclasses.replace(SPEC, allow_pickle=True)
CODE = dataclasses.replace(SPEC, trust_remote_code=True)


@pytest.fixture
def tiny(tmp_path: Path, weights: Path) -> Path:
    """A whole model."""
    return Path(shutil.copytree(weights / "gpt2", tmp_path / "tiny"))


@pytest.mark.parametrize(
    "name",
    [
        "pytorch_model.bin",
        "pytorch_model-00001-of-00002.bin",
        "m.pt",
        "m.pth",
        "m.PKL",
        "m.ckpt",
        "m.joblib",
        "m.pickle",
    ],
)
def test_pickled_weights(name: str, tiny: Path) -> None:
    """Pickled weights alone are refused; allowed, or beside safetensors, they pass."""
    (tiny / name).write_bytes(b"")
    check_weights(tiny, SPEC)
    (tiny / "model.safetensors").unlink()
    with pytest.raises(ModelError) as error:
        check_weights(tiny, SPEC)
    assert str(error.value) == (
        f"model 'my model' is refused: {name} in {tiny} is pickled, and reading a pickle can run any code.\n"
        "Take a model saved as safetensors (or logged from code), or if you trust this one, allow it by name "
        "in pyproject.toml:\n"
        '    [tool.llmcompare.models."my model"]\n'
        '    source = "./tiny"\n'
        "    allow_pickle = true"
    )
    check_weights(tiny, PICKLE)


def test_what_training_leaves_is_not_called_weights(tiny: Path) -> None:
    """A folder without weights is told to lack them, not to have pickled ones."""
    (tiny / "model.safetensors").unlink()
    (tiny / "training_args.bin").write_bytes(b"")
    (tiny / "optimizer.pt").write_bytes(b"")
    check_weights(tiny, SPEC)


def test_resolving_a_folder_refuses_pickled_weights(tiny: Path) -> None:
    """The check is part of resolving, so that no caller can forget it."""
    (tiny / "model.safetensors").rename(tiny / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pytorch_model\.bin in .* is pickled"):
        resolve(SPEC, root=tiny.parent)
    assert resolve(PICKLE, root=tiny.parent).location == str(tiny)


def configure(folder: Path, **entries: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **entries}))


def test_code_of_the_repository(tiny: Path) -> None:
    """A model type that transformers does not have would run the repository's code: refused without consent."""
    configure(tiny, model_type="novel", auto_map={"AutoConfig": "conf.C", "AutoModelForCausalLM": "org/repo--mod.M"})
    with pytest.raises(ModelError) as error:
        check_weights(tiny, SPEC)
    assert str(error.value) == (
        f"model 'my model' is refused: config.json in {tiny} asks to run its own code (conf.py, org/repo--mod.py), "
        "because transformers has no model type 'novel'.\n"
        "Read that code, and if you trust it, allow it by name in pyproject.toml:\n"
        '    [tool.llmcompare.models."my model"]\n'
        '    source = "./tiny"\n'
        "    trust_remote_code = true"
    )
    check_weights(tiny, CODE)


def test_code_that_transformers_replaces(tiny: Path) -> None:
    """Where transformers has the model itself, its code runs, so the user need not trust another's."""
    configure(tiny, auto_map={"AutoModelForCausalLM": "modeling.M"})
    check_weights(tiny, SPEC)


def test_pyfunc_from_code_is_allowed(filled_store: Store) -> None:
    """Naming a URI is consent to run the code logged with the model."""
    assert (filled_store.from_code / "MLmodel").is_file()
    check_mlflow_model(filled_store.from_code, SPEC)


def test_pickled_pyfunc(filled_store: Store) -> None:
    """A pickled pyfunc is refused unless it is allowed by name."""
    spec = ModelSpec("qa-champion", "models:/qa@champion", SourceKind.MLFLOW)
    with pytest.raises(ModelError) as error:
        check_mlflow_model(filled_store.pickled, spec)
    assert str(error.value) == (
        f"model 'qa-champion' is refused: python_model.pkl in {filled_store.pickled} is pickled, "
        "and reading a pickle can run any code.\n"
        "Take a model saved as safetensors (or logged from code), or if you trust this one, allow it by name "
        "in pyproject.toml:\n"
        "    [tool.llmcompare.models.qa-champion]\n"
        '    source = "models:/qa@champion"\n'
        "    allow_pickle = true"
    )
    check_mlflow_model(filled_store.pickled, dataclasses.replace(spec, allow_pickle=True))


def test_transformers_flavour(weights: Path, tmp_path: Path) -> None:
    """A model of MLflow's transformers flavour with safetensors passes; with pickled weights it does not."""
    import mlflow
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path / "logged"
    parts = {
        "model": AutoModelForCausalLM.from_pretrained(weights / "gpt2"),
        "tokenizer": AutoTokenizer.from_pretrained(weights / "gpt2"),
    }
    mlflow.transformers.save_model(parts, folder, task="text-generation", pip_requirements=["transformers"])
    check_mlflow_model(folder, SPEC)
    (found,) = folder.rglob("model.safetensors")
    (found.parent / "pytorch_model.bin").write_bytes(b"")
    check_mlflow_model(folder, SPEC)
    found.unlink()
    with pytest.raises(ModelError, match=r"refused: model/pytorch_model\.bin in "):
        check_mlflow_model(folder, SPEC)


@pytest.mark.parametrize("name", ["model.pkl", "artifacts/vectors.joblib", "data/model.pth"])
def test_pickles_of_any_flavour(name: str, tmp_path: Path) -> None:
    """A pickle anywhere in the model's folder is refused, whichever flavour would load it."""
    (tmp_path / "MLmodel").write_text("flavors: {sklearn: {pickled_model: model.pkl}}")
    check_mlflow_model(tmp_path, SPEC)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ModelError, match=f"refused: {name} in "):
        check_mlflow_model(tmp_path, SPEC)
    check_mlflow_model(tmp_path, PICKLE)


def test_folder_that_is_no_mlflow_model(tmp_path: Path) -> None:
    """A folder without MLmodel is said to be no model."""
    with pytest.raises(ModelError) as error:
        check_mlflow_model(tmp_path, SPEC)
    assert str(error.value) == f"model 'my model': there is no MLmodel file in {tmp_path}, so it is not a model."


@pytest.mark.parametrize(
    ("content", "cause"),
    [("a: [", "ParserError"), ("a: 1", "KeyError"), ("", "TypeError"), ("!!python/object:os.x {}", "ConstructorError")],
)
def test_mlmodel_that_cannot_be_read(content: str, cause: str, tmp_path: Path) -> None:
    """A broken MLmodel file is named, even where pickles are allowed; it constructs nothing."""
    (tmp_path / "MLmodel").write_text(content)
    with pytest.raises(ModelError) as error:
        check_mlflow_model(tmp_path, PICKLE)
    assert str(error.value).startswith(f"model 'my model': {tmp_path}/MLmodel cannot be read: {cause}: ")
