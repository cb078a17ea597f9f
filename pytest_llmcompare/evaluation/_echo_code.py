"""The code that MLflow stores with an `echo:` model and runs to load it. `echo_model.py` has the model.

The copy that runs lies among MLflow's artifacts, often inside the user's project, where coverage must not count it.
"""

from typing import Any  # pragma: no cover

from mlflow.models import ModelConfig, set_model  # pragma: no cover

from pytest_llmcompare.evaluation.echo_model import from_config  # pragma: no cover

config: Any = ModelConfig()  # pragma: no cover
set_model(from_config(config.to_dict()))  # pragma: no cover
