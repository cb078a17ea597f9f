"""Models that plugins load: checked, held in memory one at a time, and logged in MLflow without a pickle.

An object is logged as code that fetches it from here (`_held_code.py`), so it can be loaded in this process only. A
file with models from code is logged as it is.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import mlflow
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.pyfunc.model import PythonModel
from mlflow.types import ColSpec, DataType, Schema

from pytest_llmcompare.compat import requirements_unchecked
from pytest_llmcompare.errors import HookError, ModelError
from pytest_llmcompare.models.mlflow_store import refusal
from pytest_llmcompare.models.model_files import files_digest
from pytest_llmcompare.models.spec import ModelSpec, shown_source, shown_spec
from pytest_llmcompare.models.warning_filters import users_filter
from pytest_llmcompare.suite.extensions import Given
from pytest_llmcompare.text import error_line, source_without_secrets

from . import model_logging
from .pyfunc import HeldTransformer
from .pyfunc_output import described

if TYPE_CHECKING:
    ModelInput = object
else:
    ModelInput = pd.DataFrame  # MLflow reads annotations: others make it warn at import, or convert what comes in

CODE = Path(__file__).with_name("_held_code.py")
TEXTS = ModelSignature(Schema([ColSpec(DataType.string)]), Schema([ColSpec(DataType.string)]))
UNKNOWN = "unknown"
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
FINGERPRINT = re.compile(r"[\w.+-]{1,64}", re.ASCII)
EXPECTED = (
    "an object with predict(list of texts), an mlflow.pyfunc.PythonModel, or the path of a .py file with models from "
    "code"
)

Load = Callable[[ModelSpec], Given | None]


class TextModel(PythonModel):
    """An MLflow model around an object whose `predict` turns a list of texts into a list of texts."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def predict(self, context: object, model_input: ModelInput, params: Any = None) -> Any:  # noqa: ARG002 - MLflow's
        """Ask the object."""
        frame = pd.DataFrame(cast("Any", model_input))
        with users_filter():  # it is the user's own code
            return self.inner.predict([str(text) for text in frame.iloc[:, 0]])


@dataclass(frozen=True)
class GivenModel:
    """A model as a plugin gave it.

    Attributes:
        spec: The spec that it was loaded for.
        model: The model, or the file with its code.
        fingerprint: Version of its weights; `unknown` if the model names none.
        source: Which hook gave it, for messages.
        state: Stands for the version if there is no fingerprint: a digest of code and attributes.
    """

    spec: ModelSpec
    model: PythonModel | Path
    fingerprint: str
    source: str
    state: str = ""


@dataclass
class HeldModel:
    """The model that is in memory, if there is one."""

    given: GivenModel | None = None


_held = HeldModel()


def is_held(spec: ModelSpec) -> bool:
    """True if this model is in memory."""
    return _held.given is not None and _held.given.spec == spec


def state() -> str:
    """Digest that stands for the version of the model in memory if it names no fingerprint; else empty."""
    return _held.given.state if _held.given else ""


def release() -> None:
    """Free the model in memory, if there is one."""
    _held.given = None


def hold(spec: ModelSpec, load: Load, root: Path) -> GivenModel:
    """A model that a plugin loads, unless it is in memory already; the former one is freed first.

    Args:
        spec: The model.
        load: Asks the plugins.
        root: pytest's root folder, which a path is relative to.

    Raises:
        ModelError: No plugin knows it, or a plugin raises or returns something other than a model.
    """
    if _held.given is None or _held.given.spec != spec:
        release()
        try:
            given = load(spec)
        except HookError as error:
            raise ModelError(f"model {spec.name!r} ({shown_spec(spec)}): {error}") from error
        if given is None:
            raise ModelError(
                f"model {spec.name!r} ({shown_spec(spec)}): "
                f"no plugin knows the kind {spec.source.partition(':')[0]!r}; "
                "each pytest_llmcompare_load_model returned None.\n"
                "Check the spelling of the kind, or return a model for it."
            )
        _held.given = checked(spec, given, root)
    return _held.given


