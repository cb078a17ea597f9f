"""MLflow metrics of our own, one score per row: verdicts, their evidence, tokens, exact matches.

MLflow first tries a metric on one row, so a metric finds its rows by their names, not by their position.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mlflow.metrics import MetricValue, make_metric
from mlflow.models import EvaluationMetric

from pytest_llmcompare.comparison.model_pairs import Answer
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.judgement import COMPARED, AssertionResult, Judgement, Verdict
from pytest_llmcompare.records import Case, GroupKey, RowKey

from .verdicts import Judged

EXACT_MATCH = "exact_match"
"""Share of the outputs that equal their targets, by `Answer.on_target`."""

MLFLOWS_EXACT_MATCH = "exact_match/v1"
"""MLflow's metric of that name, which is strict about surrounding white space."""

EXPECT = "expect"
"""Prefix of the pass rates of row assertions."""

TAKEN = frozenset({EXACT_MATCH, EXPECT, "verdict", "margin", "likelihood_drift"})
"""Names that no other metric may have."""


def of_rows(cases: Sequence[Case], judged: Judged, *, count_tokens: bool) -> list[EvaluationMetric]:
    """All of our metrics for a table.

    Args:
        cases: What the model was asked.
        judged: Its answers with verdicts and assertions.
        count_tokens: Whether to count tokens, because no other metric does.
    """
    judgements, generations = judged.judgements, judged.generations
    targets = {case.key.row: case.target for case in cases if case.target is not None}
    return [
        verdicts(judgements),
        evidence("margin", judgements, margin_of),
        evidence("likelihood_drift", judgements, likelihood_drift_of),
        *([token_count(generations)] if count_tokens else []),
        *([exact_match(generations, targets)] if targets else []),
        *([assertions(judged.assertions)] if judged.assertions else []),
    ]


def verdicts(judgements: Mapping[RowKey, Judgement]) -> EvaluationMetric:
    """Verdict of each row, and the share of drifted rows among those that have a baseline."""

    def eval_fn(predictions: Any, prompt_id: Any, variant: Any = None) -> MetricValue:  # noqa: ARG001
        by_row = [judgements.get(row) for row in rows(prompt_id, variant)]
        all_verdicts = [judgement.verdict if judgement else Verdict.ERROR for judgement in by_row]
        return MetricValue(scores=[str(verdict) for verdict in all_verdicts], aggregate_results=rates(all_verdicts))

    return made(make_metric(eval_fn=eval_fn, greater_is_better=False, name="verdict"))


def rates(verdicts: Sequence[Verdict]) -> dict[str, float]:
    """Shares of verdicts among the outputs that could be compared; empty if none could."""
    comparable = [verdict for verdict in verdicts if verdict in COMPARED]
    if not comparable:
        return {}
    counted = {"drift": Verdict.DRIFTED, "shift": Verdict.SHIFTED, "near_tie": Verdict.NEAR_TIE}
    return {f"{name}_rate": comparable.count(verdict) / len(comparable) for name, verdict in counted.items()}


def evidence(
    name: str, judgements: Mapping[RowKey, Judgement], number: Callable[[Judgement], float | None]
) -> EvaluationMetric:
    """A number from each row's judgement, with mean and maximum over the rows that have one."""

    def eval_fn(predictions: Any, prompt_id: Any, variant: Any = None) -> MetricValue:  # noqa: ARG001
        by_row = [judgements.get(row) for row in rows(prompt_id, variant)]
        numbers = [None if judgement is None else number(judgement) for judgement in by_row]
        known = [value for value in numbers if value is not None and math.isfinite(value)]
        return MetricValue(
            scores=[float("nan") if value is None else value for value in numbers],
            aggregate_results={"mean": sum(known) / len(known), "max": max(known)} if known else {},
        )

    return made(make_metric(eval_fn=eval_fn, greater_is_better=False, name=name))


def margin_of(judgement: Judgement) -> float | None:
    """By how many nats the model prefers another token where outputs part; 0 if they are equal."""
    return 0.0 if judgement.verdict is Verdict.IDENTICAL else judgement.margin


def likelihood_drift_of(judgement: Judgement) -> float | None:
    """How far log-probs moved, rms in nats."""
    return None if judgement.likelihood is None else judgement.likelihood.rms


