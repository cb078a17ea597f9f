"""Holds the pyfunc that was loaded last: before the next one is loaded, it is freed."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_llmcompare.models import in_memory
from pytest_llmcompare.models.spec import ModelSpec, SourceKind

from . import model_logging, plugin_models

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel


class LoadedPyfunc:
    """Holds one loaded pyfunc. Ours keep their weights in `models/in_memory.py`, any other keeps them inside."""

    def __init__(self) -> None:
        self.key: tuple[str, ModelSpec] | None = None
        self.model: PyFuncModel | None = None

    def get(self, uri: str, spec: ModelSpec, *, defers: bool = False) -> PyFuncModel:
        """The pyfunc of a URI, loaded if it is not the one that is held; the former one is freed first.

        Args:
            uri: A URI that pins a version.
            spec: The model as the user named it, with the permission to load pickles.
            defers: Whether one of our pyfuncs loads its weights only when it is asked.

        Raises:
            ModelError: It cannot be loaded; then none is held.
        """
        if self.model is None or self.key != (uri, spec):
            self.forget(but=spec)
            if spec.kind is SourceKind.MLFLOW:  # it may hold weights itself
                in_memory.release()
            self.model = model_logging.load(uri, spec, plugin_models.unstored(spec), defers=defers)
            self.key = (uri, spec)
        return self.model

    def hold(self, spec: ModelSpec, load: plugin_models.Load, root: Path) -> plugin_models.GivenModel:
        """A model that a plugin loads; the former model is freed first.

        Raises:
            ModelError: No plugin knows it, or a plugin gives something that is not a model.
        """
        if not plugin_models.is_held(spec):
            self.forget()
            in_memory.release()
        return plugin_models.hold(spec, load, root)

    def forget(self, *, but: ModelSpec | None = None, collect: bool = True) -> None:
        """Free the pyfunc and what it holds.

        Args:
            but: A plugin's model that stays.
            collect: Whether to collect garbage, so that memory is free before the next model is loaded.
        """
        if but is None or not plugin_models.is_held(but):
            plugin_models.release()
        model_logging.forget_code()
        former, self.model, self.key = self.model, None, None
        if collect and former is not None and model_logging.python_model_of(former) is None:
            del former
            gc.collect()  # MLflow's wrappers and most models refer to themselves
