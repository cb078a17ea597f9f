"""Evaluates a table with one model: log the model, load it from MLflow, ask it once, judge, evaluate.

There is one run per table and model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_llmcompare.baselines.journal import Journal
from pytest_llmcompare.baselines.sources.reference_model import reference_model
from pytest_llmcompare.errors import LlmCompareError
from pytest_llmcompare.judgement import ThresholdResult
from pytest_llmcompare.models.mlflow_store import store_errors
from pytest_llmcompare.models.resolve import ResolvedModel
from pytest_llmcompare.records import Case, GroupResult, MlflowRun, RowKey
from pytest_llmcompare.text import in_text_without_secrets

from . import latency, metrics, results_table, row_metrics, threshold_checks, tracking
from .answers import Answers, Asking
from .cache_lookup import look_up
from .cached_answers import AllOrNothingAnswers
from .cached_local_answers import CachedLocalAnswers
from .cached_tokens import tokens_of
from .dataset import metrics_by_row, storable
from .heavy_imports import import_evaluators
from .logged_model import LoggedModel, load_now, logged_model
from .metric_notes import left_out_notes, not_computed
from .mlflow_evaluation import dataset_of, evaluate_outputs
from .predict import predict
from .pyfunc import PyfuncTransformer
from .scorers import Scored, ask_scorers
from .served_model import served_model_of
from .traces import log_traces
from .verdicts import Baselines, Judged, judge_answers

if TYPE_CHECKING:
    from pytest_llmcompare.suite.extensions import Progress
    from pytest_llmcompare.suite.group import Group

    from .resources import Resources


@dataclass(frozen=True)
class Computed:
    """What MLflow's evaluation gave.

    Attributes:
        gates: Results of the thresholds.
        metrics: Metrics of the whole table; None if they could not be computed.
        by_row: What the metrics give each row.
        folder: Where the evaluation is kept; empty if there is none.
        notes: Notes on metrics for the user, shown at every run.
        remarks: Notes shown with `-v`.
        fault: Why there is no evaluation; empty if there is one.
    """

    gates: tuple[ThresholdResult, ...]
    metrics: Mapping[str, Any] | None = None
    by_row: Mapping[RowKey, Mapping[str, float | str]] = field(default_factory=dict)
    folder: str = ""
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    fault: str = ""


def evaluate(
    group: Group, cases: Sequence[Case], resources: Resources, progress: Progress, resolved: ResolvedModel | None = None
) -> GroupResult:
    """Evaluate cases of a group: ask its model, judge the answers and log all of it.

    Args:
        group: Table and model.
        cases: What to ask.
        resources: What evaluations of a session share.
        progress: Shows how far the evaluation is.
        resolved: Where the model is, if that is known already.

    Raises:
        LlmCompareError: The model, the tracking store or the marker is at fault; a single case never is.
    """
    if resources.store.is_new:
        progress.say("making MLflow's store")
    with resources.store.used(), store_errors(f"table {group.key.table!r}"):
        progress.say(f"loading {group.spec.name}")
        baselines = read_baselines(group, resources)
        wanted = resources.metrics_of(group)
        chosen = metrics.choose(group.declaration.model_type, wanted)
        with logged_model(group, resolved or resources.resolve(group), resources) as logged:
            asking = begin(group, cases, logged, baselines=baselines, resources=resources, progress=progress)
            baselines.prepare(resources.settings.semantic_model, resources.root, foreign=logged.ours is None)
            answers = predict(asking)
            tokens = tokens_of(logged.model, logged.ours, asking.cached)
            own_notes = fill_cache(group, cases, logged, asking, answers)
            judged = judge_answers(
                cases, answers.outcomes, baselines, group.extensions, tokens, tokenizers=answers.tokenizers
            )
            judged = judged.with_count(answers.count).with_assertions(group, cases)
            scored = ask_scorers(chosen.metrics, cases, judged, progress)
            computed = compute(
                group,
                cases,
                logged,
                answers,
                judged=judged,
                baselines=baselines,
                chosen=chosen,
                scored=scored,
                resources=resources,
            )
            untraced = log_traces(cases, judged, answers.latencies) if resources.settings.traces else ""
        unlogged = (*log_results(group, cases, logged, judged, computed), *filter(None, [untraced]))
    notes = (*own_notes, *baselines.notes, *computed.notes, *answers.notes, *unlogged)
    return result_of(cases, logged, baselines, answers=answers, judged=judged, computed=computed, notes=notes)


def result_of(
    cases: Sequence[Case],
    logged: LoggedModel,
    baselines: Baselines,
    *,
    answers: Answers,
    judged: Judged,
    computed: Computed,
    notes: tuple[str, ...],
) -> GroupResult:
    """The result of an evaluation, as a frozen record."""
    return GroupResult(
        key=cases[0].key.group,
        generations=judged.generations,
        failures=judged.failures,
        judgements=judged.judgements,
        baseline_texts=baselines.texts(),
        baseline_tokens=baselines.tokens(),
        notes=notes,
        remarks=computed.remarks,
        mlflow=MlflowRun(logged.run_id, logged.uri, logged.experiment_id, logged.tracking_uri),
        environment=judged.environment,
        baseline_environment=baselines.environment(),
        evaluation=computed.folder,
        evaluation_fault=computed.fault,
        gates=computed.gates,
        model_verdict=judged.model_verdict,
        changed_rows=judged.changed_rows,
        seconds=answers.seconds,
        latencies=latency.of_rows(cases, answers.latencies),
        answered=answers.count,
        metrics=computed.by_row,
        assertions=judged.assertions,
        tokens=judged.tokens,
        level=judged.level,
    )


def read_baselines(group: Group, resources: Resources) -> Baselines:
    """Read a group's baselines; if they cannot be read, every comparison with them is an error."""
    tolerance = resources.settings.tolerance_over(group.declaration.tolerance)
    try:
        stored = resources.source.load(group.key, tuple(group.cases.values()))
        return Baselines(stored, tolerance=tolerance, similarity=group.declaration.similarity)
    except LlmCompareError as error:
        return Baselines(None, str(error))


