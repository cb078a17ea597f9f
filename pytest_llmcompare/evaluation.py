"""Evaluates a group: the only caller of `mlflow.models.evaluate`.

One run per table and model: the model is logged, then the run is re-opened and evaluated, as one does by hand.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.models.evaluation import EvaluationResult
from mlflow.pyfunc import PyFuncModel

from . import gates, metrics, tracking
from .asking import Asking, Tokenizer
from .baselines import files
from .baselines.journal import Journal
from .commit import git_commit
from .drift import judge
from .errors import BaselineError
from .frames import frame_of, scores_in, shared_settings
from .models import embedding, registry, resident
from .models.loaded import Loaded
from .models.pyfunc import HeldTransformer, PyfuncTransformer, PyfuncTransformerWithParams
from .models.resolve import ResolvedModel, resolve
from .models.spec import ModelSpec, SourceKind, shown
from .models.uri import in_text_without_secrets
from .records import Case, Generation, GroupResult, Judgement, RowKey, Verdict
from .settings import Settings
from .similarity import Similarity, similar

if TYPE_CHECKING:
    from .session import Group, Progress


@dataclass(frozen=True)
class Logged:
    """A run with a model in it, ended; and the model, loaded from there."""

    run_id: str
    model_uri: str
    model: PyFuncModel


@dataclass
class Baselines:
    """The stored baselines of a group, or why they cannot be read; and what the marker says of comparing with them.

    Attributes:
        stored: The baselines.
        fault: Why there are none.
        tolerance: Margin (nats) that counts as a tie; None takes what noise amounts to.
        similarity: How alike texts have to be where there are texts alone; None asks for equal ones.
    """

    stored: files.BaselineSet | None
    fault: str = ""
    tolerance: float | None = None
    similarity: Similarity | None = None

    def judge(self, case: Case, generation: Generation, tokenizer: Tokenizer | None) -> Judgement:
        """The verdict on a candidate."""
        row = case.key.row
        if self.stored is None:
            return Judgement(Verdict.ERROR, reason=self.fault)
        if row in self.stored.conflicts:
            where = self.stored.conflicts[row]
            return Judgement(Verdict.STALE, reason=f"a merge left two versions of the baseline ({where})")
        baseline = self.stored.baselines.get(row)
        piece, decode = (tokenizer.show, tokenizer.decode) if tokenizer else (str, None)
        judgement = judge(case, baseline, generation, piece, decode=decode, tolerance=self.tolerance)
        if self.similarity is None or baseline is None or not by_text(baseline.generation, generation):
            return judgement
        return similar(judgement, self.samples(case), generation.text, self.similarity)

    def samples(self, case: Case) -> list[str]:
        """Texts of all stored samples of a case's row."""
        stored = self.stored.baselines if self.stored else {}
        first = RowKey(case.id, case.key.variant.rpartition("#")[0]) if case.sample else case.key.row
        further = (RowKey(case.id, f"{first.variant}#{number}") for number in count(2))
        rows = [first, *takewhile(stored.__contains__, further)]
        return [stored[row].generation.text for row in rows if row in stored]

    def texts(self) -> dict[RowKey, str]:
        """The texts to show beside the candidates."""
        stored = self.stored.baselines if self.stored else {}
        return {row: baseline.generation.text for row, baseline in stored.items()}

    def prepare(self, model: str, root: Path, *, foreign: bool) -> None:
        """Find the model that judges similarity, where texts will be all there is.

        Raises:
            ModelError: It cannot be found.
        """
        stored = self.stored.baselines.values() if self.stored else ()
        if self.similarity and (foreign or any(found.generation.token_ids is None for found in stored)):
            self.similarity = self.similarity.located(model, root)

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be used of them."""
        return self.stored.warnings if self.stored else ()


class Evaluator:
    """Evaluates groups, one model in memory at a time.

    Args:
        settings: Settings of the run.
        root: pytest's root folder.
        scratch: Folder for files of this run, shared by xdist's workers.
        started: Folder that pytest was started in.
    """

    def __init__(self, settings: Settings, root: Path, scratch: Path, started: Path) -> None:
        self.settings = settings
        self.root = root
        self.scratch = scratch
        self.resolved: dict[ModelSpec, ResolvedModel] = {}
        self.loaded = Loaded()
        self.store = tracking.Store(settings.tracking_uri, started)
        self.journals: list[Journal] = []
        self.commit: str | None = None

    def evaluate(
        self, group: Group, found: ResolvedModel | None, cases: Sequence[Case], progress: Progress
    ) -> GroupResult:
        """Ask a group's model, judge what it says and log all of it.

        Args:
            group: The group.
            found: Where its model is; None for one that MLflow has.
            cases: What to ask.
            progress: Told how it proceeds.

        Raises:
            LlmCompareError: The model, the tracking store or the marker is at fault; a single case is not.
        """
        baselines = self.baselines(group)
        progress.say(f"loading {group.spec.name}")
        with self.store.used(), tracking.store_errors(f"table {group.key.table!r}"):
            chosen = metrics.choose(group.declaration.model_type, group.metrics)
            resolved = found or self.resolve(group.spec)
            logged = self.log(group, resolved)
            journal = Journal(self.root, group.key)
            self.journals.append(journal)
            progress.begin(group.key, len(cases))
            asking = Asking(
                *(logged.model, resolved.fingerprint, cases),
                judge=baselines.judge,
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
            stored = files.load(self.root, group.key)
            return Baselines(stored, tolerance=tolerance, similarity=group.declaration.similarity)
        except BaselineError as error:
            return Baselines(None, str(error))

    def resolve(self, spec: ModelSpec) -> ResolvedModel:
        """Find a model in MLflow, once per run."""
        if spec not in self.resolved:
            self.resolved[spec] = resolve(spec, root=self.root)
        return self.resolved[spec]

    def log(self, group: Group, resolved: ResolvedModel) -> Logged:
        """Make the group's run, log the model in it, end it, and load the model from there."""
        experiment = tracking.experiment_id(group.declaration.experiment)
        with tracking.new_run(experiment, f"log_model_{group.spec.name}", self.tags(group, resolved)) as run:
            tracking.log_facts(facts_of(group, resolved))
            uri = resolved.location
            if group.spec.kind is not SourceKind.MLFLOW:
                uri = registry.log(pyfunc_of(group, resolved, self.settings.batch_size), group.spec.name).model_uri
            return Logged(run.info.run_id, uri, self.loaded.get(uri, group.spec))

    def tags(self, group: Group, resolved: ResolvedModel) -> dict[str, str]:
        """What the run is about, to search for."""
        if self.commit is None:
            self.commit = git_commit(self.root)
        tags = {
            "mlflow.test.name": group.owner,
            "llmcompare.table": group.key.table,
            "llmcompare.model": group.spec.name,
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
            frame, name=group.key.table, targets="target" if group.declaration.targets else None
        )
        extra = metrics.with_ours(chosen, asking.judgements, asking.generations)
        computed: Mapping[str, Any] | None = None
        folder, fault = "", ""
        try:
            with tracking.reopened(logged.run_id):
                result = mlflow.models.evaluate(
                    model=asking,
                    data=dataset,
                    model_type=chosen.model_type,
                    extra_metrics=extra,
                    model_id=logged.model.model_id,
                )
                folder, computed = self.save(group, result), result.metrics
        except Exception as error:
            if not asking.finished:
                raise (asking.error or error) from None
            fault = in_text_without_secrets(metrics.fault(group.key, group.metrics, error))
        scope = gates.Scope(len(asking.cases), len(group.cases))
        if not asking.generations:
            tracking.mark_failed(logged.run_id)
        return GroupResult(
            key=group.key,
            generations=asking.generations,
            failures=asking.failures,
            judgements=asking.judgements,
            baseline_texts=baselines.texts(),
            notes=tuple(note for note in (*baselines.notes, chosen.note, *asking.notes, fault) if note),
            run_id=logged.run_id,
            model_uri=logged.model_uri,
            evaluation=folder,
            evaluation_fault=fault,
            gates=gates.check(group.thresholds, computed, scope, self.settings.update),
            seconds=asking.seconds,
            tokens=sum(len(found.token_ids or ()) for found in asking.generations.values()),
        )

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
        return metrics.lower_is_better(metric, group.metrics)

    def model(self, group: Group, result: GroupResult) -> PyFuncModel:
        """The logged model of a group, loaded."""
        with self.store.used():
            return self.loaded.get(result.model_uri, group.spec)

    def forget_journals(self) -> None:
        """Remove the journals of this run, once nothing is left to resume."""
        for journal in self.journals:
            journal.discard()

    def close(self) -> None:
        """Free the model."""
        self.loaded.forget()
        embedding.forget()
        resident.release()


