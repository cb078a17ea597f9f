"""Scorers of `mlflow.genai` as metrics of a table: asked row by row, code-based ones and judges alike."""

from __future__ import annotations

import inspect
import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from mlflow.entities import Feedback
from mlflow.environment_variables import MLFLOW_GENAI_EVAL_MAX_WORKERS
from mlflow.metrics import MetricValue, make_metric
from mlflow.models import EvaluationMetric

from pytest_llmcompare.errors import UsageError
from pytest_llmcompare.models.conversation import Conversation
from pytest_llmcompare.records import Case, GroupKey, RowKey
from pytest_llmcompare.text import error_line, in_text_without_secrets

from .row_metrics import TAKEN, made, rows

if TYPE_CHECKING:
    from pytest_llmcompare.suite.extensions import Progress

    from .verdicts import Judged

AGGREGATIONS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "min": min,
    "max": max,
    "mean": lambda values: float(np.mean(values)),
    "median": lambda values: float(np.median(values)),
    "variance": lambda values: float(np.var(values)),
    "p90": lambda values: float(np.percentile(values, 90)),
}
"""MLflow's names of aggregations."""

UNNAMED = "feedback"  # the name that MLflow gives a Feedback without one
RATINGS = {"yes": 1.0, "no": 0.0}  # of judges
UNUSABLE = re.compile(r"[^/\w.\- :]")  # characters that the name of a metric in MLflow cannot have


class ScorerMetric(EvaluationMetric):
    """A scorer among the metrics of a table.

    Attributes:
        scorer: The scorer.
    """

    def __init__(self, scorer: Any) -> None:
        super().__init__(eval_fn=_nothing, name=scorer.name, greater_is_better=True)  # type: ignore[no-untyped-call]
        self.scorer = scorer