def begin(
    group: Group,
    cases: Sequence[Case],
    logged: LoggedModel,
    *,
    baselines: Baselines,
    resources: Resources,
    progress: Progress,
) -> Asking:
    """Look into the answer cache, load a local model that has to be asked, and collect what asking needs."""
    decode = group.spec.decode or resources.settings.decode
    expected = baselines.stored.baselines if baselines.stored else {}
    cached = look_up(group, cases, ours=logged.ours, identity=logged.identity, expected=expected, resources=resources)
    if logged.ours is not None and not (cached and cached.answers_all):
        load_now(logged, logged.ours, progress)
    journal = Journal(resources.root, group.key)
    journal.begin(len(cases))
    progress.begin(group.key, len(cases))
    return Asking(logged.model, logged.identity, cases, journal, progress, expected, decode, cached)


def compute(
    group: Group,
    cases: Sequence[Case],
    logged: LoggedModel,
    answers: Answers,
    *,
    judged: Judged,
    baselines: Baselines,
    chosen: metrics.Chosen,
    scored: Scored,
    resources: Resources,
) -> Computed:
    """Have MLflow evaluate the answers in the active run; a metric that fails costs the evaluation, not the answers."""
    wanted = resources.metrics_of(group)
    ours = (*row_metrics.of_rows(cases, judged, count_tokens=not chosen.counts_tokens), *scored.metrics)
    per_row = not isinstance(logged.ours, PyfuncTransformer)  # examples, settings and seed are read row by row
    beside = results_table.columns_beside(cases, baselines.texts(), per_row=per_row)
    texts = [storable(judged.text(case)) for case in cases]
    values: Mapping[str, Any] | None = None
    by_row: Mapping[RowKey, Mapping[str, float | str]] = {}
    folder, fault, missing = "", "", list[str]()
    import_evaluators()
    try:
        dataset = dataset_of(group, cases)
        evaluation = evaluate_outputs(
            texts,  # what the logged model answered: it is asked once
            dataset,
            model_type=chosen.model_type,
            metrics=[*ours, *(results_table.with_columns(metric, beside) for metric in chosen.classic)],
            model_id=logged.model.model_id,
        )
        latencies = latency.of_rows(cases, answers.latencies)
        evaluation.metrics.update(latency.log(latencies, logged.model.model_id, dataset))
        folder, values = resources.save(group.key, evaluation), evaluation.metrics
        missing = not_computed(group, wanted, evaluation)
    except Exception as error:  # a metric may be the user's own code
        fault = in_text_without_secrets(metrics.fault(group.key, wanted, error))
    if values is not None:
        by_row = metrics_by_row(results_table.arrange(evaluation, beside), cases)
    gates = check_thresholds(group, values, len(cases), resources)
    if values is not None:
        gates = latency.explained(gates, answers.outcomes, answers.cached)
    left_out = left_out_notes(chosen.note, group, gates if values is not None else ())
    stricter = row_metrics.stricter(group.key, judged.answers(cases), values)
    lines = (*left_out.notes, *missing, *scored.notes, stricter, fault)
    return Computed(gates, values, by_row, folder, tuple(filter(None, lines)), left_out.remarks, fault)


def check_thresholds(
    group: Group, values: Mapping[str, Any] | None, asked: int, resources: Resources
) -> tuple[ThresholdResult, ...]:
    """Check a group's thresholds; a model that is compared with nothing has no drift to limit."""
    is_compared = group.key.model != reference_model(resources.source)
    thresholds = [
        threshold for threshold in group.thresholds if is_compared or not threshold_checks.compares(threshold.metric)
    ]
    scope = threshold_checks.Scope(asked, len(group.cases))
    return threshold_checks.check(thresholds, values, scope, resources.settings.update)


def log_results(
    group: Group, cases: Sequence[Case], logged: LoggedModel, judged: Judged, computed: Computed
) -> tuple[str, ...]:
    """Log the outputs in the run; mark it as failed if it has no output or no evaluation. Returns notes on failures."""
    if computed.fault or not judged.generations:
        tracking.mark_failed(logged.run_id)
    tracking.log_model_verdict(logged.run_id, judged.model_verdict)
    note = tracking.log_outputs(logged.run_id, group.key, judged.outputs(cases)) if judged.generations else ""
    return (note,) if note else ()


def fill_cache(
    group: Group, cases: Sequence[Case], logged: LoggedModel, asking: Asking, answers: Answers
) -> tuple[str, ...]:
    """Write new answers, and the notes on a local model, into the answer cache.

    Returns:
        Notes on the model, which do not depend on its answers, and on what could not be cached.
    """
    cached = asking.cached
    if cached is not None and cached.answers_all:
        return (*cached.notes, *cached.content.notes)
    if logged.ours is not None:
        from .ask_local import cache_answers, model_notes  # imports torch

        own = model_notes(group, cases, logged.ours)
        return (*own, *(cache_answers(cached, logged.ours, own) if isinstance(cached, CachedLocalAnswers) else ()))
    served = served_model_of(logged.model)
    if not isinstance(cached, AllOrNothingAnswers):
        return ()
    return cached.store(answers.outcomes, served.server().pieces if served else {})
