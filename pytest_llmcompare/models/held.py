"""The code that MLflow stores with a model that a plugin holds, and runs to load it. `given.py` has the model."""

from typing import Any

from mlflow.models import ModelConfig, set_model

from pytest_llmcompare.models.given import held

given: Any = ModelConfig()
set_model(held(given.to_dict()))
