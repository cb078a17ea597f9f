"""Pickles are told by their content and by what loads them, not by the name of a file."""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import io
import json
import lzma
import os
import pickle
import shutil
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pytest_llmcompare.errors import ModelError
from pytest_llmcompare.models.pickles import is_pickle
from pytest_llmcompare.models.resolve import resolve
from pytest_llmcompare.models.safety import check_mlflow_model
from pytest_llmcompare.models.spec import ModelSpec, SourceKind, parse_specs

SPEC = ModelSpec("m", "models:/m/1", SourceKind.MLFLOW)
ALLOWED = dataclasses.replace(SPEC, allow_pickle=True)


class Evil:
    """Runs something when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("it ran",)


def zipped(member: str, content: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(member, content)
    return data.getvalue()


def saved_by_torch(*, new: bool) -> bytes:
    import torch

    data = io.BytesIO()
    torch.save({"weight": torch.zeros(2)}, data, _use_new_zipfile_serialization=new)
    return data.getvalue()


def numpy_objects() -> bytes:
    data = io.BytesIO()
    np.save(data, np.array([Evil()], dtype=object), allow_pickle=True)
    return data.getvalue()


PICKLES: dict[str, Callable[[], bytes]] = {
    **{f"protocol {number}": partial(pickle.dumps, Evil(), number) for number in range(6)},
    "weights": lambda: pickle.dumps({"a": [1.0]}),
    "by hand": lambda: b"cos\nsystem\n(S'true'\ntR.",
    "without an end": lambda: b"cos\nsystem\n(S'true'\ntR",
    "gzip": lambda: gzip.compress(pickle.dumps(Evil())),
    "bz2": lambda: bz2.compress(pickle.dumps(Evil())),
    "xz": lambda: lzma.compress(pickle.dumps(Evil())),
    "lzma": lambda: lzma.compress(pickle.dumps(Evil()), format=lzma.FORMAT_ALONE),
    "zlib": lambda: zlib.compress(pickle.dumps(Evil())),
    "large and compressed": lambda: zlib.compress(pickle.dumps([Evil(), bytes(range(256)) * 4000])),
    "twice": lambda: gzip.compress(zlib.compress(pickle.dumps(Evil(), 0))),
    "lz4": lambda: b"\x04\x22\x4d\x18" + bytes(20),
    "torch": lambda: saved_by_torch(new=True),
    "old torch": lambda: saved_by_torch(new=False),
    "zip": lambda: zipped("inner/x.bin", pickle.dumps(Evil())),
    "numpy objects": numpy_objects,
}
OTHERS: dict[str, bytes] = {
    "nothing": b"",
    "JSON": b'{"model_type": "gpt2"}',
    "text": b"config\nfoo\n(some text) and more.\n",
    "code": b"import mlflow\n\nclass Model:\n    pass\n",
    "YAML": b"flavors:\n  python_function: {}\n",
    "JSON, compressed": gzip.compress(b'{"a": 1}'),
    "zip of text": zipped("a.txt", b"hello"),
    "safetensors": (2).to_bytes(8, "little") + b"{}",
    "x": b"x\x9c but not zlib",
}


@pytest.mark.parametrize("kind", PICKLES)
def test_pickles_are_told_by_content(kind: str, tmp_path: Path) -> None:
    """Every way of writing a pickle that some library reads."""
    (tmp_path / "evil.dat").write_bytes(PICKLES[kind]())
    assert is_pickle(tmp_path / "evil.dat")


@pytest.mark.parametrize("kind", OTHERS)
def test_other_files_are_none(kind: str, tmp_path: Path) -> None:
    """What a model may bring besides."""
    (tmp_path / "a.dat").write_bytes(OTHERS[kind])
    assert not is_pickle(tmp_path / "a.dat")


def logged(folder: Path, **flavour: Any) -> Path:
    """The folder of an MLflow model with this pyfunc flavour."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "MLmodel").write_text(yaml.safe_dump({"flavors": {"python_function": flavour}}))
    return folder


def test_pickle_that_a_flavour_names_evil_dat(tmp_path: Path) -> None:
    """An sklearn model whose pickle has an innocent name is refused, by its content."""
    folder = logged(tmp_path / "m", loader_module="mlflow.sklearn", model_path="evil.dat")
    (folder / "evil.dat").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ModelError, match=r"refused: evil\.dat in .* is pickled"):
        check_mlflow_model(folder, SPEC)
    check_mlflow_model(folder, ALLOWED)