def token_count(generations: Mapping[RowKey, Generation]) -> EvaluationMetric:
    """Tokens of each output by the model's own tokenizer; NaN for a model that gives only texts."""

    def eval_fn(predictions: Any, prompt_id: Any, variant: Any = None) -> MetricValue:  # noqa: ARG001
        counts = [count_of(generations.get(row)) for row in rows(prompt_id, variant)]
        known = [count for count in counts if count is not None]
        return MetricValue(
            scores=[float("nan") if count is None else count for count in counts],
            aggregate_results={"mean": sum(known) / len(known), "sum": float(sum(known))} if known else {},
        )

    return made(make_metric(eval_fn=eval_fn, greater_is_better=False, name="token_count"))


def count_of(generation: Generation | None) -> int | None:
    """Number of tokens of an output, if they are known."""
    tokens = None if generation is None else generation.token_ids
    return None if tokens is None else len(tokens)


def exact_match(generations: Mapping[RowKey, Generation], targets: Mapping[RowKey, str]) -> EvaluationMetric:
    """Which outputs equal their targets, and the share of these among the rows with a target."""

    def eval_fn(predictions: Any, prompt_id: Any, variant: Any = None) -> MetricValue:  # noqa: ARG001
        hits = {row: answer(row, generations, targets).on_target for row in rows(prompt_id, variant) if row in targets}
        return MetricValue(
            scores=[float(hits.get(row, math.nan)) for row in rows(prompt_id, variant)],
            aggregate_results={EXACT_MATCH: sum(hits.values()) / len(hits)} if hits else {},
        )

    return made(make_metric(eval_fn=eval_fn, greater_is_better=True, name=EXACT_MATCH))


def assertions(results: Mapping[RowKey, Sequence[AssertionResult]]) -> EvaluationMetric:
    """Share of each row's assertions that hold.

    Over the table: `expect/pass_rate`, the share of rows on which all hold, and `expect/KIND/pass_rate`, the share of
    the assertions of one kind that hold.
    """

    def eval_fn(predictions: Any, prompt_id: Any, variant: Any = None) -> MetricValue:  # noqa: ARG001
        asked = [results.get(row, ()) for row in rows(prompt_id, variant)]
        by_kind: dict[str, list[bool]] = {}
        for one in (one for row in asked for one in row):
            by_kind.setdefault(one.kind, []).append(one.passed)
        whole = [all(one.passed for one in row) for row in asked if row]
        rates = {f"{kind}/pass_rate": sum(passed) / len(passed) for kind, passed in by_kind.items()}
        return MetricValue(
            scores=[sum(one.passed for one in row) / len(row) if row else math.nan for row in asked],
            aggregate_results={"pass_rate": sum(whole) / len(whole), **rates} if whole else {},
        )

    return made(make_metric(eval_fn=eval_fn, greater_is_better=True, name=EXPECT))


def answer(row: RowKey, generations: Mapping[RowKey, Generation], targets: Mapping[RowKey, str]) -> Answer:
    """The output of a row with its target."""
    generation = generations.get(row)
    return Answer(None if generation is None else generation.text, targets.get(row))


def stricter(key: GroupKey, answers: Sequence[Answer], computed: Mapping[str, Any] | None) -> str:
    """A note if MLflow's exact match misses targets because of white space alone; else empty."""
    value = (computed or {}).get(MLFLOWS_EXACT_MATCH)
    aimed = [answer for answer in answers if answer.target is not None]
    apart = sum(answer.on_target and answer.text != answer.target for answer in aimed)
    if value is None or not apart:
        return ""
    return (
        f"table {key.table!r}, model {key.model!r}: {apart} of {len(aimed)} outputs differ from their target only in "
        f"white space around them: they count in {EXACT_MATCH}, {(computed or {})[EXACT_MATCH]:.6g}, but not in "
        f"MLflow's {MLFLOWS_EXACT_MATCH}, {value:.6g}"
    )


def made(metric: EvaluationMetric) -> EvaluationMetric:
    """A metric with its type, which MLflow's `make_metric` does not declare."""
    return metric


def rows(prompt_ids: Any, variants: Any) -> list[RowKey]:
    """Names of rows from two columns; a table without variants has only the first."""
    names = [""] * len(prompt_ids) if variants is None else variants
    return [RowKey(prompt_id, variant) for prompt_id, variant in zip(prompt_ids, names, strict=True)]
