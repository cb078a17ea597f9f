"""The one pyfunc that this process has loaded from MLflow: the next is loaded once it has gone."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_llmcompare.models import in_memory
from pytest_llmcompare.models.spec import ModelSpec, SourceKind

from . import model_logging, plugin_models

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel


class Loaded:
    """Room for one pyfunc; a pyfunc of ours has its weights in `models/in_memory.py`, any other inside."""

    def __init__(self) -> None:
        self.key: tuple[str, ModelSpec] | None = None
        self.model: PyFuncModel | None = None

    def get(self, uri: str, spec: ModelSpec) -> PyFuncModel:
        """The pyfunc: the one that is loaded if that is it, else loaded after the former one was freed.

        Args:
            uri: Its URI, one that means one version.
            spec: The model as the user named it, with what is allowed.

        Raises:
            ModelError: It cannot be loaded; then none is.
        """
        if self.model is None or self.key != (uri, spec):
            self.forget(but=spec)
            if spec.kind is SourceKind.MLFLOW:  # it may bring weights of its own
                in_memory.release()
            self.model = model_logging.load(uri, spec, plugin_models.unstored(spec))
            self.key = (uri, spec)
        return self.model

    def hold(self, spec: ModelSpec, load: plugin_models.Load, root: Path) -> plugin_models.GivenModel:
        """A model that plugins load, asked for after the former one was freed.

        Raises:
            ModelError: No plugin knows it, or one does wrong.
        """
        if not plugin_models.is_held(spec):
            self.forget()
            in_memory.release()
        return plugin_models.hold(spec, load, root)

    def forget(self, *, but: ModelSpec | None = None) -> None:
        """Let go of the pyfunc, and of what somebody else's has inside; a plugin's model `but` stays."""
        if but is None or not plugin_models.is_held(but):
            plugin_models.release()
        model_logging.forget_code()
        former, self.model, self.key = self.model, None, None
        if former is not None and model_logging.python_model_of(former) is None:
            del former
            gc.collect()  # MLflow's wrappers and most models refer to themselves