@pytest.mark.parametrize(
    "loader", ["mlflow.sklearn", "mlflow.xgboost", "mlflow.pytorch", "mlflow.spacy", "joblib", "mlflow.transformersx"]
)
def test_flavour_that_may_read_a_pickle(loader: str, tmp_path: Path) -> None:
    """What is not known to read none is taken to read one, though no file looks like it."""
    folder = logged(tmp_path / "m", loader_module=loader, data="model.dat")
    (folder / "model.dat").write_bytes(b"\xff" * 100)
    with pytest.raises(ModelError) as error:
        check_mlflow_model(folder, SPEC)
    assert f"is loaded by {loader}, which may read a pickle" in str(error.value)
    assert "allow_pickle = true" in str(error.value)
    check_mlflow_model(folder, ALLOWED)


def test_code_that_was_logged_may_load(tmp_path: Path) -> None:
    """Naming a model is consent to run the code in it, and that of MLflow's loaders of code; not to its pickles."""
    folder = logged(tmp_path / "m", loader_module="my_loader", code="code", data="data")
    (folder / "code").mkdir()
    (folder / "code/my_loader.py").write_text("def _load_pyfunc(path): ...\n")
    (folder / "data").mkdir()
    check_mlflow_model(folder, SPEC)
    check_mlflow_model(logged(tmp_path / "n", loader_module="mlflow.pyfunc.loaders.code_model"), SPEC)
    (folder / "data/table.dat").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ModelError, match=r"data/table\.dat"):
        check_mlflow_model(folder, SPEC)


def test_model_within_a_model(tmp_path: Path) -> None:
    """MLflow goes by the MLmodel file where `data` points to, so that one counts."""
    code = {"loader_module": "mlflow.pyfunc.model", "model_code_path": "a.py"}
    folder = logged(tmp_path / "m", **code, data="inner")
    logged(folder / "inner", loader_module="mlflow.pyfunc.model", python_model="evil.dat")
    with pytest.raises(ModelError, match=r"refused: evil\.dat"):
        check_mlflow_model(folder, SPEC)
    outside = logged(tmp_path / "n", **code, data="../m/inner")
    with pytest.raises(ModelError, match=r"refused: \.\./m/inner"):
        check_mlflow_model(outside, SPEC)


@pytest.mark.parametrize(
    "entry", ["evil.bin", "../other/pytorch_model.bin", "../other/model.safetensors", "sub/model.safetensors", "", ".."]
)
def test_index_that_lists_other_files(entry: str, tmp_path: Path, weights: Path) -> None:
    """An index lists plain names of safetensors, else transformers would read what is there, allowed or not."""
    folder = Path(shutil.copytree(weights / "sharded", tmp_path / "models/m"))
    (tmp_path / "models/other").mkdir()
    for name in ("evil.bin", "../other/pytorch_model.bin", "../other/model.safetensors"):
        (folder / name).write_bytes(pickle.dumps(Evil()))
    index = folder / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    content["weight_map"]["lm_head.weight"] = entry
    index.write_text(json.dumps(content))
    for table in ({}, {"allow_pickle": True}):
        spec = parse_specs(["m"], {"m": {"source": "models/m", **table}}, tmp_path)[0]
        with pytest.raises(ModelError) as error:
            resolve(spec, root=tmp_path)
        assert f"model.safetensors.index.json in {folder} lists {entry!r}" in str(error.value)


def test_pickle_named_safetensors(tmp_path: Path, weights: Path) -> None:
    """The name alone makes no file safe."""
    folder = Path(shutil.copytree(weights / "gpt2", tmp_path / "m"))
    (folder / "model.safetensors").write_bytes(saved_by_torch(new=True))
    with pytest.raises(ModelError, match=r"model\.safetensors in .* is pickled"):
        resolve(parse_specs(["./m"], {}, tmp_path)[0], root=tmp_path)


@pytest.mark.parametrize("protocol", [0, 1])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress, zlib.compress])
def test_what_runs_may_stand_late(protocol: int, pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """A pickle without a mark may begin with a text that is longer than what is looked at first."""
    (tmp_path / "evil.dat").write_bytes(pack(pickle.dumps(["a" * 70_000, Evil()], protocol)))
    assert is_pickle(tmp_path / "evil.dat")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.safetensors")
    assert not is_pickle(tmp_path / "model.safetensors")
