"""The code that MLflow stores with a model that a plugin holds, and runs to load it. `plugin_models.py` has the model.

The copy that runs lies among MLflow's artifacts, often inside the user's project, where coverage must not count it.
"""

from typing import Any  # pragma: no cover

from mlflow.models import ModelConfig, set_model  # pragma: no cover

from pytest_llmcompare.evaluation.plugin_models import held  # pragma: no cover

given: Any = ModelConfig()  # pragma: no cover
set_model(held(given.to_dict()))  # pragma: no cover
