"""The code that MLflow stores with a served model and runs to load it. `served_model.py` has the model.

The copy that runs lies among MLflow's artifacts, often below the user's tests, whose coverage is not to count it.
"""

from typing import Any  # pragma: no cover

from mlflow.models import ModelConfig, set_model  # pragma: no cover

from pytest_llmcompare.evaluation.served_model import ServedModel  # pragma: no cover

config: Any = ModelConfig()  # pragma: no cover
set_model(ServedModel(config.to_dict()))  # pragma: no cover
