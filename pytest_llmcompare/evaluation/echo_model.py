"""`echo:` models as MLflow's: logged as code that needs neither torch nor transformers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import mlflow
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.models.model import ModelInfo
from mlflow.pyfunc import PyFuncModel
from mlflow.pyfunc.model import PythonModel
from mlflow.types import ColSpec, DataType, Schema

from pytest_llmcompare.models.echo import EchoSettings, parse_echo
from pytest_llmcompare.models.spec import ModelSpec

if TYPE_CHECKING:
    ModelInput = object
else:
    ModelInput = pd.DataFrame  # MLflow reads annotations: others make it warn at import, or convert the input

CODE = Path(__file__).with_name("_echo_code.py")
TEXTS = ModelSignature(Schema([ColSpec(DataType.string)]), Schema([ColSpec(DataType.string)]))
"""A text per row in, a text per row out."""

PARAMETERS = {"echo.drift": "drift", "echo.delay": "delay"}
"""Fields of the settings by their name in MLflow, which logs a model's configuration as parameters of the run."""


class EchoModel(PythonModel):
    """Answers each prompt with a text made from it.

    Args:
        settings: How often another answer is given, and how long each takes.
    """

    def __init__(self, settings: EchoSettings) -> None:
        super().__init__()
        self.settings = settings

    def predict(self, context: object, model_input: ModelInput, params: Any = None) -> list[str]:  # noqa: ARG002 - MLflow's
        """Answer the texts in the first column."""
        prompts = [str(text) for text in pd.DataFrame(cast("Any", model_input)).iloc[:, 0]]
        time.sleep(self.settings.delay * len(prompts))
        return [self.settings.answer(prompt) for prompt in prompts]


def parameters_of(spec: ModelSpec) -> dict[str, float]:
    """The parameters of an `echo:` model, defaults included, by their names in MLflow."""
    settings = parse_echo(spec.source, f"model {spec.name!r}")
    return {name: getattr(settings, field) for name, field in PARAMETERS.items()}


def from_config(config: Mapping[str, Any]) -> EchoModel:
    """The model that was logged with these parameters; called by the code that MLflow stores with it."""
    return EchoModel(EchoSettings(**{field: config[name] for name, field in PARAMETERS.items()}))


def is_echo(model: PyFuncModel) -> bool:
    """True if an `echo:` model is inside a loaded model."""
    try:
        return isinstance(model.unwrap_python_model(), EchoModel)
    except mlflow.MlflowException:  # another flavour
        return False


def log_echo(spec: ModelSpec, name: str) -> ModelInfo:
    """Log an `echo:` model in the active run."""
    info: ModelInfo = mlflow.pyfunc.log_model(
        name=name,
        python_model=str(CODE),
        model_config=parameters_of(spec),
        signature=TEXTS,
        # With requirements MLflow infers none, for which it would load the model once more.
        pip_requirements=[f"{package}=={version(package)}" for package in ("mlflow", "pytest-llmcompare")],
    )
    return info