def by_text(expected: Generation, actual: Generation) -> bool:
    """Whether texts are all that can be compared."""
    return expected.token_ids is None or actual.token_ids is None


def pyfunc_of(group: Group, resolved: ResolvedModel, batch_size: int) -> HeldTransformer:
    """The model to log: with its settings inside where all rows share them, else with one column per setting."""
    spec = group.spec
    source = spec.source if spec.kind is SourceKind.HUB else resolved.location
    options: dict[str, Any] = {
        "name": spec.name,
        "revision": resolved.revision or None,
        "dtype": spec.dtype,
        "device": spec.device,
        "chat_template": spec.chat_template,
        "allow_pickle": spec.allow_pickle,
        "trust_remote_code": spec.trust_remote_code,
        "batch_size": batch_size,
    }
    shared = shared_settings(tuple(group.cases.values()))
    if shared is None:
        return PyfuncTransformerWithParams(source, **options)
    return PyfuncTransformer(source, shared.gen_config, shared.examples, **options)


def facts_of(group: Group, resolved: ResolvedModel) -> dict[str, Any]:
    """Parameters of the run."""
    shared = shared_settings(tuple(group.cases.values()))
    return {
        "source": shown(group.spec),
        "revision": resolved.revision,
        "fingerprint": resolved.fingerprint,
        "table": group.key.table,
        **({f"gen_config.{key}": value for key, value in shared.gen_config.items()} if shared else {}),
    }
