"""Resources of a session: the tracking store, the loaded model, and lookups that are done once."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.models import EvaluationMetric
from mlflow.models.evaluation import EvaluationResult
from mlflow.pyfunc import PyFuncModel

from pytest_llmcompare.baselines.sources.git import git_commit
from pytest_llmcompare.models import embedding, in_memory
from pytest_llmcompare.models.resolve import ResolvedModel, resolve
from pytest_llmcompare.models.spec import ModelSpec, SourceKind
from pytest_llmcompare.records import GroupKey, GroupResult, RowKey
from pytest_llmcompare.settings import Settings

from . import metrics, served_model, tracking_store
from .dataset import scores_in
from .loaded_pyfunc import LoadedPyfunc

if TYPE_CHECKING:
    from pytest_llmcompare.baselines.sources.protocol import BaselineReader
    from pytest_llmcompare.suite.group import Group


class Resources:
    """Store, models and lookups that all evaluations of a session share; one model is in memory at a time.

    Args:
        settings: Settings of the run.
        root: pytest's root folder.
        scratch: Folder for files of this run, shared by xdist's workers.
        started: Folder that pytest was started in.
        source: Where baselines come from.
    """

    def __init__(self, settings: Settings, root: Path, scratch: Path, started: Path, source: BaselineReader) -> None:
        self.settings = settings
        self.root = root
        self.scratch = scratch
        self.source = source
        self.store = tracking_store.Store(settings.tracking_uri, started)
        self.loaded = LoadedPyfunc()
        self._resolved: dict[ModelSpec, ResolvedModel] = {}
        self._added_metrics: dict[GroupKey, list[EvaluationMetric]] = {}
        served_model.share_limits(scratch if scratch.is_absolute() else None)

    @cached_property
    def commit(self) -> str:
        """The git commit of the user's project; empty if there is none."""
        return git_commit(self.root)

    def resolve(self, group: Group) -> ResolvedModel:
        """Find a group's model in MLflow, once per run, or have a plugin load it.

        Raises:
            ModelError: It cannot be found, or a plugin's model cannot be used.
        """
        spec = group.spec
        if spec.kind is SourceKind.OTHER:
            model = self.loaded.hold(spec, group.extensions.load_model, self.root)
            return ResolvedModel(spec, "", spec.revision or "", model.fingerprint)
        if spec not in self._resolved:
            self._resolved[spec] = resolve(spec, root=self.root)
        return self._resolved[spec]

    def metrics_of(self, group: Group) -> list[Any]:
        """The metrics that a group's tests ask for, then those that plugins add."""
        if group.key not in self._added_metrics:
            added = group.extensions.metrics(group.key.table, group.key.model)
            self._added_metrics[group.key] = metrics.further(added.value, group.metrics, added.source)
        return [*group.metrics, *self._added_metrics[group.key]]

    def save(self, key: GroupKey, evaluation: EvaluationResult) -> str:
        """Save an evaluation for tests in any process that ask for it; return its folder."""
        name = hashlib.sha256(repr(key).encode("utf-8", "surrogatepass")).hexdigest()[:16]
        folder = self.scratch / f"evaluation-{name}"
        evaluation.save(str(folder))
        return str(folder)

    def evaluation(self, result: GroupResult) -> EvaluationResult:
        """The saved evaluation of a group, with its tables."""
        loaded = EvaluationResult.load(result.evaluation)
        return tracking_store.SavedEvaluation(loaded.metrics, loaded.artifacts, result.run_id, self.store)

    def scores(self, group: Group, result: GroupResult) -> dict[str, dict[RowKey, float]]:
        """Scores of a group's rows, by metric."""
        return scores_in(self.evaluation(result).tables["eval_results_table"], tuple(group.cases.values()))

    def lower_is_better(self, group: Group, metric: str) -> bool:
        """True if lower values of a metric are better."""
        return metrics.lower_is_better(metric, self.metrics_of(group))

    def model(self, group: Group, result: GroupResult) -> PyFuncModel:
        """The logged model of a group, loaded.

        Raises:
            ModelError: It cannot be loaded.
        """
        with self.store.used():
            if group.spec.kind is SourceKind.OTHER:
                self.resolve(group)
            return self.loaded.get(result.model_uri, group.spec)

    def close(self) -> None:
        """Free the models; the session is over, so no memory is needed for another one."""
        self.loaded.forget(collect=False)
        embedding.forget_embedding()
        served_model.forget()
        in_memory.release()
