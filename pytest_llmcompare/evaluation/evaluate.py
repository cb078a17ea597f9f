"""Evaluates a group: the only caller of `mlflow.models.evaluate`.

One run per table and model: the model is logged, then the run is re-opened and evaluated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.models.evaluation import EvaluationMetric, EvaluationResult
from mlflow.pyfunc import PyFuncModel

from pytest_llmcompare.baselines.journal import Journal
from pytest_llmcompare.baselines.sources.git import git_commit
from pytest_llmcompare.baselines.sources.reference_model import reference_model
from pytest_llmcompare.errors import LlmCompareError
from pytest_llmcompare.models import embedding, in_memory
from pytest_llmcompare.models.mlflow_store import store_errors
from pytest_llmcompare.models.resolve import ResolvedModel, resolve
from pytest_llmcompare.models.spec import ModelSpec, SourceKind, shown
from pytest_llmcompare.records import Case, Gate, GroupKey, GroupResult, RowKey
from pytest_llmcompare.settings import Settings
from pytest_llmcompare.suite.thresholds import Threshold
from pytest_llmcompare.text import in_text_without_secrets

from . import group_model, metrics, row_metrics, threshold_checks, tracking
from .dataset import frame_of, scores_in
from .loaded_pyfunc import Loaded
from .metric_notes import not_computed, said_of
from .model_logging import python_model_of
from .predict import Asking
from .verdicts import Baselines, reviewed

if TYPE_CHECKING:
    from pytest_llmcompare.baselines.sources.protocol import BaselineReader
    from pytest_llmcompare.suite.extensions import Progress
    from pytest_llmcompare.suite.group import Group


@dataclass(frozen=True)
class Logged:
    """A run with a model in it, ended; and the model, loaded from there."""

    run_id: str
    model_uri: str
    model: PyFuncModel


class Evaluator:
    """Evaluates groups, one model in memory at a time.

    Args:
        settings: Settings of the run.
        root: pytest's root folder.
        scratch: Folder for files of this run, shared by xdist's workers.
        started: Folder that pytest was started in.
        source: Where baselines come from.
    """

    def __init__(self, settings: Settings, root: Path, scratch: Path, started: Path, source: BaselineReader) -> None:
        self.settings = settings
        self.source = source
        self.root = root
        self.scratch = scratch
        self.resolved: dict[ModelSpec, ResolvedModel] = {}
        self.loaded = Loaded()
        self.store = tracking.Store(settings.tracking_uri, started)
        self.further: dict[GroupKey, list[EvaluationMetric]] = {}
        self.commit: str | None = None

    def evaluate(
        self, group: Group, found: ResolvedModel | None, cases: Sequence[Case], progress: Progress
    ) -> GroupResult:
        """Ask a group's model, judge what it says and log all of it.

        Args:
            group: The group.
            found: Where its model is; None for one that MLflow has, or a plugin loads.
            cases: What to ask.
            progress: Told how it proceeds.

        Raises:
            LlmCompareError: The model, the tracking store or the marker is at fault; a single case is not.
        """
        progress.say(f"loading {group.spec.name}")
        with self.store.used(), store_errors(f"table {group.key.table!r}"):
            baselines = self.baselines(group)
            chosen = metrics.choose(group.declaration.model_type, self.metrics_of(group))
            resolved = found or self.resolve(group)
            logged = self.log(group, resolved)
            journal = Journal(self.root, group.key)
            journal.begin(len(cases))
            progress.begin(group.key, len(cases))
            asking = Asking(
                *(logged.model, group_model.identity_of(resolved, python_model_of(logged.model)), cases),
                judge=reviewed(baselines, group.extensions),
                journal=journal,
                progress=progress,
                expected=baselines.stored.baselines if baselines.stored else {},
                shortcuts=self.settings.decode != "plain",
            )
            baselines.prepare(self.settings.semantic_model, self.root, foreign=asking.ours is None)
            return self.ask(group, logged, asking, baselines, chosen)

    def baselines(self, group: Group) -> Baselines:
        """Read the group's baselines; where they cannot be read, every comparison with them is an error."""
        tolerance = self.settings.tolerance_over(group.declaration.tolerance)
        try:
            stored = self.source.load(group.key, tuple(group.cases.values()))
            return Baselines(stored, tolerance=tolerance, similarity=group.declaration.similarity)
        except LlmCompareError as error:
            return Baselines(None, str(error))

    def metrics_of(self, group: Group) -> list[Any]:
        """The metrics that a group's tests ask for, and those that plugins add."""
        if group.key not in self.further:
            added = group.extensions.metrics(group.key.table, group.key.model)
            self.further[group.key] = metrics.further(added.value, group.metrics, added.source)
        return [*group.metrics, *self.further[group.key]]

    def resolve(self, group: Group) -> ResolvedModel:
        """Find a model in MLflow, once per run, or have a plugin load it."""
        spec = group.spec
        if spec.kind is SourceKind.OTHER:
            model = self.loaded.hold(spec, group.extensions.load_model, self.root)
            return ResolvedModel(spec, "", spec.revision or "", model.fingerprint)
        if spec not in self.resolved:
            self.resolved[spec] = resolve(spec, root=self.root)
        return self.resolved[spec]

    def log(self, group: Group, resolved: ResolvedModel) -> Logged:
        """Make the group's run, log the model in it, end it, and load the model from there."""
        experiment = tracking.experiment_id(group.declaration.experiment, self.store.folder)
        with tracking.new_run(experiment, f"log_model_{group.spec.name}", self.tags(group, resolved)) as run:
            tracking.log_facts(group_model.facts_of(group, resolved))
            uri = group_model.log_model(group, resolved, self.settings.batch_size)
            return Logged(run.info.run_id, uri, self.loaded.get(uri, group.spec))

    def tags(self, group: Group, resolved: ResolvedModel) -> dict[str, str]:
        """What the run is about, to search for."""
        if self.commit is None:
            self.commit = git_commit(self.root)
        tags = {
            "mlflow.test.name": group.owner,
            "llmcompare.table": group.key.table,
            "llmcompare.model": group.spec.name,
            "llmcompare.folder": group.key.folder,
            "llmcompare.source": shown(group.spec),
            "llmcompare.fingerprint": resolved.fingerprint,
            tracking.GIT_COMMIT: self.commit,
        }
        return {name: value for name, value in tags.items() if value}

    def ask(
        self, group: Group, logged: Logged, asking: Asking, baselines: Baselines, chosen: metrics.Chosen
    ) -> GroupResult:
        """Re-open the run and evaluate the model on the table."""
        frame = frame_of(asking.cases, baselines.texts(), per_row=asking.per_row)
        dataset = mlflow.data.from_pandas(  # type: ignore[attr-defined]  # made when mlflow.data is imported
            frame,
            tracking.dataset_source(),
            name=group.key.table,
            targets="target" if group.declaration.targets else None,
        )
        ours = row_metrics.of_rows(
            asking.cases, asking.judgements, asking.generations, count_tokens=not chosen.counts_tokens
        )
        computed: Mapping[str, Any] | None = None
        folder, fault = "", ""
        missed: list[str] = []
        try:
            with tracking.reopened(logged.run_id):
                result = mlflow.models.evaluate(
                    model=asking,
                    data=dataset,
                    model_type=chosen.model_type,
                    extra_metrics=[*ours, *chosen.metrics],
                    model_id=logged.model.model_id,
                )
                folder, computed = self.save(group, result), result.metrics
                missed = not_computed(group, self.metrics_of(group), result)
        except Exception as error:
            if not asking.finished:
                raise (asking.error or error) from None
            fault = in_text_without_secrets(metrics.fault(group.key, self.metrics_of(group), error))
        about = group_model.notes_of(group, asking.cases, asking.ours) if asking.ours else ()
        blanks = row_metrics.stricter(group.key, asking.answers, computed)
        checked = self.check(group, computed, len(asking.cases))
        left_out = said_of(chosen.note, group, checked if computed is not None else ())
        unkept = ""
        if asking.generations:
            unkept = tracking.log_outputs(logged.run_id, group.key, asking.outputs)
        else:
            tracking.mark_failed(logged.run_id)
        return GroupResult(
            key=group.key,
            generations=asking.generations,
            failures=asking.failures,
            judgements=asking.judgements,
            baseline_texts=baselines.texts(),
            baseline_tokens=baselines.tokens(),
            notes=tuple(
                filter(None, (*about, *baselines.notes, *left_out.notes, *missed, *asking.notes, blanks, fault, unkept))
            ),
            remarks=left_out.remarks,
            run_id=logged.run_id,
            model_uri=logged.model_uri,
            evaluation=folder,
            evaluation_fault=fault,
            gates=checked,
            seconds=asking.seconds,
            tokens=sum(len(found.token_ids or ()) for found in asking.generations.values()),
        )

    def check(self, group: Group, computed: Mapping[str, Any] | None, cases: int) -> tuple[Gate, ...]:
        """Check a group's thresholds, over so many of its cases."""
        return threshold_checks.check(
            self.thresholds(group), computed, threshold_checks.Scope(cases, len(group.cases)), self.settings.update
        )

    def thresholds(self, group: Group) -> list[Threshold]:
        """What is wanted of a group's metrics; a model that is compared with nothing has no drift."""
        compared = group.key.model != reference_model(self.source)
        return [wanted for wanted in group.thresholds if compared or not threshold_checks.compares(wanted.metric)]

    def save(self, group: Group, result: EvaluationResult) -> str:
        """Keep an evaluation for the tests that ask for it, in whatever process they run."""
        name = hashlib.sha256(repr(group.key).encode("utf-8", "surrogatepass")).hexdigest()[:16]
        folder = self.scratch / f"evaluation-{name}"
        result.save(str(folder))
        return str(folder)

    def saved(self, result: GroupResult) -> EvaluationResult:
        """The evaluation of a group, with its tables; there is none where a metric failed."""
        loaded = EvaluationResult.load(result.evaluation)
        return tracking.SavedEvaluation(loaded.metrics, loaded.artifacts, result.run_id, self.store)

    def scores(self, group: Group, result: GroupResult) -> dict[str, dict[RowKey, float]]:
        """The scores of a group's rows, by metric."""
        return scores_in(self.saved(result).tables["eval_results_table"], tuple(group.cases.values()))

    def lower_is_better(self, group: Group, metric: str) -> bool:
        """Whether less of a metric is better."""
        return metrics.lower_is_better(metric, self.metrics_of(group))

    def model(self, group: Group, result: GroupResult) -> PyFuncModel:
        """The logged model of a group, loaded."""
        with self.store.used():
            if group.spec.kind is SourceKind.OTHER:
                self.resolve(group)
            return self.loaded.get(result.model_uri, group.spec)

    def close(self) -> None:
        """Free the model."""
        self.loaded.forget()
        embedding.forget()
        in_memory.release()
