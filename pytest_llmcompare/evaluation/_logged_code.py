"""The code that MLflow stores with a logged pyfunc and runs to load it. `model_logging.py` gives it the arguments.

The copy that runs lies among MLflow's artifacts, often inside the user's project, where coverage must not count it.
"""

from typing import Any  # pragma: no cover

from mlflow.models import ModelConfig, set_model  # pragma: no cover

from pytest_llmcompare.evaluation.model_logging import from_config  # pragma: no cover

given: Any = ModelConfig()  # pragma: no cover
set_model(from_config(given.to_dict()))  # pragma: no cover
