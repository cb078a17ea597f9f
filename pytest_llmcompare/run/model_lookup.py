"""Finds the models of a run, each once, before anything large is imported."""

from __future__ import annotations

from pathlib import Path

from pytest_llmcompare.baselines.content_digests import recall_digests
from pytest_llmcompare.errors import ModelError
from pytest_llmcompare.models.resolve import ResolvedModel, prepare, resolve
from pytest_llmcompare.models.spec import ModelSpec, SourceKind


class ModelLookup:
    """Where the models of a run are.

    Args:
        root: pytest's root folder.
        recalls: Whether fingerprints of files that earlier runs kept are used.
    """

    def __init__(self, root: Path, *, recalls: bool) -> None:
        self.root = root
        self.recalls = recalls
        self.resolved: dict[ModelSpec, ResolvedModel | ModelError] = {}

    def prepare(self, spec: ModelSpec) -> None:
        """Find a model before mlflow is imported, which takes longer than to say that a model is not there.

        Meanwhile a thread reads the weights in a folder, for their fingerprint.

        Raises:
            ModelError: As `resolve`.
        """
        if spec.kind is not SourceKind.FOLDER:
            self.resolve(spec)
        elif spec not in self.resolved:
            if self.recalls:
                recall_digests(self.root)
            prepare(spec, root=self.root)

    def resolve(self, spec: ModelSpec) -> ResolvedModel | None:
        """Find a model on this machine or the hub, once per run; None for one that is asked of MLflow or a plugin.

        Raises:
            ModelError: It cannot be found or is refused.
        """
        if spec.kind in (SourceKind.MLFLOW, SourceKind.OTHER):
            return None
        if spec not in self.resolved:
            try:
                self.resolved[spec] = resolve(spec, root=self.root)
            except ModelError as error:
                self.resolved[spec] = error
        model_or_error = self.resolved[spec]
        if isinstance(model_or_error, ModelError):
            raise model_or_error
        return model_or_error
