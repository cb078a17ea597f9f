"""One model of a table in a comparison of all of them: its answers and its scores. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .errors import LlmCompareError, UsageError, did_you_mean
from .pairs import Answer
from .records import Case, GroupResult, RowKey

TARGETS = "exact_match"
"""The metric that needs no `metrics=`: 1 where the output is the target, white space around both left out, else 0."""

ROWS_NAMED = 3

ScoresByMetric = Mapping[str, Mapping[RowKey, float]]
"""Scores by column of MLflow's results table and by row; a row without one is left out."""


@dataclass(frozen=True)
class Entrant:
    """One model of a table, as the run found it.

    Attributes:
        result: What it gave.
        cases: What it was asked, by row.
        read_scores: Reads its scores; not before they are wanted.
        less_is_better: Whether a metric is one of those of which less is better.
    """

    result: GroupResult
    cases: Mapping[RowKey, Case]
    read_scores: Callable[[], ScoresByMetric]
    less_is_better: Callable[[str], bool]

    @property
    def answers(self) -> dict[RowKey, Answer]:
        """What it said, by row."""
        return {row: self.answer(row) for row in self.cases}

    def answer(self, row: RowKey) -> Answer:
        """What it said to a row."""
        generation = self.result.generations.get(row)
        return Answer(None if generation is None else generation.text, self.cases[row].target)

    def lower_is_better(self, metric: str) -> bool:
        """Whether less of a metric is better, as the metric itself has it."""
        return metric != TARGETS and self.less_is_better(short(metric))

    def rows(self, metric: str) -> list[RowKey]:
        """The rows that a metric is about: for targets those that have one.

        Raises:
            UsageError: No row has a target.
        """
        __tracebackhide__ = True
        if metric != TARGETS:
            return [*self.cases]
        aimed = [row for row, case in self.cases.items() if case.target is not None]
        if self.cases and not aimed:
            raise UsageError(f"llm_comparison: {TARGETS} needs targets; {named([*self.cases])} without one.")
        return aimed

    def scores(self, metric: str, rows: Sequence[RowKey]) -> list[float]:
        """Scores for these rows, in their order.

        Raises:
            LlmCompareError: There is no such metric, or a row without a score.
        """
        __tracebackhide__ = True
        if metric == TARGETS:
            return [float(self.answer(row).on_target) for row in rows]
        scores = self.column(metric)
        # An output that failed was scored as an empty text.
        if lacking := [row for row in rows if row not in scores or row not in self.result.generations]:
            model = self.result.key.model
            raise LlmCompareError(f"llm_comparison: {metric} of model {model!r}: {named(lacking)} without a score.")
        return [scores[row] for row in rows]

    def column(self, metric: str) -> Mapping[RowKey, float]:
        """Scores of a metric of MLflow's by row.

        Raises:
            LlmCompareError: It was not computed.
        """
        __tracebackhide__ = True
        if self.result.evaluation_fault:
            raise LlmCompareError(f"llm_comparison: {self.result.evaluation_fault}")
        found = self.read_scores()
        name = metric if metric in found else next((column for column in found if short(column) == metric), None)
        if name is None:
            near = did_you_mean(metric, dict.fromkeys([TARGETS, *map(short, found)]))
            raise UsageError(
                f"llm_comparison: metric {metric!r} has no score per row for model {self.result.key.model!r}.{near}\n"
                "Have it computed: llm_prompts(..., metrics=[...])."
            )
        return found[name]


def short(column: str) -> str:
    """Name of the metric that a column is of: `toxicity/v1/score` is of `toxicity`."""
    return re.sub(r"(/v\d+)?(/score)?\Z", "", column)


def named(rows: Sequence[RowKey]) -> str:
    """Some of these rows, by name: `2 rows ('sky', 'sum')`."""
    names = ", ".join(repr(str(row)) for row in rows[:ROWS_NAMED]) + (", ..." if len(rows) > ROWS_NAMED else "")
    return f"{len(rows)} row{'' if len(rows) == 1 else 's'} ({names})"
