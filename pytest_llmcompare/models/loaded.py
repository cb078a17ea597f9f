"""The one pyfunc that this process has loaded from MLflow: the next is loaded once it has gone."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING

from . import given, registry, resident
from .spec import ModelSpec, SourceKind

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel


class Loaded:
    """Room for one pyfunc; a pyfunc of ours has its weights in `resident.py`, any other inside."""

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
                resident.release()
            self.model = registry.load(uri, spec, given.unstored(spec))
            self.key = (uri, spec)
        return self.model

    def hold(self, spec: ModelSpec, load: given.Load, root: Path) -> given.GivenModel:
        """A model that plugins load, asked for after the former one was freed.

        Raises:
            ModelError: No plugin knows it, or one does wrong.
        """
        if not given.is_held(spec):
            self.forget()
            resident.release()
        return given.hold(spec, load, root)

    def forget(self, *, but: ModelSpec | None = None) -> None:
        """Let go of the pyfunc, and of what somebody else's has inside; a plugin's model `but` stays."""
        if but is None or not given.is_held(but):
            given.release()
        registry.forget_code()
        former, self.model, self.key = self.model, None, None
        if former is not None and registry.python_model_of(former) is None:
            del former
            gc.collect()  # MLflow's wrappers and most models refer to themselves
