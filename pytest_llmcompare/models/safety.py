"""What is refused: weights and models whose loading runs code that nobody agreed to.

A pickle runs any code when it is read, so pickled weights and pickled pyfuncs need `allow_pickle`; Python code of a hub
repository needs `trust_remote_code`. A `models:/` or `runs:/` URI that the user named is consent to run the code that
was logged with that model (models from code, `code_paths`): naming it means running it, as with any package.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pytest_llmcompare.errors import ModelError

from .named import header
from .spec import ModelSpec, shown
from .weights import CONFIG, PICKLED, SAFETENSORS, index_of, matches, weight_files

PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth", "*.pkl", "*.pickle", "*.cloudpickle", "*.ckpt", "*.joblib")
TRAINING = ("optimizer.*", "scheduler.*", "scaler.*", "rng_state*", "training_args.bin")  # pickled, and never loaded


def check_weights(folder: Path, spec: ModelSpec) -> None:
    """Check that loading a transformers model from `folder` runs no code that the user has not agreed to.

    Raises:
        ModelError: Pickled weights and no safetensors, or code of the repository.
    """
    if not spec.allow_pickle and not is_safe(folder):
        found = pickles(folder, "*")
        if found:
            raise pickle_refused(spec, found[0], str(folder))
    check_code(folder, spec)


def is_safe(folder: Path) -> bool:
    """Whether the weights that transformers would load from `folder` are safetensors."""
    weights = weight_files(folder)
    return bool(weights) and not weights[0].startswith(PICKLED)


def check_mlflow_model(folder: Path, spec: ModelSpec) -> None:
    """Check that loading the MLflow model in `folder` unpickles nothing, unless the user has agreed to it.

    Code that was logged with it may run: see the module's docstring.

    Raises:
        ModelError: A pickle, or a folder that is not an MLflow model's.
    """
    flavors = read_flavors(folder, spec)
    if spec.allow_pickle:
        return
    pyfunc = flavors.get("python_function") or {}
    if pyfunc.get("python_model") and not pyfunc.get("model_code_path"):
        raise pickle_refused(spec, str(pyfunc["python_model"]), str(folder))
    found = [path for path in pickles(folder, "**/*") if not beside_safetensors(folder / path)]
    if found:
        raise pickle_refused(spec, found[0], str(folder))


def pickle_refused(spec: ModelSpec, file: str, place: str) -> ModelError:
    """The error for a pickle: what it is, where, and the table that allows it."""
    return ModelError(
        f"model {spec.name!r} is refused: {file} in {place} is pickled, and reading a pickle can run any code.\n"
        "Take a model saved as safetensors (or logged from code), or if you trust this one, allow it by name "
        f"in pyproject.toml:\n{allowed(spec, 'allow_pickle')}"
    )


def allowed(spec: ModelSpec, key: str) -> str:
    """The TOML that allows something for one model."""
    return f"    {header(spec.name)}\n    source = {json.dumps(shown(spec), ensure_ascii=False)}\n    {key} = true"


def pickles(folder: Path, pattern: str) -> list[str]:
    """Pickled files below `folder`, by their path in it; what a training run leaves behind last is left out."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.glob(pattern)
        if matches(path.name.lower(), PICKLES) and not matches(path.name.lower(), TRAINING)
    )


def beside_safetensors(path: Path) -> bool:
    """Whether transformers would pass over these weights for safetensors in the same folder."""
    names = (SAFETENSORS, index_of(SAFETENSORS))
    return matches(path.name, ("pytorch_model*.bin",)) and any((path.parent / name).is_file() for name in names)


def check_code(folder: Path, spec: ModelSpec) -> None:
    """Check that the model's class is one of transformers' own, whose code then runs, not the repository's.

    Raises:
        ModelError: It is not, and the user has not agreed to run the repository's.
    """
    if spec.trust_remote_code:
        return
    config = read_json(folder / CONFIG)
    code = config.get("auto_map")
    if not code or is_native(str(config.get("model_type", ""))):
        return
    files = sorted({str(place).rpartition(".")[0] + ".py" for place in code.values()}) if isinstance(code, dict) else []
    raise ModelError(
        f"model {spec.name!r} is refused: {CONFIG} in {folder} wants code of its own to run ({', '.join(files)}), "
        f"because transformers has no model type {config.get('model_type')!r}.\n"
        "Read that code, and if you trust it, allow it by name in pyproject.toml:\n"
        f"{allowed(spec, 'trust_remote_code')}"
    )


def is_native(model_type: str) -> bool:
    """Whether transformers has the model type itself; many repositories still carry the code from before it had."""
    from transformers import CONFIG_MAPPING

    return model_type in CONFIG_MAPPING


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, empty where there is none."""
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


def read_flavors(folder: Path, spec: ModelSpec) -> dict[str, Any]:
    """The flavours that an MLmodel file lists.

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
