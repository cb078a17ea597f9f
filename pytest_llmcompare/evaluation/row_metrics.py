"""MLflow metrics of our own, one score per row: verdicts, their evidence, tokens, and which outputs meet their targets.

MLflow tries a metric on the first row before it computes it, so they look rows up by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mlflow.metrics import MetricValue, make_metric
from mlflow.models import EvaluationMetric

from pytest_llmcompare.comparison.model_pairs import Answer
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.judgement import COMPARED, Judgement, Verdict
from pytest_llmcompare.records import Case, GroupKey, RowKey

EXACT_MATCH = "exact_match"
"""Share of the outputs that are their targets, as `Answer.on_target` has it."""

MLFLOWS_EXACT_MATCH = "exact_match/v1"
"""MLflow's metric of that name, which compares the white space around them, too."""

TAKEN = frozenset({EXACT_MATCH, "verdict", "margin", "likelihood_drift"})
"""Names that metrics of others cannot have."""


def of_rows(
    cases: Sequence[Case],
    judgements: Mapping[RowKey, Judgement],
    generations: Mapping[RowKey, Generation],
    *,
    count_tokens: bool,
) -> list[EvaluationMetric]:
    """Our metrics. Judgements and generations are there once the model was asked, so they are looked up then.

    Args:
        cases: What the model is asked.
        judgements: Verdicts, by row.
        generations: Outputs, by row.
        count_tokens: Whether to count tokens, because nobody else does.
    """
    targets = {case.key.row: case.target for case in cases if case.target is not None}
    return [
        verdicts(judgements),
        evidence("margin", judgements, margin_of),
        evidence("likelihood_drift", judgements, likelihood_drift_of),
        *([token_count(generations)] if count_tokens else []),
        *([exact_match(generations, targets)] if targets else []),
    ]


def verdicts(judgements: Mapping[RowKey, Judgement]) -> EvaluationMetric:
    """Verdict of each row, and the share of drifted rows among those that have a baseline."""

    def eval_fn(predictions: Any, prompt_id: Any, variant: Any) -> MetricValue:  # noqa: ARG001
        found = [judgements.get(row) for row in rows(prompt_id, variant)]
        said = [judgement.verdict if judgement else Verdict.ERROR for judgement in found]
        return MetricValue(scores=[str(verdict) for verdict in said], aggregate_results=rates(said))

    return made(make_metric(eval_fn=eval_fn, greater_is_better=False, name="verdict"))


def rates(verdicts: Sequence[Verdict]) -> dict[str, float]:
    """Shares of verdicts among the outputs that could be compared; none where nothing could."""
    comparable = [verdict for verdict in verdicts if verdict in COMPARED]
    if not comparable:
        return {}
    counted = {"drift": Verdict.DRIFTED, "shift": Verdict.SHIFTED, "near_tie": Verdict.NEAR_TIE}
    return {f"{name}_rate": comparable.count(verdict) / len(comparable) for name, verdict in counted.items()}


def evidence(
    name: str, judgements: Mapping[RowKey, Judgement], number: Callable[[Judgement], float | None]
) -> EvaluationMetric:
    """A number of each row's evidence, with its mean and largest value over the rows that have one."""

    def eval_fn(predictions: Any, prompt_id: Any, variant: Any) -> MetricValue:  # noqa: ARG001
        found = [judgements.get(row) for row in rows(prompt_id, variant)]
        numbers = [None if judgement is None else number(judgement) for judgement in found]
        known = [value for value in numbers if value is not None and math.isfinite(value)]
        return MetricValue(
            scores=[float("nan") if value is None else value for value in numbers],
            aggregate_results={"mean": sum(known) / len(known), "max": max(known)} if known else {},
        )

    return made(make_metric(eval_fn=eval_fn, greater_is_better=False, name=name))


def margin_of(judgement: Judgement) -> float | None:
    """By how much another token is preferred where outputs part; 0 where they do not."""
    return 0.0 if judgement.verdict is Verdict.IDENTICAL else judgement.margin


def likelihood_drift_of(judgement: Judgement) -> float | None:
    """How far likelihoods moved (rms, nats)."""
    return None if judgement.likelihood is None else judgement.likelihood.rms


def token_count(generations: Mapping[RowKey, Generation]) -> EvaluationMetric:
    """Tokens of each output by the model's own tokenizer; rows of a model that we cannot look into have none."""

    def eval_fn(predictions: Any, prompt_id: Any, variant: Any) -> MetricValue:  # noqa: ARG001
        counts = [count_of(generations.get(row)) for row in rows(prompt_id, variant)]
        known = [count for count in counts if count is not None]
        return MetricValue(
            scores=[float("nan") if count is None else count for count in counts],
            aggregate_results={"mean": sum(known) / len(known), "sum": float(sum(known))} if known else {},
        )

    return made(make_metric(eval_fn=eval_fn, greater_is_better=False, name="token_count"))


def count_of(generation: Generation | None) -> int | None:
    """Number of tokens, where they are known."""
    known = None if generation is None else generation.token_ids
    return None if known is None else len(known)


def exact_match(generations: Mapping[RowKey, Generation], targets: Mapping[RowKey, str]) -> EvaluationMetric:
    """Which outputs are their targets, and the share of those over the rows that have one."""

    def eval_fn(predictions: Any, prompt_id: Any, variant: Any) -> MetricValue:  # noqa: ARG001
        found = {row: answer(row, generations, targets).on_target for row in rows(prompt_id, variant) if row in targets}
        return MetricValue(
            scores=[float(found.get(row, math.nan)) for row in rows(prompt_id, variant)],
            aggregate_results={EXACT_MATCH: sum(found.values()) / len(found)} if found else {},
        )

    return made(make_metric(eval_fn=eval_fn, greater_is_better=True, name=EXACT_MATCH))


def answer(row: RowKey, generations: Mapping[RowKey, Generation], targets: Mapping[RowKey, str]) -> Answer:
    """What was said to a row, with its target."""
    generation = generations.get(row)
    return Answer(None if generation is None else generation.text, targets.get(row))


def stricter(key: GroupKey, answers: Sequence[Answer], computed: Mapping[str, Any] | None) -> str:
    """What to say where MLflow's metric misses targets because of white space alone; empty where it does not."""
    value = (computed or {}).get(MLFLOWS_EXACT_MATCH)
    aimed = [one for one in answers if one.target is not None]
    apart = sum(one.on_target and one.text != one.target for one in aimed)
    if value is None or not apart:
        return ""
    return (
        f"table {key.table!r}, model {key.model!r}: {apart} of {len(aimed)} outputs are on target but for white space "
        f"around them, so {EXACT_MATCH} is {(computed or {})[EXACT_MATCH]:.6g} and {MLFLOWS_EXACT_MATCH}, MLflow's "
        f"metric, which compares white space, too, is {value:.6g}"
    )


def made(metric: EvaluationMetric) -> EvaluationMetric:
    """What `make_metric` made; MLflow does not say its type."""
    return metric


def rows(prompt_ids: Any, variants: Any) -> list[RowKey]:
    """Names of rows from two columns."""
    return [RowKey(prompt_id, variant) for prompt_id, variant in zip(prompt_ids, variants, strict=True)]
