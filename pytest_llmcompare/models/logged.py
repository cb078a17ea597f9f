"""The code that MLflow stores with a logged pyfunc and runs to load it. `registry.py` gives it the arguments."""

from typing import Any

from mlflow.models import ModelConfig, set_model

from pytest_llmcompare.models.registry import from_config

given: Any = ModelConfig()
set_model(from_config(given.to_dict()))
