"""Logs our pyfuncs in MLflow as models from code, and loads any pyfunc."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
from mlflow.models.model import Model, ModelInfo
from mlflow.pyfunc import PyFuncModel
from mlflow.tracking.context.registry import resolve_tags

from pytest_llmcompare.compat import requirements_unchecked
from pytest_llmcompare.errors import LlmCompareError, ModelError, TrackingError, UsageError
from pytest_llmcompare.models import in_memory
from pytest_llmcompare.models.adapter_files import check_adapted_pipeline
from pytest_llmcompare.models.mlflow_store import bounded_requests, refusal, store
from pytest_llmcompare.models.model_files import is_adapter
from pytest_llmcompare.models.safety import check_mlflow_model, read_flavors
from pytest_llmcompare.models.spec import ModelSpec, SourceKind
from pytest_llmcompare.models.uris import name_from_uri
from pytest_llmcompare.models.warning_filters import library_warnings_ignored
from pytest_llmcompare.text import error_line, in_text_without_secrets

from .heavy_imports import heavy_imports
from .pyfunc import HeldTransformer, PyfuncTransformer, PyfuncTransformerWithParams
from .signatures import CHAT, SIGNATURES, input_example

CLASSES: Mapping[str, type[HeldTransformer]] = {
    kind.__name__: kind for kind in (PyfuncTransformer, PyfuncTransformerWithParams)
}
CODE = Path(__file__).with_name("_logged_code.py")
PACKAGES = ("pytest-llmcompare", "mlflow", "transformers", "torch", "accelerate", "pandas")
"""Packages that serving a logged pyfunc needs; each brings its own dependencies."""

SILENT: Mapping[str, str] = {
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # the server's address may hold a key
}
FORBIDDEN = re.compile(r"""[/:.%"'\s\x00-\x1f]+""")  # MLflow's own list for the names of logged models, and spaces


class Flavor:
    """`mlflow.pyfunc` as a flavor for `Model.log`, so that the model is not loaded to try its input example.

    `mlflow.pyfunc.log_model` has no option for that.
    """

    @staticmethod
    def save_model(*, validate_serving_input: bool, **options: Any) -> None:  # noqa: ARG004 - for Model.log alone
        """Write the files of the model."""
        mlflow.pyfunc.save_model(**options)


def logged(log_model: Callable[[ModelSpec, str], ModelInfo], spec: ModelSpec) -> str:
    """Log a model in the active run, without MLflow's messages on the terminal; return its URI.

    Raises:
        TrackingError: MLflow's store does not take it.
    """
    try:
        with bounded_requests(), quiet(), requirements_unchecked():
            info = log_model(spec, mlflow_name(spec.name))
            clean_tags(info.model_id)
    except Exception as error:  # a store may be a server or any database, each with errors of its own
        raise not_logged(spec.name, error) from error
    return str(info.model_uri)


def log(python_model: HeldTransformer, name: str, *, is_chat: bool = False) -> ModelInfo:
    """Log one of our pyfuncs in the active run as a model from code, without a pickle and without its weights.

    Args:
        python_model: The pyfunc.
        name: Name of the logged model; characters that MLflow refuses are replaced.
        is_chat: Whether it is asked conversations; a model with a chat template always may be.

    Raises:
        UsageError: It is a pyfunc of another class.
        TrackingError: MLflow's store does not take it.
    """
    kind = type(python_model).__name__
    if type(python_model) is not CLASSES.get(kind):
        raise UsageError(
            f"log_model logs {' and '.join(CLASSES)}, got {kind}.\n"
            "Log a pyfunc of your own with mlflow.pyfunc.log_model(name=..., python_model=...)"
        )
    takes_columns = kind == PyfuncTransformerWithParams.__name__
    form = CHAT if takes_columns and (is_chat or python_model.spec.chat_template) else kind
    try:
        with bounded_requests(), quiet(), requirements_unchecked():
            info: ModelInfo = Model.log(
                artifact_path=None,
                name=mlflow_name(name),
                flavor=Flavor,
                python_model=str(CODE),
                model_config={"class": kind, **python_model.config()},
                # With signature and requirements MLflow infers neither, for which it would load the model twice.
                signature=SIGNATURES[form],
                pip_requirements=requirements(packages_of(python_model.spec)),
                input_example=input_example(form),
                validate_serving_input=False,
            )
            clean_tags(info.model_id)
    except Exception as error:  # a store may be a server or any database, each with errors of its own
        raise not_logged(python_model.spec.name, error) from error
    return info


