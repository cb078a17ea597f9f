"""Checks before loading: weights and models that would run code without the user's consent are refused.

A pickle runs any code when it is read, so pickled weights and pickled pyfuncs need `allow_pickle`; Python code of a hub
repository needs `trust_remote_code`. Files are judged by their content (`pickles.py`), models in MLflow also by their
loader, which must be known to read no pickle. Naming a `models:/` or `runs:/` URI is consent to run the code that was
logged with that model (models from code, `code_paths`), as with any package.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_llmcompare.errors import ModelError

from .faults import no_weights_error
from .model_files import (
    ADAPTER,
    ADAPTER_FORMATS,
    ADAPTER_PICKLED,
    CONFIG,
    FORMATS,
    PICKLED,
    SAFETENSORS,
    index_of,
    matches,
    misplaced_shards,
    weight_files,
)
from .pickles import NAMES, is_pickle
from .pyproject_tables import header
from .spec import ModelSpec, shown_spec

LOADERS = ("mlflow.pyfunc.model", "mlflow.pyfunc.loaders", "mlflow.transformers")
"""Loaders of MLflow that read no pickle: logged code, and transformers' safetensors."""

TRAINING = ("optimizer.*", "scheduler.*", "scaler.*", "rng_state*", "training_args.bin")  # pickled, and never loaded


def check_weights(folder: Path, spec: ModelSpec) -> None:
    """Check that loading a transformers model from `folder` runs no code that the user has not agreed to.

    Raises:
        ModelError: The weights are pickled, or the model needs code of its repository.
    """
    check_index(folder, spec)
    if not spec.allow_pickle:
        weights = weight_files(folder)
        refused = [name for name in weights if is_pickle(folder / name)] if is_safe(folder) else pickles(folder, "*")
        if refused:
            raise _pickle_refused(spec, refused[0], str(folder))
    check_code(folder, spec)


def choose_weights(spec: ModelSpec, names: Sequence[str], where: str) -> str:
    """The weight file of a repository that is to be loaded, or the index of its weight files.

    Args:
        spec: The model.
        names: Files of the repository.
        where: Name of the repository for messages.

    Raises:
        ModelError: There are no weights, or only pickled ones are there and not allowed.
    """
    for weights in ADAPTER_FORMATS if ADAPTER in names and CONFIG not in names else FORMATS:
        for name in (weights, index_of(weights)):
            if name in names and weights in (PICKLED, ADAPTER_PICKLED) and not spec.allow_pickle:
                raise _pickle_refused(spec, name, where)
            if name in names:
                return name
    raise no_weights_error(spec, where, names)


def check_index(folder: Path, spec: ModelSpec) -> None:
    """Check that the index of sharded weights lists only files of the same format in the same folder.

    Raises:
        ModelError: It lists another file, which transformers would read.
    """
    if wrong := misplaced_shards(folder):
        index, name = wrong
        raise ModelError(
            f"model {spec.name!r} is refused: {index} in {folder} lists {name!r}, which is not the plain name of a "
            "file of that format beside it, such as model-00001-of-00002.safetensors.\n"
            "Save the whole model once more: model.save_pretrained(FOLDER)"
        )


def is_safe(folder: Path) -> bool:
    """True if the weights that transformers would load from `folder` are safetensors."""
    weights = weight_files(folder)
    return bool(weights) and not weights[0].startswith((PICKLED, ADAPTER_PICKLED))


def check_mlflow_model(folder: Path, spec: ModelSpec) -> None:
    """Check that loading the MLflow model in `folder` reads no pickle, unless the user has allowed it.

    Code that was logged with it may run, see above.

    Raises:
        ModelError: It would read a pickle, or is not an MLflow model.
    """
    flavors = read_flavors(folder, spec)
    if spec.allow_pickle:
        return
    pyfunc = flavors.get("python_function")
    pyfunc = pyfunc if isinstance(pyfunc, dict) else {}
    if pyfunc.get("python_model") and not pyfunc.get("model_code_path"):
        raise _pickle_refused(spec, str(pyfunc["python_model"]), str(folder))
    refused = [path for path in pickles(folder, "**/*") if not _beside_safetensors(folder / path)]
    if refused:
        raise _pickle_refused(spec, refused[0], str(folder))
    loader = str(pyfunc.get("loader_module") or LOADERS[0])
    known = any(loader == name or loader.startswith(f"{name}.") for name in LOADERS)
    if not known and not _is_logged_code(folder, pyfunc, loader):
        raise _loader_refused(spec, loader, str(folder))
    for index in folder.rglob(index_of(SAFETENSORS)):
        check_index(index.parent, spec)
    data = folder / str(pyfunc.get("data") or ".")
    if not data.resolve().is_relative_to(folder.resolve()):
        raise _pickle_refused(spec, str(pyfunc["data"]), str(folder))
    if data != folder and (data / "MLmodel").is_file():  # MLflow would read that one
        check_mlflow_model(data, spec)


