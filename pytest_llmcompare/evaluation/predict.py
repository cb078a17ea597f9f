"""The function that MLflow evaluates: asks the model once for all rows, and keeps what a text cannot carry."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import mlflow
from mlflow.pyfunc import PyFuncModel

from pytest_llmcompare.baselines.journal import Journal, key_of, key_of_row
from pytest_llmcompare.comparison.judge import stale_reason
from pytest_llmcompare.comparison.model_pairs import Answer
from pytest_llmcompare.decoding.drafts import NOT_TRIED, draft_of
from pytest_llmcompare.decoding.engine import EngineWarning
from pytest_llmcompare.errors import GenerationError
from pytest_llmcompare.generation import Generation, joined
from pytest_llmcompare.judgement import Judgement
from pytest_llmcompare.models import in_memory
from pytest_llmcompare.models.gen_config import DEFAULTS, SAMPLING_DEFAULTS, complete
from pytest_llmcompare.records import Baseline, Case, RowKey

from . import model_logging
from .dataset import storable
from .foreign_pyfunc import WrongCountError
from .pyfunc import HeldTransformer, Observer, PyfuncTransformer

if TYPE_CHECKING:
    from pytest_llmcompare.suite.extensions import Progress

    from .group_model import Identity


class Tokenizer(Protocol):
    """What tells the text of tokens."""

    def show(self, token: int) -> str:
        """Text of a single token, special tokens included."""

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of generated tokens."""


Judge = Callable[[Case, Generation, Tokenizer | None], Judgement]
"""Gives the verdict on an output; None stands for a model without tokens."""

Outcome = Generation | GenerationError
INPUTS = ("input_text", "few_shot_examples", "config_dict", "seed")


