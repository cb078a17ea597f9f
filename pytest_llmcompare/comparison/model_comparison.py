"""The value of the fixture `llm_comparison`: all models of a table, to be compared two by two. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_llmcompare.errors import LlmCompareError, UsageError, did_you_mean
from pytest_llmcompare.judgement import ModelVerdict
from pytest_llmcompare.records import Case, GroupResult, RowKey

from .model_pairs import Answer, Pair, pair_of, stop_strings_of
from .statistics import PairedFinding, PairedScores, paired_scores

TARGETS = "exact_match"
"""The metric that needs no `metrics=`: 1 if the output is the target, not counting white space around both, else 0."""

NOT_WORSE = (PairedFinding.BETTER, PairedFinding.EQUAL, PairedFinding.NO_WORSE)
ROWS_NAMED = 3

ScoresByMetric = Mapping[str, Mapping[RowKey, float]]
"""Scores by column of MLflow's results table and by row; a row without a score is left out."""


@dataclass(frozen=True)
class ModelResult:
    """Outputs and scores of one model on the rows of a table.

    Attributes:
        result: Result of its evaluation.
        cases: Its cases by row.
        read_scores: Reads its scores from MLflow; called when a metric needs them.
        less_is_better: Returns True for a metric whose `greater_is_better` is False.
    """

    result: GroupResult
    cases: Mapping[RowKey, Case]
    read_scores: Callable[[], ScoresByMetric]
    less_is_better: Callable[[str], bool]

    @property
    def answers(self) -> dict[RowKey, Answer]:
        """Outputs and targets by row."""
        return {row: self._answer(row) for row in self.cases}

    def lower_is_better(self, metric: str) -> bool:
        """True if a lower value of the metric is better."""
        return metric != TARGETS and self.less_is_better(metric_of(metric))

    def rows(self, metric: str) -> list[RowKey]:
        """Rows on which a metric is compared: for `exact_match` those with a target, else all.

        Raises:
            UsageError: No row has a target.
        """
        __tracebackhide__ = True
        if metric != TARGETS:
            return [*self.cases]
        rows = [row for row, case in self.cases.items() if case.target is not None]
        if self.cases and not rows:
            raise UsageError(f"llm_comparison: {TARGETS} needs targets; {_named([*self.cases])} without one.")
        return rows

    def scores(self, metric: str, rows: Sequence[RowKey]) -> list[float]:
        """Scores of these rows, in their order.

        Raises:
            LlmCompareError: There is no such metric, or a row without a score.
        """
        __tracebackhide__ = True
        if metric == TARGETS:
            return [float(self._answer(row).on_target) for row in rows]
        scores = self._column(metric)
        # MLflow scored a failed output as an empty text.
        if missing := [row for row in rows if row not in scores or row not in self.result.generations]:
            model = self.result.key.model
            raise LlmCompareError(f"llm_comparison: {metric} of model {model!r}: {_named(missing)} without a score.")
        return [scores[row] for row in rows]

    def _answer(self, row: RowKey) -> Answer:
        case = self.cases[row]
        return Answer.of(self.result.generations.get(row), case.target, stop_strings_of(case.gen_config))

    def _column(self, metric: str) -> Mapping[RowKey, float]:
        """Scores of a metric of MLflow's by row; the metric may be given by its name or by its column."""
        __tracebackhide__ = True
        if self.result.evaluation_fault:
            raise LlmCompareError(f"llm_comparison: {self.result.evaluation_fault}")
        columns = self.read_scores()
        same = (name for name in columns if metric_of(name) == metric)
        column = metric if metric in columns else next(same, None)
        if column is None:
            near = did_you_mean(metric, dict.fromkeys([TARGETS, *map(metric_of, columns)]))
            raise UsageError(
                f"llm_comparison: metric {metric!r} has no score per row for model {self.result.key.model!r}.{near}\n"
                "Have it computed: llm_prompts(..., metrics=[...])."
            )
        return columns[column]


@dataclass(frozen=True, repr=False)
class PairedResult:
    """Result of a paired test; truthy if the claim holds.

    Attributes:
        model: The model that the claim is about.
        other: The model that it is compared with.
        metric: The metric.
        scores: Differences by which `model` is better, row by row, with interval and p-value.
        margin: Largest difference that does not matter, in units of the metric.
        finding: What the scores show about `model`.
        holds: Whether the claim holds.
    """

    model: str
    other: str
    metric: str
    scores: PairedScores
    margin: float
    finding: PairedFinding
    holds: bool

    def __bool__(self) -> bool:
        return self.holds

    def __repr__(self) -> str:
        # pytest shows it with a failed assertion, and cuts the middle out of more than 240 characters.
        low, high = self.scores.interval.low, self.scores.interval.high
        return (
            f"<{self.model!r} against {self.other!r}: {self.finding}; "
            f"{self.metric} better by {self.scores.difference:.4g} (95% interval {low:.4g} to {high:.4g}, "
            f"p {self.scores.p_value:.3f}, {self.scores.total} rows), margin {self.margin:g}>"
        )


