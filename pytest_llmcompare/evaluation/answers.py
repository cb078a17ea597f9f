"""What a model is asked, and its answers as they come: journaled, and shown as progress."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mlflow.pyfunc import PyFuncModel

from pytest_llmcompare.baselines.journal import Journal
from pytest_llmcompare.comparison.judge import stale_reason
from pytest_llmcompare.comparison.measured_noise import MeasuredNoise
from pytest_llmcompare.decoding.request import Outcome
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.judgement import AnswerCount
from pytest_llmcompare.records import Baseline, Case, GroupKey, RowKey
from pytest_llmcompare.settings import PLAIN

from .latency import is_generated

if TYPE_CHECKING:
    from pytest_llmcompare.suite.extensions import Progress

    from .cached_answers import CachedAnswers
    from .group_model import Identity
    from .verdicts import Tokenizer


@dataclass(frozen=True)
class Asking:
    """A model, the cases to ask it, and where its answers go.

    Attributes:
        model: The loaded pyfunc.
        identity: All of the model that decides what it answers.
        cases: What to ask; at least one.
        journal: Keeps each answer, so that a run that is interrupted can be resumed.
        progress: Shows the progress.
        expected: Baselines by row, which a local model tries as drafts.
        decode: `auto`, `verify` or `plain`, as in `Settings`.
        cached: Answers from the answer cache; None if it is not used.
    """

    model: PyFuncModel
    identity: Identity
    cases: Sequence[Case]
    journal: Journal
    progress: Progress
    expected: Mapping[RowKey, Baseline]
    decode: str
    cached: CachedAnswers | None = None

    @property
    def shortcuts(self) -> bool:
        """True if a local model may save time with drafts and shared prefixes."""
        return self.decode != PLAIN

    @property
    def group(self) -> GroupKey:
        """Table and model."""
        return self.cases[0].key.group

    def drafts(self) -> dict[int, Generation]:
        """The baselines that answer the same question as their case, by index of the case."""
        baselines = {index: self.expected.get(case.key.row) for index, case in enumerate(self.cases)}
        return {
            index: baseline.generation
            for index, baseline in baselines.items()
            if baseline is not None and not stale_reason(self.cases[index], baseline)
        }


@dataclass(frozen=True)
class Answers:
    """The outcomes of all cases, in their order.

    Attributes:
        outcomes: A generation per case, or the error in its place.
        notes: Notes for the user.
        seconds: Time that the model took.
        cached: Number of answers from the answer cache.
        latencies: Seconds that the model took for a case, by index of the case, where they are known.
        tokenizers: What shows the tokens of a row, where each row has its own.
    """

    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...]
    seconds: float
    cached: int = 0
    latencies: Mapping[int, float] = field(default_factory=dict)
    tokenizers: Mapping[RowKey, Tokenizer] = field(default_factory=dict)

    @property
    def count(self) -> AnswerCount:
        """Number of answers, and of those from the cache."""
        return AnswerCount(len(self.outcomes), self.cached)


@dataclass
class Outcomes:
    """Outcomes as they come: journaled, and shown as progress.

    Attributes:
        asking: Model and cases.
        keys: Name of each case's answer in the journal.
        by_index: Outcomes so far, by index of the case.
        noise: Noise of the model's numbers, if it was measured.
        notes: Notes for the user.
        latencies: Seconds that the model took for a case, by its index, where they were measured.
    """

    asking: Asking
    keys: Sequence[str]
    by_index: dict[int, Outcome] = field(default_factory=dict)
    noise: MeasuredNoise | None = None
    notes: list[str] = field(default_factory=list)
    latencies: dict[int, float] = field(default_factory=dict)

    def resume(self) -> list[int]:
        """Take answers from the cache and from the journal of an interrupted run.

        Returns:
            The indices of the cases left to ask.
        """
        asking = self.asking
        journaled = asking.journal.read()
        known = {index: journaled[key] for index, key in enumerate(self.keys) if key in journaled}
        cached = {index: one.generation for index, one in asking.cached.hits.items()} if asking.cached else {}
        self.by_index.update({**known, **cached})
        asking.journal.begin(len(self.keys), resumed=len(self.by_index))
        for outcome in self.by_index.values():
            asking.progress.step(outcome if isinstance(outcome, Generation) else None)
        asking.progress.ask_many(0)  # the pace is that of the answers to come
        if resumed := len(known.keys() - cached.keys()):
            self.notes.append(self._resumed_note(resumed))
        return [index for index in range(len(self.keys)) if index not in self.by_index]

    def add(self, index: int, outcome: Outcome) -> None:
        """Keep the outcome of a case."""
        self.by_index[index] = outcome
        if isinstance(outcome, Generation):
            self.asking.journal.append(self.keys[index], outcome)
        self.asking.progress.step(outcome if isinstance(outcome, Generation) else None)

    def known_latencies(self) -> dict[int, float]:
        """Seconds by index of the case, of the outputs that the model has generated."""
        return {index: seconds for index, seconds in self.latencies.items() if is_generated(self.by_index[index])}

    def take_noise(self, rms: float) -> None:
        """Keep the noise that was measured (nats, root mean square)."""
        self.noise = MeasuredNoise(rms)

    def in_order(self) -> list[Outcome]:
        """All outcomes, in the order of the cases, with the noise in their environment if it was measured."""
        return [self._with_noise(self.by_index[index]) for index in range(len(self.keys))]

    def _with_noise(self, outcome: Outcome) -> Outcome:
        if self.noise is None or not isinstance(outcome, Generation):
            return outcome
        return replace(outcome, environment=self.noise.write(outcome.environment))

    def _resumed_note(self, resumed: int) -> str:
        asking, group = self.asking, self.asking.group
        note = (
            f"table {group.table!r}, model {group.model!r}: {resumed} of {len(self.keys)} outputs are taken "
            "from the journal of a run that was interrupted"
        )
        if asking.identity.certain:
            return note
        return (
            f"{note}. The model names no fingerprint: if it changed since then, delete {asking.journal.path} and run "
            "again"
        )


def answers_without_model(asking: Asking, cached: CachedAnswers) -> tuple[list[Outcome], list[str]]:
    """Answer all cases from the cache; a case that is not there is an error.

    Returns:
        Outcomes in the order of the cases, and notes for the user.
    """
    outcomes = Outcomes(asking, ["" for _ in asking.cases], noise=cached.noise)
    for index in range(len(asking.cases)):
        outcome = cached.hits[index].generation if index in cached.hits else cached.miss(index)
        outcomes.by_index[index] = outcome
        asking.progress.step(outcome if isinstance(outcome, Generation) else None)
    drafts = sum(cached.parts(index)["baseline"] != "none" for index in cached.hits)
    return outcomes.in_order(), untried_notes(asking, [outcomes.by_index[index] for index in cached.hits], drafts)


def untried_notes(asking: Asking, outcomes: Sequence[Outcome], drafts: int) -> list[str]:
    """A note per reason for which drafts were not verified in one pass."""
    group = asking.group
    reasons = Counter(outcome.untried for outcome in outcomes if isinstance(outcome, Generation) and outcome.untried)
    return [
        f"table {group.table!r}, model {group.model!r}: {count} of {drafts} baselines are compared token by token, not "
        f"in one pass: {reason}"
        for reason, count in reasons.items()
    ]