def checked(spec: ModelSpec, given: Given, root: Path) -> GivenModel:
    """Check what a plugin gave.

    Raises:
        ModelError: It is not a model.
    """
    value, source = given
    where = f"model {spec.name!r} ({shown_spec(spec)}): {source}"
    if isinstance(value, (str, os.PathLike)):
        path = root / os.fspath(value)
        if path.suffix != ".py" or not path.is_file():
            raise ModelError(f"{where} returned {os.fspath(value)!r}, which is not a .py file. Expected {EXPECTED}.")
        return GivenModel(spec, path, files_digest(path.parent, [path]), source)
    if isinstance(value, type) or not callable(getattr(value, "predict", None)):
        raise ModelError(f"{where} returned {described(value)}, expected {EXPECTED}.")
    model = value if isinstance(value, PythonModel) else TextModel(value)
    if isinstance(model, HeldTransformer):
        return GivenModel(spec, model, model.located().fingerprint, source)
    fingerprint = getattr(value, "fingerprint", UNKNOWN)
    if not isinstance(fingerprint, str) or not FINGERPRINT.fullmatch(fingerprint):
        raise ModelError(
            f"{where} gave a model with the fingerprint {described(fingerprint)}, expected 1 to 64 letters, digits, "
            "and the signs . _ + -, such as '2024-05-01'."
        )
    return GivenModel(spec, model, fingerprint, source, state_of(value) if fingerprint == UNKNOWN else "")


def state_of(inner: object) -> str:
    """Digest of the file that a model's class is in, and of its attributes.

    Addresses in an attribute's `repr` are left out, so a change inside the object may go unseen.
    """
    try:
        code = Path(inspect.getfile(type(inner))).read_bytes()
    except (OSError, TypeError):  # made by `exec`, or built in
        code = b""
    attributes = {name: ADDRESS.sub("", repr(value)) for name, value in getattr(inner, "__dict__", {}).items()}
    whole = hashlib.sha256(code)
    whole.update(repr((type(inner).__qualname__, sorted(attributes.items()))).encode("utf-8", "backslashreplace"))
    return whole.hexdigest()


def log(spec: ModelSpec) -> str:
    """Log the model in memory in the active run; its URI.

    Raises:
        ModelError: MLflow cannot load its code.
        TrackingError: MLflow's store does not take it.
    """
    given = _held.given
    assert given is not None  # the caller has loaded it
    if isinstance(given.model, HeldTransformer):
        return model_logging.log(given.model, spec.name).model_uri
    code = given.model if isinstance(given.model, Path) else CODE
    packages = ("mlflow",) if isinstance(given.model, Path) else ("mlflow", "pytest-llmcompare")
    try:
        with model_logging.quiet(), requirements_unchecked():
            info = mlflow.pyfunc.log_model(
                name=model_logging.mlflow_name(spec.name),
                python_model=str(code),
                model_config=config_of(spec),
                signature=TEXTS if isinstance(given.model, TextModel) else None,
                # With requirements MLflow infers none, for which it would load the model once more.
                pip_requirements=[f"{package}=={version(package)}" for package in packages],
            )
            model_logging.clean_tags(info.model_id)
    except Exception as error:  # from the plugin's code
        raise ModelError(
            refusal(error, mlflow.get_tracking_uri())
            or f"model {spec.name!r} ({shown_spec(spec)}): what {given.source} returned cannot be logged in MLflow: "
            f"{error_line(error)}"
        ) from error
    return str(info.model_uri)


def config_of(spec: ModelSpec) -> dict[str, Any]:
    """The `mlflow.models.ModelConfig` that is stored with a model's code, without the secrets of addresses."""
    facts = {name: getattr(spec, name) for name in ("name", "revision", "dtype", "device")}
    return {**facts, "source": shown_source(spec)}


def unstored(spec: ModelSpec) -> dict[str, str] | None:
    """Parameters for the model's code in this run that are not stored: the source with its secrets."""
    ours = _held.given is not None and isinstance(_held.given.model, HeldTransformer)
    differs = is_held(spec) and not ours and shown_source(spec) != spec.source
    return {"source": spec.source} if differs else None


def held(config: Mapping[str, Any]) -> PythonModel:
    """The model in memory, for the code that MLflow runs to load it.

    Raises:
        ModelError: Another model is in memory, because another process logged this one.
    """
    given = _held.given
    source = source_without_secrets(str(config.get("source")))
    if given is None or isinstance(given.model, Path) or config_of(given.spec) != {**config, "source": source}:
        raise ModelError(
            f"model {config.get('name')!r} ({source}) was loaded by a pytest plugin and exists only "
            "in that run.\nTo load it from MLflow, let pytest_llmcompare_load_model return the path of a file with "
            "models from code."
        )
    return given.model
