"""Finds the models of a run, each once, before anything large is imported."""

from __future__ import annotations

from pathlib import Path

from pytest_llmcompare.baselines.content_digests import load_digests
from pytest_llmcompare.errors import ModelError
from pytest_llmcompare.models.resolve import ResolvedModel, check_early, resolve
from pytest_llmcompare.models.spec import ModelSpec, SourceKind


class ModelLookup:
    """Where the models of a run are.

    Args:
        root: pytest's root folder.
        recalls: Whether digests of files that earlier runs saved are used.
    """

    def __init__(self, root: Path, *, recalls: bool) -> None:
        self.root = root
        self.recalls = recalls
        self.resolved: dict[ModelSpec, ResolvedModel | ModelError] = {}

    def check_early(self, spec: ModelSpec) -> None:
        """Find a model before mlflow is imported, which takes longer than to say that a model is not there.

        Meanwhile a thread reads the weights in a folder, for their fingerprint.

        Raises:
            ModelError: As `resolve`.
        """
        is_new = spec not in self.resolved
        if is_new and self.recalls:
            load_digests(self.root)
        if not (is_new and check_early(spec, root=self.root)):
            self.resolve(spec)

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
