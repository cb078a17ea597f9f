"""Verdicts on a group's answers: by its baselines, by similarity if the marker asks for it, then by plugins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, takewhile
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from pytest_llmcompare.baselines.store import BaselineSet
from pytest_llmcompare.comparison.environments import usual_environment, without_noise
from pytest_llmcompare.comparison.judge import judge
from pytest_llmcompare.comparison.model_pairs import Answer
from pytest_llmcompare.comparison.model_verdict import Movement, decisive, is_beyond_noise, judge_environments
from pytest_llmcompare.comparison.similarity import Similarity, similar
from pytest_llmcompare.decoding.request import Outcome
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.judgement import (
    COMPARED,
    AnswerCount,
    AssertionResult,
    Finding,
    Judgement,
    ModelVerdict,
    Verdict,
)
from pytest_llmcompare.models import in_memory
from pytest_llmcompare.records import Baseline, Case, GroupKey, RowKey
from pytest_llmcompare.suite.extensions import Extensions
from pytest_llmcompare.suite.group import Group

from .pyfunc import HeldTransformer

NONE_OF_THEIR_OWN: Mapping[RowKey, Tokenizer] = MappingProxyType({})
"""No row has a tokenizer of its own."""


class Tokenizer(Protocol):
    """Turns tokens into text."""

    def show(self, token: int) -> str:
        """Text of a single token, special tokens included."""

    @property
    def decode(self) -> Callable[[Sequence[int]], str] | None:
        """Returns the text of generated tokens; None if that is unknown, as for a served model."""


@dataclass(frozen=True)
class Judged:
    """The answers of a model with their verdicts.

    Attributes:
        generations: Answers by row, without the path that they were judged by, which is long.
        judgements: Their verdicts.
        failures: Why there is no answer, for the other rows.
        model_verdict: Whether the model changed; None if no answer was compared with a baseline of its own.
        changed_rows, assertions: As in `GroupResult`.
    """

    generations: Mapping[RowKey, Generation]
    judgements: Mapping[RowKey, Judgement]
    failures: Mapping[RowKey, str]
    model_verdict: ModelVerdict | None = None
    changed_rows: tuple[RowKey, ...] = ()
    assertions: Mapping[RowKey, tuple[AssertionResult, ...]] = field(default_factory=dict)

    def with_assertions(self, group: Group, cases: Sequence[Case]) -> Judged:
        """The same, with the results of the assertions on the outputs."""
        answered = [case for case in cases if case.key.row in self.generations]
        results = {
            case.key.row: tuple(one.result(self.generations[case.key.row], case) for one in assertions)
            for case in answered
            if (assertions := group.assertions_of(case))
        }
        return replace(self, assertions=results)

    def with_count(self, answered: AnswerCount) -> Judged:
        """The same, with a model verdict that knows how many answers are from the cache."""
        verdict = self.model_verdict
        return self if verdict is None else replace(self, model_verdict=replace(verdict, answered=answered))

    @property
    def environment(self) -> dict[str, str]:
        """What the answers were made with."""
        return usual_environment(generation.environment for generation in self.generations.values())

    @property
    def tokens(self) -> int:
        """Number of tokens generated, if they are known."""
        return sum(len(generation.token_ids or ()) for generation in self.generations.values())

    @property
    def level(self) -> str:
        """What the server of a served model shows of its answers; empty for other models."""
        environments = (dict(generation.environment) for generation in self.generations.values())
        return next((environment["level"] for environment in environments if "level" in environment), "")

    def text(self, case: Case) -> str:
        """The answer to a case; empty if there is none."""
        generation = self.generations.get(case.key.row)
        return generation.text if generation else ""

    def answers(self, cases: Sequence[Case]) -> list[Answer]:
        """Answers with their targets, in the order of the cases."""
        pairs = ((self.generations.get(case.key.row), case.target) for case in cases)
        return [Answer(None if generation is None else generation.text, target) for generation, target in pairs]

    def outputs(self, cases: Sequence[Case]) -> list[Baseline]:
        """The answers as they would be recorded."""
        return [
            Baseline(case.key.row, self.generations[case.key.row], case.input_hash, case.settings_hash, case.input)
            for case in cases
            if case.key.row in self.generations
        ]


@dataclass
class Baselines:
    """The stored baselines of a group, or why they cannot be read, and how to compare with them.

    Attributes:
        stored: The baselines.
        fault: Why they cannot be read; empty if they can.
        tolerance: Margin (nats) that counts as a near tie; None takes the noise band.
        similarity: How similar texts must be if there are no tokens to compare; None asks for equal texts.
        by_text_alone: Name of the model, if its tokenizer differs from that of the model that gave the baselines.
    """

    stored: BaselineSet | None
    fault: str = ""
    tolerance: float | None = None
    similarity: Similarity | None = None
    by_text_alone: str = ""

    def environment(self) -> dict[str, str]:
        """What most of them were recorded with."""
        stored = self.stored.baselines.values() if self.stored else ()
        return usual_environment(baseline.generation.environment for baseline in stored)

    def judge(self, case: Case, generation: Generation, tokenizer: Tokenizer | None) -> Judgement:
        """The verdict on an answer."""
        row = case.key.row
        if self.stored is None:
            return Judgement(Verdict.ERROR, reason=self.fault)
        if row in self.stored.conflicts:
            where = self.stored.conflicts[row]
            return Judgement(Verdict.STALE, reason=f"a merge left two versions of the baseline ({where})")
        if row in self.stored.faults:
            return Judgement(Verdict.ERROR, reason=self.stored.faults[row])
        baseline = self.stored.baselines.get(row)
        if baseline is None:
            return Judgement(Verdict.MISSING, reason=self.stored.lacking)
        baseline = self.comparable(baseline, case, tokenizer)
        is_served = tokenizer is not None and tokenizer.decode is None
        piece, decode = (tokenizer.show, tokenizer.decode) if tokenizer else (str, None)
        judgement = judge(case, baseline, generation, piece, decode=decode, tolerance=self.tolerance)
        other_draw = case.samples and judgement.verdict is Verdict.DRIFTED and generation.path is None and is_served
        if self.similarity is None or not (by_text(baseline.generation, generation) or other_draw):
            return judgement
        return similar(judgement, self.samples(case), generation.text, self.similarity)

    def comparable(self, baseline: Baseline, case: Case, tokenizer: Tokenizer | None) -> Baseline:
        """A baseline, without its tokens if they are another model's and decode to another text with this tokenizer."""
        generation = baseline.generation
        if tokenizer is not None and tokenizer.decode is None:
            is_served = "server" in dict(generation.environment)
            return baseline if is_served else replace(baseline, generation=without_tokens(generation))
        if not (self.stored and self.stored.of_model and tokenizer and generation.token_ids):
            return baseline
        if tokenizer.decode is None or tokenizer.decode(generation.token_ids) == generation.text:
            return baseline
        self.by_text_alone = case.key.group.model
        return replace(baseline, generation=without_tokens(generation))

    def samples(self, case: Case) -> list[str]:
        """Texts of all stored samples of a case's row."""
        stored = self.stored.baselines if self.stored else {}
        first = RowKey(case.id, case.key.variant.rpartition("#")[0]) if case.sample else case.key.row
        further = (RowKey(case.id, f"{first.variant}#{number}") for number in count(2))
        rows = [first, *takewhile(stored.__contains__, further)]
        return [stored[row].generation.text for row in rows if row in stored]

    def texts(self) -> dict[RowKey, str]:
        """Texts of the baselines, to show beside the answers."""
        stored = self.stored.baselines if self.stored else {}
        return {row: baseline.generation.text for row, baseline in stored.items()}

    def tokens(self) -> dict[RowKey, tuple[int, ...]]:
        """Token ids of the baselines that have them."""
        stored = self.stored.baselines if self.stored else {}
        by_row = ((row, baseline.generation.token_ids) for row, baseline in stored.items())
        return {row: tokens for row, tokens in by_row if tokens is not None}

    def prepare(self, model: str, root: Path, *, foreign: bool) -> None:
        """Find the embedding model that judges similarity, if any comparison will be by text alone.

        Args:
            model: The embedding model.
            root: pytest's root folder.
            foreign: Whether the model that is compared gives only texts.

        Raises:
            ModelError: It cannot be found.
        """
        stored = self.stored or BaselineSet()
        texts = bool(stored.of_model) or any(
            baseline.generation.token_ids is None for baseline in stored.baselines.values()
        )
        if self.similarity and (foreign or texts):
            self.similarity = self.similarity.located(model, root)

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on baselines that could not be used, or of which only the text could."""
        if self.stored is None or not self.by_text_alone:
            return self.stored.warnings if self.stored else ()
        both = f"models {self.by_text_alone!r} and {self.stored.of_model!r}"
        note = f"{both} have different tokenizers, so their outputs are compared by their texts"
        return (*self.stored.warnings, note)


def judge_answers(
    cases: Sequence[Case],
    outcomes: Sequence[Outcome],
    baselines: Baselines,
    extensions: Extensions,
    tokenizer: Tokenizer | None,
    *,
    tokenizers: Mapping[RowKey, Tokenizer] = NONE_OF_THEIR_OWN,
) -> Judged:
    """Compare answers with the baselines, and let plugins change the verdicts on those that could be compared.

    Args:
        cases: What was asked.
        outcomes: An answer per case, or the error in its place.
        baselines: What to compare with.
        extensions: What plugins add.
        tokenizer: The model's; None for a model that gives only texts.
        tokenizers: Those of single rows, in place of it.
    """
    generations, judgements, failures = {}, {}, {}
    movements: dict[RowKey, Movement] = {}
    for case, outcome in zip(cases, outcomes, strict=True):
        row = case.key.row
        if not isinstance(outcome, Generation):
            failures[row] = f"model {case.key.group.model!r}, case {str(row)!r}: {outcome.reason}"
            continue
        judgement = baselines.judge(case, outcome, tokenizers.get(row, tokenizer))
        baseline = baselines.stored.baselines.get(row) if baselines.stored else None
        if baseline is not None and judgement.verdict in COMPARED:
            is_beyond = is_beyond_noise(baseline.generation, outcome)
            movements[row] = Movement(baseline.generation.environment, judgement.likelihood, is_beyond)
            judgement = extensions.judge(case, baseline, outcome, judgement)
        judgements[row] = judgement
        generations[row] = outcome if outcome.path is None else replace(outcome, path=None)
    judged = Judged(generations, judgements, failures)
    is_of_others = baselines.stored is not None and bool(baselines.stored.of_model)
    return judged if is_of_others else with_model_verdict(judged, cases[0].key.group, movements, extensions)


def with_model_verdict(
    judged: Judged, group: GroupKey, movements: Mapping[RowKey, Movement], extensions: Extensions
) -> Judged:
    """Judge the model by all of its answers that were compared; plugins may change the verdict."""
    if not movements:
        return judged
    now = next(iter(judged.generations.values())).environment
    by_environment = judge_environments(movements.values(), now)
    verdict = extensions.judge_model(group, decisive(by_environment.values()))
    if verdict.finding is not Finding.CHANGED:
        return replace(judged, model_verdict=verdict)
    changed = {environment for environment, one in by_environment.items() if one.finding is Finding.CHANGED}
    rows = (row for row, movement in movements.items() if without_noise(movement.environment) in changed)
    return replace(judged, model_verdict=verdict, changed_rows=tuple(rows))


def tokenizer_of(ours: HeldTransformer | None) -> Tokenizer | None:
    """The tokenizer of the local model inside a pyfunc."""
    return in_memory.hold(ours.located()) if ours else None


def without_tokens(generation: Generation) -> Generation:
    """A generation of which only the text can be compared."""
    return replace(generation, token_ids=None, logprobs=None)


def by_text(expected: Generation, actual: Generation) -> bool:
    """True if two answers can only be compared by their texts."""
    return expected.token_ids is None or actual.token_ids is None