def _is_logged_code(folder: Path, pyfunc: Mapping[str, Any], loader: str) -> bool:
    """True if a model's loader is code that was logged with it: naming the model is consent to run that."""
    code = folder / str(pyfunc.get("code") or "code")
    module = code.joinpath(*loader.split("."))
    return code.is_dir() and (module.with_suffix(".py").is_file() or (module / "__init__.py").is_file())


def _loader_refused(spec: ModelSpec, loader: str, place: str) -> ModelError:
    """The error for a model whose loader may read pickles."""
    return ModelError(
        f"model {spec.name!r} is refused: the model in {place} is loaded by {loader}, which may read a pickle, and "
        "reading a pickle can run any code.\n"
        "Log it from code (mlflow.pyfunc.log_model(python_model=FILE.py)), or if you trust this one, allow it by name "
        f"in pyproject.toml:\n{allowed(spec, 'allow_pickle')}"
    )


def _pickle_refused(spec: ModelSpec, file: str, place: str) -> ModelError:
    """The error for a pickle: its name, its place, and the TOML that allows it."""
    return ModelError(
        f"model {spec.name!r} is refused: {file} in {place} is pickled, and reading a pickle can run any code.\n"
        "Take a model saved as safetensors (or logged from code), or if you trust this one, allow it by name "
        f"in pyproject.toml:\n{allowed(spec, 'allow_pickle')}"
    )


def allowed(spec: ModelSpec, key: str) -> str:
    """The TOML that allows something for one model."""
    return f"    {header(spec.name)}\n    source = {json.dumps(shown_spec(spec), ensure_ascii=False)}\n    {key} = true"


def pickles(folder: Path, pattern: str) -> list[str]:
    """Paths of pickled files below `folder`, without those that only training reads."""
    files = (path for path in folder.glob(pattern) if not matches(path.name.lower(), TRAINING))
    return sorted(
        path.relative_to(folder).as_posix()
        for path in files
        if matches(path.name.lower(), NAMES) or (path.is_file() and is_pickle(path))
    )


def _beside_safetensors(path: Path) -> bool:
    """True if transformers would load safetensors in the same folder instead of this file."""
    names = (SAFETENSORS, index_of(SAFETENSORS))
    return matches(path.name, ("pytorch_model*.bin",)) and any((path.parent / name).is_file() for name in names)


def check_code(folder: Path, spec: ModelSpec) -> None:
    """Check that the model's class is one of transformers, or that the user allowed code of the repository.

    Raises:
        ModelError: It needs code of the repository, which the user has not allowed.
    """
    if spec.trust_remote_code:
        return
    config = read_json_object(folder / CONFIG)
    code = config.get("auto_map")
    if not code or _is_native(str(config.get("model_type", ""))):
        return
    files = sorted({str(place).rpartition(".")[0] + ".py" for place in code.values()}) if isinstance(code, dict) else []
    raise ModelError(
        f"model {spec.name!r} is refused: {CONFIG} in {folder} asks to run its own code ({', '.join(files)}), "
        f"because transformers has no model type {config.get('model_type')!r}.\n"
        "Read that code, and if you trust it, allow it by name in pyproject.toml:\n"
        f"{allowed(spec, 'trust_remote_code')}"
    )


def _is_native(model_type: str) -> bool:
    """True if transformers has the model type; many repositories still carry code from before it had."""
    from transformers import CONFIG_MAPPING

    return model_type in CONFIG_MAPPING


def read_json_object(path: Path) -> dict[str, Any]:
    """Read a JSON object; empty if there is none."""
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


def read_flavors(folder: Path, spec: ModelSpec) -> dict[str, Any]:
    """The flavors that an MLmodel file lists.

    Raises:
        ModelError: There is no such file, or it cannot be read.
    """
    import yaml

    path = folder / "MLmodel"
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
        flavors = read["flavors"]
    except OSError:
        raise ModelError(f"model {spec.name!r}: there is no MLmodel file in {folder}, so it is not a model.") from None
    except (yaml.YAMLError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"model {spec.name!r}: {path} cannot be read: {type(error).__name__}: {error}") from None
    return flavors if isinstance(flavors, dict) else {}