def not_logged(name: str, error: Exception) -> TrackingError:
    """The error for a model that MLflow's store does not take."""
    return TrackingError(
        refusal(error, mlflow.get_tracking_uri())
        or f"model {name!r} cannot be logged in MLflow at {store()}: {error_line(error)}\n"
        "Check that the store is running and can be written to, "
        "or name another with --llm-tracking-uri or MLFLOW_TRACKING_URI."
    )


def tags_without_secrets(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags that may be stored: MLflow's own hold the address of git's remote, in CI with a token in it."""
    return {name: in_text_without_secrets(str(value)) for name, value in tags.items()}


def clean_tags(model_id: str | None) -> None:
    """Take secrets out of the tags that MLflow itself gives a logged model."""
    own = resolve_tags()
    if model_id and (changed := dict(tags_without_secrets(own).items() - own.items())):
        mlflow.MlflowClient().set_logged_model_tags(model_id, changed)


def from_config(config: Mapping[str, Any]) -> HeldTransformer:
    """Make the pyfunc that was logged with this configuration.

    Raises:
        ModelError: Another version of this package logged it, with arguments that this version does not know.
    """
    arguments = dict(config)
    kind = CLASSES.get(str(arguments.pop("class", "")))
    try:
        if kind is not None:
            return kind(**arguments)
    except TypeError as error:
        raise unknown_config(str(error)) from error
    raise unknown_config(f"this version has no class {config.get('class')!r}")


def unknown_config(why: str) -> ModelError:
    """The error for arguments that another version wrote."""
    return ModelError(
        "the logged model was made by another version of pytest-llmcompare than "
        f"{version('pytest-llmcompare')}: {why}.\n"
        "Install the version that its requirements.txt names, or log the model again."
    )


def mlflow_name(name: str) -> str:
    """A name with the characters replaced that MLflow refuses in names of models."""
    return FORBIDDEN.sub("_", name).strip("_") or "model"


def packages_of(spec: ModelSpec) -> list[str]:
    """Packages that serving a model needs."""
    folder = Path(spec.source, spec.loading.subfolder)
    needs_peft = spec.loading.base or (spec.kind is SourceKind.FOLDER and is_adapter(folder))
    return [*PACKAGES, *(["peft"] if needs_peft else [])]


def requirements(packages: Iterable[str]) -> list[str]:
    """Requirements to serve a pyfunc, in the versions that are installed here."""
    # Builds such as torch 2.9.0+cpu are not on PyPI.
    return [f"{package}=={version(package).partition('+')[0]}" for package in packages]


def load(
    uri: str, spec: ModelSpec | None = None, config: dict[str, str] | None = None, *, defers: bool = False
) -> PyFuncModel:
    """Load a pyfunc from MLflow, after a check that its files are safe.

    Args:
        uri: `models:/...` or `runs:/...`, pinned to a version.
        spec: The model as the user named it, with the permission to load pickles; without one they are refused.
        config: Added to the configuration that is stored with the model's code.
        defers: Whether one of our pyfuncs loads its weights only when it is asked.

    Raises:
        LlmCompareError: It cannot be fetched, is refused, or cannot be loaded.
    """
    spec = spec or ModelSpec(name_from_uri(uri), uri, SourceKind.MLFLOW)
    folder = fetched(uri, spec)
    check_mlflow_model(folder, spec)
    check_adapted_pipeline(folder, read_flavors(folder, spec), uri, spec)
    is_deferred = defers and (folder / CODE.name).is_file()
    try:
        with library_warnings_ignored() if is_deferred else quiet_loading(folder), deferral(is_deferred):
            loaded: PyFuncModel = mlflow.pyfunc.load_model(str(folder), suppress_warnings=True, model_config=config)
    except Exception as error:  # from the user's own code
        raise load_error(error, uri, spec, folder) from error
    return loaded


def deferral(is_deferred: bool) -> AbstractContextManager[None]:
    """Defer loading the weights of our pyfuncs, or not."""
    return in_memory.loading_deferred() if is_deferred else nullcontext()


@contextmanager
def quiet_loading(folder: Path) -> Iterator[None]:
    """Keep transformers' warnings and progress bars off the terminal, if the model in a folder may use transformers."""
    files = [path for path in (folder / "MLmodel", folder / "requirements.txt") if path.is_file()]
    if any("transformers" in path.read_text(encoding="utf-8", errors="replace") for path in files):
        with heavy_imports():
            from pytest_llmcompare.models.load import transformers_quiet  # imports torch

        with transformers_quiet():
            yield
    else:
        with library_warnings_ignored():
            yield


def load_error(error: Exception, uri: str, spec: ModelSpec, folder: Path) -> LlmCompareError:
    """The error for a model that cannot be loaded; MLflow wraps what the model's code raises."""
    chain: list[BaseException] = [error]
    while further := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(further)
    for cause in chain:
        if isinstance(cause, LlmCompareError):
            return cause
        if isinstance(cause, ModuleNotFoundError):
            return ModelError(
                f"model {spec.name!r}: {uri} needs the Python module {cause.name!r}, which is not installed here.\n"
                f"Install what it was logged with: pip install -r {folder / 'requirements.txt'}"
            )
    return ModelError(
        f"model {spec.name!r}: {uri} cannot be loaded: {error_line(error)}\n"
        f'To see the whole error: python -c "import mlflow; mlflow.pyfunc.load_model({uri!r})"'
    )


def fetched(uri: str, spec: ModelSpec) -> Path:
    """Folder with the files of a model: the store's own if it is on this machine, else a copy.

    Raises:
        ModelError: They cannot be fetched.
    """
    try:
        with bounded_requests(), quiet():
            return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri))
    except Exception as error:  # a store may be a server or any database, each with errors of its own
        raise ModelError(
            f"model {spec.name!r}: the files of {uri} cannot be fetched from MLflow at {store()}: {error_line(error)}\n"
            "Check that the store is running and still has them, "
            "or name another with --llm-tracking-uri or MLFLOW_TRACKING_URI."
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Keep MLflow's log messages and progress bars off the terminal, unless the user has set these variables."""
    added = {name: value for name, value in SILENT.items() if name not in os.environ}
    notes, level = logging.getLogger("mlflow"), logging.getLogger("mlflow").level
    os.environ.update(added)
    if level != logging.ERROR:  # to set a level clears what all loggers have cached
        notes.setLevel(logging.ERROR)
    try:
        with library_warnings_ignored():
            yield
    finally:
        if level != logging.ERROR:
            notes.setLevel(level)
        for name in added:
            os.environ.pop(name, None)


def forget_code() -> None:
    """Drop MLflow's reference to the model that was last loaded from code, so that it can be freed."""
    mlflow.models.model.__mlflow_model__ = None  # no public function does


def python_model_of(pyfunc_model: PyFuncModel) -> HeldTransformer | None:
    """Our own pyfunc inside a loaded model; None for any other model, its subclasses included.

    A subclass may change the texts that come out, so its tokens need not belong to them.
    """
    unwrap: Callable[[], object] = pyfunc_model.unwrap_python_model
    try:
        inside = unwrap()
    except mlflow.MlflowException:  # another flavour
        return None
    return inside if isinstance(inside, HeldTransformer) and type(inside) in CLASSES.values() else None