@dataclass(frozen=True)
class Scored:
    """What scorers gave: metrics for `mlflow.models.evaluate`, and notes on those that failed."""

    metrics: tuple[EvaluationMetric, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass
class Ratings:
    """The values that a scorer gave under one name, by row.

    Attributes:
        scorer: The scorer.
        values: Numbers, texts or booleans.
        rationales: Why, where the scorer says so.
    """

    scorer: Any
    values: dict[RowKey, Any] = field(default_factory=dict)
    rationales: dict[RowKey, str] = field(default_factory=dict)


def is_scorer(wanted: object) -> bool:
    """True if an object is a scorer of `mlflow.genai`, which is not imported for that: without it there is none."""
    base = sys.modules.get("mlflow.genai.scorers.base")
    return base is not None and isinstance(wanted, base.Scorer)


def scorer_metric(scorer: Any, where: str) -> ScorerMetric:
    """A scorer as a metric.

    Args:
        scorer: The scorer.
        where: Where it was written, for messages.

    Raises:
        UsageError: It needs a trace or a session, which a row of a table does not have.
    """
    needed = inspect.signature(scorer.__call__).parameters
    lacks = [
        name for name in ("trace", "session") if name in needed and needed[name].default is inspect.Parameter.empty
    ]
    if scorer.is_session_level_scorer or lacks:
        raise UsageError(
            f"{where} holds the scorer {scorer.name!r}, which needs a {(lacks or ['session'])[0]}. "
            "Expected one that takes inputs, outputs or expectations, which each row of a table has."
        )
    return ScorerMetric(scorer)


def ask_scorers(asked: Sequence[EvaluationMetric], cases: Sequence[Case], judged: Judged, progress: Progress) -> Scored:
    """Ask scorers about all outputs, several rows at a time, as `mlflow.genai.evaluate` does.

    A scorer that fails on any row has no metric for the table, so that no threshold passes on a part of the rows.

    Args:
        asked: Metrics; those that are no scorers are left out.
        cases: What the model was asked.
        judged: Its answers.
        progress: Shows which scorers are asked.
    """
    scorers = [metric.scorer for metric in asked if isinstance(metric, ScorerMetric)]
    answered = [case for case in cases if case.key.row in judged.generations]
    if not scorers or not answered:
        return Scored()
    progress.say(f"asking scorers: {', '.join(scorer.name for scorer in scorers)}")
    metrics, notes = list[EvaluationMetric](), list[str]()
    with ThreadPoolExecutor(MLFLOW_GENAI_EVAL_MAX_WORKERS.get() or 1) as pool:
        for scorer in scorers:
            results = list(pool.map(lambda case, scorer=scorer: _ask(scorer, case, judged.text(case)), answered))
            by_row = {case.key.row: result for case, result in zip(answered, results, strict=True)}
            faults = [result for result in results if isinstance(result, str)]
            if faults:
                notes.append(_note(cases[0].key.group, scorer.name, faults, len(answered)))
            for name, ratings in _by_name(scorer, by_row).items():
                try:
                    aggregates = {} if faults else _aggregates(ratings)
                except Exception as error:  # the scorer's own aggregation, or what passes
                    notes.append(_note(cases[0].key.group, scorer.name, [error_line(error)], 0))
                    aggregates = {}
                metrics.append(_metric(name, ratings, aggregates))
    return Scored(tuple(metrics), tuple(notes))


def inputs_of(case: Case) -> dict[str, Any]:
    """What a scorer sees as inputs: the prompt as the table has it, or the messages of a conversation."""
    if case.row.conversation:
        return {"messages": [dict(message) for message in Conversation.from_json(case.row.conversation).messages]}
    return {"input_text": case.row.input}


def expectations_of(case: Case) -> dict[str, Any]:
    """What a scorer sees as expectations: the target as `expected_response`, and the table's own columns."""
    own = {name: value for name, value in case.row.columns.items() if value is not None}
    return own if case.target is None else {"expected_response": case.target, **own}


def _ask(scorer: Any, case: Case, output: str) -> list[Feedback] | str:
    """What a scorer says of one output; why it failed, as text."""
    try:
        value = scorer.run(inputs=inputs_of(case), outputs=output, expectations=expectations_of(case))
    except Exception as error:  # the user's own code, or a server
        return in_text_without_secrets(error_line(error))
    feedbacks = value if isinstance(value, list) else [value]
    given = [one if isinstance(one, Feedback) else Feedback(value=one) for one in feedbacks if one is not None]
    failed = next((one.error for one in given if one.error is not None), None)
    if failed is not None:
        return in_text_without_secrets(str(failed.error_message or failed.error_code))
    return given


def _by_name(scorer: Any, by_row: Mapping[RowKey, list[Feedback] | str]) -> dict[str, Ratings]:
    """The values by name: a scorer may give several."""
    named: dict[str, Ratings] = {}
    for row, feedbacks in by_row.items():
        for one in feedbacks if not isinstance(feedbacks, str) else ():
            name = scorer.name if one.name in (None, UNNAMED) else str(one.name)
            name = UNUSABLE.sub("_", f"{scorer.name}/{name}" if name in TAKEN else name)
            ratings = named.setdefault(name, Ratings(scorer))
            ratings.values[row] = one.value
            if one.rationale:
                ratings.rationales[row] = str(one.rationale)
    return named


def _metric(name: str, ratings: Ratings, aggregates: Mapping[str, float]) -> EvaluationMetric:
    """The metric of one name: its scores by row, and its aggregates."""

    def eval_fn(predictions: Any, prompt_id: Any, variant: Any = None) -> MetricValue:  # noqa: ARG001
        names = rows(prompt_id, variant)
        return MetricValue(
            scores=_column([_score(ratings.values.get(row)) for row in names]),
            justifications=[ratings.rationales.get(row, "") for row in names] if ratings.rationales else None,
            aggregate_results=dict(aggregates),
        )

    return made(make_metric(eval_fn=eval_fn, greater_is_better=True, name=name))


def _column(scores: Sequence[float | str | None]) -> list[str] | list[float]:
    """Scores as a column of one type: texts if any is one, else numbers."""
    if any(isinstance(score, str) for score in scores):
        return ["" if score is None else str(score) for score in scores]
    return [math.nan if score is None else float(score) for score in scores]


def _aggregates(ratings: Ratings) -> dict[str, float]:
    """The aggregates that a scorer asks for, by default the mean, and the share of rows that pass."""
    values = list(ratings.values.values())
    numbers = [score for score in map(_score, values) if isinstance(score, float)]
    results: dict[str, float] = {}
    if len(numbers) == len(values):
        for wanted in ["mean"] if ratings.scorer.aggregations is None else ratings.scorer.aggregations:
            name = wanted if isinstance(wanted, str) else wanted.__name__
            results[name] = float(AGGREGATIONS[wanted](numbers) if isinstance(wanted, str) else wanted(numbers))
    passes = getattr(ratings.scorer, "pass_if", None)
    if passes or all(isinstance(value, bool) or str(_plain(value)).lower() in RATINGS for value in values):
        passed = [bool(passes(value)) if passes else _score(value) == 1 for value in values]
        results["pass_rate"] = sum(passed) / len(passed)
    return results


def _score(value: Any) -> float | str | None:
    """A value as a number if it is one, or `yes` or `no`; else as text."""
    value = _plain(value)
    if value is None:
        return None
    if isinstance(value, int | float):
        return float(value)
    return RATINGS.get(str(value).lower(), str(value))


def _plain(value: Any) -> Any:
    """The value of an enum member, such as a judge's rating; any other value as it is."""
    return getattr(value, "value", value)


def _note(group: GroupKey, name: str, faults: Sequence[str], asked: int) -> str:
    """A note on a scorer that failed: on `asked` outputs one by one, or on aggregating them if that is 0."""
    where = f"failed on {len(faults):,} of {asked:,} outputs" if asked else "could not be aggregated"
    return f"table {group.table!r}, model {group.model!r}: scorer {name!r} {where}, so it has no metric: {faults[0]}"


def _nothing(predictions: Any) -> MetricValue:  # noqa: ARG001
    """Stand in for a function; scorers are asked before MLflow computes metrics."""
    return MetricValue()