class ModelComparison:
    """All models of one table. `llm_comparison["B"]` is one of them, to be compared with others.

    Attributes:
        compared: True once a test compared two models or read `models`; indexing alone compares nothing.
    """

    def __init__(self, results: Mapping[str, ModelResult]) -> None:
        self._results = results
        self.compared = False

    def __getitem__(self, model: str) -> ComparedModel:
        __tracebackhide__ = True
        self._result(model)
        return ComparedModel(self, model)

    def verdict(self, model: str) -> ModelVerdict | None:
        """Whether a model changed since its baselines were recorded."""
        __tracebackhide__ = True
        return self._result(model).result.model_verdict

    def __iter__(self) -> Iterator[str]:
        return iter(self._results)

    def __len__(self) -> int:
        return len(self._results)

    def __repr__(self) -> str:
        return f"<comparison of {', '.join(map(repr, self._results))}>"

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models, in order."""
        self.compared = True
        return tuple(self._results)

    def agreement(self, one: str, other: str) -> float:
        """Share of the rows, from 0 to 1, for which two models gave the same text.

        A row without an output of one of them counts as a difference. `pair` gives the interval, too.

        Raises:
            LlmCompareError: A model is unknown or failed, or both are the same.
        """
        __tracebackhide__ = True
        return self.pair(one, other).agreement.value

    def pair(self, one: str, other: str) -> Pair:
        """Agreement of two models with its Wilson interval, and McNemar's test if rows have targets.

        Raises:
            LlmCompareError: A model is unknown or failed, or both are the same.
        """
        __tracebackhide__ = True
        first, second = self.results_of(one, other)
        return pair_of(one, other, first.answers, second.answers)

    def results_of(self, one: str, other: str) -> tuple[ModelResult, ModelResult]:
        """Results of two models.

        Raises:
            LlmCompareError: A model is unknown or failed, or both are the same.
        """
        __tracebackhide__ = True
        results = self._result(one), self._result(other)
        self.compared = True
        if one == other:
            known = ", ".join(map(repr, self._results))
            raise UsageError(f"llm_comparison: model {one!r} is compared with itself. Name two of {known}.")
        return results

    def _result(self, model: str) -> ModelResult:
        __tracebackhide__ = True
        result = self._results.get(model)
        if result is None:
            near = did_you_mean(model, self._results)
            raise UsageError(f"llm_comparison: this table has no model {model!r}.{near}")
        if result.result.error:
            raise LlmCompareError(f"llm_comparison: model {model!r} gave no output: {result.result.error}")
        return result


@dataclass(frozen=True, repr=False)
class ComparedModel:
    """One model of a comparison.

    Attributes:
        comparison: All models of the table.
        model: Its name.
    """

    comparison: ModelComparison
    model: str

    def __repr__(self) -> str:
        return f"<model {self.model!r} of a comparison>"

    @property
    def verdict(self) -> ModelVerdict | None:
        """Whether it changed since its baselines were recorded; None if none of its outputs was compared with one."""
        return self.comparison.verdict(self.model)

    def not_worse_than(
        self, other: str, *, metric: str = TARGETS, margin: float = 0.0, lower_is_better: bool | None = None
    ) -> PairedResult:
        """Claim that this model is better than another, equal to it, or no worse within the margin.

        If the rows are too few to tell, the claim does not hold.

        Args:
            other: Name of the other model.
            metric: `"exact_match"` (the output is the target, not counting white space around both; rows without a
                target are left out), or a metric that has a score per row in MLflow's results table.
            margin: Largest difference in the mean score that does not matter, in units of the metric.
            lower_is_better: Whether less is better; None asks the metric.

        Raises:
            LlmCompareError: No such model or metric, or a row without a score.
        """
        __tracebackhide__ = True
        return self._test(other, metric, margin, lower_is_better, NOT_WORSE)

    def better_than(
        self, other: str, *, metric: str = TARGETS, margin: float = 0.0, lower_is_better: bool | None = None
    ) -> PairedResult:
        """Claim that this model is significantly better than another, and that the difference can exceed the margin.

        The arguments are those of `not_worse_than`.

        Raises:
            LlmCompareError: No such model or metric, or a row without a score.
        """
        __tracebackhide__ = True
        return self._test(other, metric, margin, lower_is_better, (PairedFinding.BETTER,))

    def _test(
        self, other: str, metric: str, margin: float, lower_is_better: bool | None, claim: Sequence[PairedFinding]
    ) -> PairedResult:
        """Compare with another model; the claim is that the finding is one of these."""
        __tracebackhide__ = True
        if not 0 <= margin < math.inf:
            raise UsageError(f"llm_comparison: margin={margin!r}, expected a number of 0 or more.")
        own, others = self.comparison.results_of(self.model, other)
        rows = others.rows(metric)  # both models were asked the rows of one table
        scores = [result.scores(metric, rows) for result in (own, others)]
        lower = own.lower_is_better(metric) if lower_is_better is None else lower_is_better
        paired = paired_scores(*(scores if lower else scores[::-1]))
        finding = paired.finding(margin)
        return PairedResult(self.model, other, metric, paired, margin, finding, finding in claim)


def metric_of(column: str) -> str:
    """Metric of a column in MLflow's results table: `toxicity/v1/score` belongs to `toxicity`."""
    return re.sub(r"(/v\d+)?(/score)?\Z", "", column)


def _named(rows: Sequence[RowKey]) -> str:
    """Number and first names of rows: `2 rows ('sky', 'sum')`."""
    names = ", ".join(repr(str(row)) for row in rows[:ROWS_NAMED]) + (", ..." if len(rows) > ROWS_NAMED else "")
    return f"{len(rows)} row{'' if len(rows) == 1 else 's'} ({names})"
