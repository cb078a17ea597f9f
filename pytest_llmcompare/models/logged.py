"""The code that MLflow stores with a logged pyfunc and runs to load it. `registry.py` gives it the arguments. Coverage of a
user's tests does not count it: MLflow keeps the copy that runs in its folder of artifacts.
"""

from typing import Any  # pragma: no cover

from mlflow.models import ModelConfig, set_model  # pragma: no cover

from pytest_llmcompare.models.registry import from_config  # pragma: no cover

given: Any = ModelConfig()  # pragma: no cover
set_model(from_config(given.to_dict()))  # pragma: no cover
