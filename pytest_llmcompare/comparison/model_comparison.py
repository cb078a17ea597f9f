"""What the fixture `llm_comparison` gives: all models of a table, to be compared two by two. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_llmcompare.errors import LlmCompareError, UsageError, did_you_mean
from pytest_llmcompare.records import Case, GroupResult, RowKey

from .model_pairs import Answer, Pair, pair_of
from .statistics import Finding, PairedScores, paired_scores

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


NOT_WORSE = (Finding.BETTER, Finding.EQUAL, Finding.NO_WORSE)


@dataclass(frozen=True, repr=False)
class Evidence:
    """Answer to a question about two models. It is true where the question is answered with yes.

    Attributes:
        model: The model that the question is about.
        other: The model that it is compared with.
        metric: What they are compared in.
        scores: By how much `model` is better: by how much more it scores, or less, where less is better.
        margin: Largest difference that does not matter.
        finding: What the scores say of `model`.
        holds: Whether the question is answered with yes.
    """

    model: str
    other: str
    metric: str
    scores: PairedScores
    margin: float
    finding: Finding
    holds: bool

    def __bool__(self) -> bool:
        return self.holds

    def __repr__(self) -> str:
        # pytest shows it with a failed assertion, and cuts the middle of what is longer than 240 characters.
        low, high = self.scores.interval.low, self.scores.interval.high
        return (
            f"<{self.model!r} against {self.other!r}: {self.finding}; "
            f"{self.metric} better by {self.scores.difference:.4g} (95% interval {low:.4g} to {high:.4g}, "
            f"p {self.scores.p_value:.3f}, {self.scores.total} rows), margin {self.margin:g}>"
        )


class Contest:
    """All models of one table. `llm_comparison["B"]` is one of them, to be compared with others.

    Attributes:
        compared: Whether a test asked about models, or for their names; looking at this object alone is no question.
    """

    def __init__(self, entrants: Mapping[str, Entrant]) -> None:
        self._entrants = entrants
        self.compared = False

    def __getitem__(self, model: str) -> Contestant:
        __tracebackhide__ = True
        self._found(model)
        return Contestant(self, model)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entrants)

    def __len__(self) -> int:
        return len(self._entrants)

    def __repr__(self) -> str:
        return f"<comparison of {', '.join(map(repr, self._entrants))}>"

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models, in order."""
        self.compared = True
        return tuple(self._entrants)

    def entrant(self, model: str) -> Entrant:
        """A model by its name.

        Raises:
            LlmCompareError: There is none of that name, or it could not be asked.
        """
        __tracebackhide__ = True
        found = self._found(model)
        self.compared = True
        return found

    def _found(self, model: str) -> Entrant:
        __tracebackhide__ = True
        found = self._entrants.get(model)
        if found is None:
            raise UsageError(f"llm_comparison: this table has no model {model!r}.{did_you_mean(model, self.models)}")
        if found.result.error:
            raise LlmCompareError(f"llm_comparison: model {model!r} gave no output: {found.result.error}")
        return found

    def two(self, one: str, other: str) -> tuple[Entrant, Entrant]:
        """Two models by their names.

        Raises:
            LlmCompareError: One of them is not there or could not be asked, or they are the same.
        """
        __tracebackhide__ = True
        found = self.entrant(one), self.entrant(other)
        if one == other:
            known = ", ".join(map(repr, self.models))
            raise UsageError(f"llm_comparison: model {one!r} is compared with itself. Name two of {known}.")
        return found

    def agreement(self, one: str, other: str) -> float:
        """Share of the rows, from 0 to 1, to which two models gave the same text.

        A row to which one of them gave no output counts as a difference. `pair` gives the interval, too.

        Raises:
            LlmCompareError: As in `two`.
        """
        __tracebackhide__ = True
        return self.pair(one, other).agreement.value

    def pair(self, one: str, other: str) -> Pair:
        """Agreement of two models with its Wilson interval, and McNemar's test where rows have targets.

        Raises:
            LlmCompareError: As in `two`.
        """
        __tracebackhide__ = True
        first, second = self.two(one, other)
        return pair_of(one, other, first.answers, second.answers)


@dataclass(frozen=True, repr=False)
class Contestant:
    """One model of a comparison.

    Attributes:
        contest: The comparison.
        model: Its name.
    """

    contest: Contest
    model: str

    def __repr__(self) -> str:
        return f"<model {self.model!r} of a comparison>"

    def not_worse_than(
        self, other: str, *, metric: str = TARGETS, margin: float = 0.0, lower_is_better: bool | None = None
    ) -> Evidence:
        """Whether this model is not worse than another: better, equal, or no worse within the margin.

        Where too few rows tell them apart it does not hold: what cannot be shown does not pass.

        Args:
            other: Name of the other model.
            metric: `"exact_match"` (the output is the target, without the white space around both; rows without a
                target are left out), or a metric that has a score per row in MLflow's results table.
            margin: Largest difference in the mean score that does not matter, in units of the metric.
            lower_is_better: Whether less is better; None asks the metric.

        Raises:
            LlmCompareError: No such model or metric, or a row without a score.
        """
        __tracebackhide__ = True
        return self.against(other, metric, margin, lower_is_better, NOT_WORSE)

    def better_than(
        self, other: str, *, metric: str = TARGETS, margin: float = 0.0, lower_is_better: bool | None = None
    ) -> Evidence:
        """Whether this model is better than another, by more than chance, and not within the margin altogether.

        The arguments are those of `not_worse_than`.

        Raises:
            LlmCompareError: No such model or metric, or a row without a score.
        """
        __tracebackhide__ = True
        return self.against(other, metric, margin, lower_is_better, (Finding.BETTER,))

    def against(
        self, other: str, metric: str, margin: float, lower_is_better: bool | None, yes: Sequence[Finding]
    ) -> Evidence:
        """Compare with another model; it holds where the finding is one of `yes`.

        Raises:
            LlmCompareError: No such model or metric, or a row without a score.
        """
        __tracebackhide__ = True
        if not 0 <= margin < math.inf:
            raise UsageError(f"llm_comparison: margin={margin!r}, expected a number of 0 or more.")
        mine, others = self.contest.two(self.model, other)
        rows = others.rows(metric)  # both were asked the rows of one table
        own, theirs = mine.scores(metric, rows), others.scores(metric, rows)
        less = mine.lower_is_better(metric) if lower_is_better is None else lower_is_better
        scores = paired_scores(own, theirs) if less else paired_scores(theirs, own)
        finding = scores.finding(margin)
        return Evidence(self.model, other, metric, scores, margin, finding, finding in yes)