class Asking:
    """One question-and-answer session with a model.

    Attributes:
        generations: What it said, by row.
        failures: Why it said nothing, by row.
        judgements: Verdicts on what it said, by row.
        notes: What the user should know.
        finished: Whether all rows were asked.
        error: What stopped it, where something did.
        seconds: Time it took.
    """

    def __init__(
        self,
        model: PyFuncModel,
        identity: Identity,
        cases: Sequence[Case],
        *,
        judge: Judge,
        journal: Journal,
        progress: Progress,
        expected: Mapping[RowKey, Baseline],
        shortcuts: bool,
    ) -> None:
        self.model = model
        self.identity = identity
        self.cases = cases
        self.judge = judge
        self.journal = journal
        self.progress = progress
        self.expected = expected
        self.shortcuts = shortcuts
        self.ours = model_logging.python_model_of(model)
        self.generations: dict[RowKey, Generation] = {}
        self.failures: dict[RowKey, str] = {}
        self.judgements: dict[RowKey, Judgement] = {}
        self.notes: list[str] = []
        self.finished = False
        self.error: Exception | None = None
        self.seconds = 0.0

    def __call__(self, frame: Any) -> list[str]:
        """What MLflow calls, once, with all rows; a row that failed gives an empty text."""
        started = time.perf_counter()
        try:
            outcomes = self.ask_ours(self.ours, frame) if self.ours else self.ask_foreign()
        except Exception as error:
            self.error = error  # MLflow wraps what it catches
            raise
        self.seconds = time.perf_counter() - started
        for case, outcome in zip(self.cases, outcomes, strict=True):
            self.keep(case, outcome)
        self.finished = True
        texts = [self.generations[case.key.row].text if case.key.row in self.generations else "" for case in self.cases]
        return list(map(storable, texts))

    @property
    def per_row(self) -> bool:
        """Whether the model takes examples, decoding settings and seed from columns."""
        return not isinstance(self.ours, PyfuncTransformer)

    def ask_ours(self, ours: HeldTransformer, frame: Any) -> list[Outcome]:
        """One batched call for all rows that an earlier, interrupted run did not finish.

        The observer gets what the texts leave out, as soon as there is something.
        """
        environment = in_memory.hold(ours.found()).environment
        keys = [key_of(case, self.identity.text, environment) for case in self.cases]
        outcomes: dict[int, Outcome] = self.resumed(keys)
        left = [index for index in range(len(self.cases)) if index not in outcomes]

        def observe(place: int, outcome: Outcome) -> None:
            index = left[place]
            outcomes[index] = outcome
            if isinstance(outcome, Generation):
                self.journal.append(keys[index], outcome)
            self.progress.step(outcome if isinstance(outcome, Generation) else None)

        if isinstance(ours, PyfuncTransformer):
            frame = self.fitted(ours, frame)
        if left:
            drafts = self.drafts(ours, left)
            self.predict(ours, frame.iloc[left].reset_index(drop=True), observe, drafts)
            self.note_untried([outcomes[index] for index in left], len(drafts))
        return [outcomes[index] for index in range(len(self.cases))]

    def fitted(self, ours: PyfuncTransformer, frame: Any) -> Any:
        """The rows for a pyfunc with settings of its own, with a note on what of the table does not reach it.

        One that was logged for this table has the table's settings.
        """
        if unused := unreached(ours, self.cases):
            self.notes.append(
                f"model {self.cases[0].key.group.model!r} was logged with settings of its own: {', '.join(unused)} of "
                "the table does not reach it. Log a PyfuncTransformerWithParams to have each row's settings in force."
            )
        return frame if ours.examples else frame.assign(input_text=[case.prompt for case in self.cases])

    def resumed(self, keys: Sequence[str]) -> dict[int, Outcome]:
        """What an interrupted run had finished, by index."""
        journal = self.journal.read()
        found: dict[int, Outcome] = {index: journal[key] for index, key in enumerate(keys) if key in journal}
        self.journal.begin(len(keys), resumed=len(found))
        for outcome in found.values():
            self.progress.step(outcome if isinstance(outcome, Generation) else None)
        if found:
            group = self.cases[0].key.group
            self.notes.append(
                f"table {group.table!r}, model {group.model!r}: {len(found)} of {len(keys)} outputs are taken from "
                f"the journal of a run that was interrupted{self.doubt}"
            )
        return found

    @property
    def doubt(self) -> str:
        """What the user should know of answers that are taken over from a model that names no version of itself."""
        if self.identity.certain:
            return ""
        return f". The model names no fingerprint: if it changed since then, delete {self.journal.path} and run again"

    def drafts(self, ours: HeldTransformer, left: Sequence[int]) -> dict[int, tuple[int, ...]]:
        """What is expected of the rows that are asked, by their place: the baselines that answer the same question."""
        if not self.shortcuts:
            return {}
        model = in_memory.hold(ours.found())
        found = {}
        for place, index in enumerate(left):
            case = self.cases[index]
            baseline = self.expected.get(case.key.row)
            if baseline is not None and not stale_reason(case, baseline):
                found[place] = draft_of(model, baseline.generation)
        return found

    def note_untried(self, outcomes: Sequence[Outcome], drafts: int) -> None:
        """Say once per reason how many of the baselines that are drafts had to be compared without the fast check."""
        group = self.cases[0].key.group
        reasons = Counter(found.unverified for found in outcomes if isinstance(found, Generation))
        for text, count in reasons.items():
            if text.startswith(NOT_TRIED):
                self.notes.append(
                    f"table {group.table!r}, model {group.model!r}: {count} of {drafts} baselines are "
                    f"compared token by token, not in one pass: {text.removeprefix(NOT_TRIED)}"
                )

    def predict(
        self, ours: HeldTransformer, frame: Any, observer: Observer, drafts: Mapping[int, tuple[int, ...]]
    ) -> None:
        """Ask through MLflow's loaded model, as anybody would."""
        ours.observer, ours.drafts, ours.shortcuts = observer, drafts, self.shortcuts
        try:
            with warnings.catch_warnings(record=True) as caught:  # the user may have made warnings errors
                warnings.simplefilter("always", EngineWarning)
                self.model.predict(frame[[column for column in INPUTS if column in frame]])
        finally:
            ours.observer, ours.drafts, ours.shortcuts = None, None, True
        self.notes.extend(
            dict.fromkeys(str(found.message) for found in caught if issubclass(found.category, EngineWarning))
        )

    def ask_foreign(self) -> list[Outcome]:
        """Part by part, with the columns that the model wants; texts are all there is."""
        from . import foreign_pyfunc

        environment = (("mlflow", mlflow.__version__), ("weights", self.identity.fingerprint))
        questions = foreign_pyfunc.Questions(self.model, self.cases)
        if questions.note and self.identity.takes_settings:
            self.notes.append(questions.note)
        keys = [key_of_row(facts, self.identity.text) for facts in questions.facts]
        outcomes = self.resumed(keys)

        def done(index: int, answer: str | GenerationError) -> None:
            outcome = Generation(joined(answer), environment=environment) if isinstance(answer, str) else answer
            outcomes[index] = outcome
            if isinstance(outcome, Generation):
                self.journal.append(keys[index], outcome)
            self.progress.step(outcome if isinstance(outcome, Generation) else None)

        try:
            foreign_pyfunc.answers_in_parts(
                questions, [index for index in range(len(keys)) if index not in outcomes], done
            )
        except WrongCountError as error:
            self.journal.discard()
            return [error for _ in keys]
        return [outcomes[index] for index in range(len(keys))]

    def keep(self, case: Case, outcome: Outcome) -> None:
        """Note an output and its verdict, or why there is none."""
        row = case.key.row
        if isinstance(outcome, Generation):
            self.judgements[row] = self.judge(case, outcome, self.tokenizer)
            self.generations[row] = replace(outcome, path=None)  # it is judged, and long
        else:
            model = case.key.group.model
            why = str(outcome).removeprefix(f"model {model!r}: ")
            self.failures[row] = f"model {model!r}, case {str(row)!r}: {why}"

    @property
    def outputs(self) -> list[Baseline]:
        """What was said, as it would be recorded."""
        return [
            Baseline(case.key.row, self.generations[case.key.row], case.input_hash, case.settings_hash)
            for case in self.cases
            if case.key.row in self.generations
        ]

    @property
    def answers(self) -> list[Answer]:
        """What was said, with the targets."""
        said = ((self.generations.get(case.key.row), case.target) for case in self.cases)
        return [Answer(None if generation is None else generation.text, target) for generation, target in said]

    @property
    def tokenizer(self) -> Tokenizer | None:
        """What tells the text of the model's tokens."""
        return in_memory.hold(self.ours.found()) if self.ours else None


def unreached(ours: PyfuncTransformer, cases: Sequence[Case]) -> list[str]:
    """Names of the settings that somebody chose for the cases and that are not those of the pyfunc."""
    own = complete(ours.gen_config_dict)
    usual = {**SAMPLING_DEFAULTS, **DEFAULTS}
    chosen = [(name, value) for case in cases for name, value in case.gen_config.items() if value != usual.get(name)]
    names = {name for name, value in chosen if value != own.get(name)}
    if ours.examples and any(case.examples not in ("", ours.examples) for case in cases):
        names.add("examples")
    return sorted(names)
