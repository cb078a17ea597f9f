"""Answers from the answer cache, for the cases of a table and model. Imports neither torch nor transformers."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pytest_llmcompare.baselines.answer_cache import CacheFile
from pytest_llmcompare.baselines.cache_lines import (
    CacheContent,
    CachedAnswer,
    CachedModel,
    answer_line,
    key_of,
    model_line,
)
from pytest_llmcompare.comparison.judge import stale_reason
from pytest_llmcompare.comparison.measured_noise import MeasuredNoise
from pytest_llmcompare.decoding.request import Outcome
from pytest_llmcompare.errors import GenerationError
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.models.machine import LOADED
from pytest_llmcompare.records import Baseline, Case, RowKey

from .cache_key import parts_of_case


@dataclass
class CachedAnswers(ABC):
    """What the answer cache holds for the cases of a table and model.

    Attributes:
        cases: The cases that are asked.
        expected: Baselines by row.
        only: Whether the model must not be asked.
        file: The file of the table and model in the cache.
        content: The content of that file.
        fixed: Facts of the model that are known without loading it.
        model: Key of the model; empty if it is not known.
        facts: All facts that the key is made of.
        hits: Answers by index of their case.
    """

    cases: Sequence[Case]
    expected: Mapping[RowKey, Baseline]
    only: bool
    file: CacheFile
    content: CacheContent
    fixed: Mapping[str, str]
    model: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    hits: dict[int, CachedAnswer] = field(default_factory=dict)

    @abstractmethod
    def look_up(self) -> None:
        """Find answers without loading the model."""

    @property
    @abstractmethod
    def answers_all(self) -> bool:
        """True if the model is not asked: all that a run reports is cached, or `--llm-cache=only` forbids it."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on the model for the user, as they were when it was loaded."""
        return ()

    @property
    def noise(self) -> MeasuredNoise | None:
        """The noise that was measured, unless a baseline already holds it."""
        return None

    @property
    def facts_now(self) -> Mapping[str, str]:
        """Facts of the model and of where it runs that are known without loading it."""
        return self.fixed

    def _find(self) -> None:
        self.hits.clear()
        for index in range(len(self.cases)) if self.model else ():
            answer = self.content.answer(key_of(self.model, self.parts(index)))
            if answer is not None:
                self.hits[index] = answer

    def parts(self, index: int) -> dict[str, str]:
        """Digests of all that the answer to a case depends on besides the model."""
        case = self.cases[index]
        return parts_of_case(case, self._draft(case))

    def _draft(self, case: Case) -> Generation | None:
        """The baseline that is read as a draft; None if there is none that answers the same question."""
        baseline = self.expected.get(case.key.row)
        return None if baseline is None or stale_reason(case, baseline) else baseline.generation

    def miss(self, index: int) -> GenerationError:
        """The error of a case that is not in the cache, with what differs from the answer cached for its row."""
        row = str(self.cases[index].key.row)
        return GenerationError(
            f"its answer is not in the cache ({self.file.place}): {self._difference(index, row)}.\n"
            "--llm-cache=only asks no model. Run once with --llm-cache=on, or import the cache of the run that did: "
            "llmcompare cache import FILE"
        )

    def _difference(self, index: int, row: str) -> str:
        line = self.content.rows.get(row)
        if line is None:
            return (
                "no answer to this row is cached"
                if self.content.rows
                else "it holds no answers of this table and model"
            )
        parts, then = self.parts(index), line.get("parts")
        then = then if isinstance(then, dict) else {}
        changed = [f"the {name}" for name in parts if then.get(name) != parts[name]]
        models = self.content.models.get(str(line.get("model")), [])
        if models:
            facts = {**models[-1].facts, **models[-1].place}
            now = self.facts_now
            changed += [
                f"{name} ({_short(facts.get(name, ''))} then, {_short(now.get(name, ''))} now)"
                for name in {**facts, **now}
                if name not in LOADED and facts.get(name, "") != now.get(name, "")
            ]
        return f"since it was cached, {', '.join(changed)} changed" if changed else "it is damaged or too old"

    def _append(self, lines: Iterable[bytes]) -> tuple[str, ...]:
        fault = self.file.append(lines, self.content.oldest)
        return (*self.content.notes, *([fault] if fault else []))


class AllOrNothingAnswers(CachedAnswers):
    """Answers of a served model, or of a pyfunc logged elsewhere.

    Such a model is asked for all cases or for none, so that all answers are from the same state of it.
    """

    def look_up(self) -> None:
        """Find answers by the facts of the model."""
        self.model, self.facts = key_of(self.fixed), self.fixed
        self._find()
        if not self.answers_all:
            self.hits.clear()

    @property
    def answers_all(self) -> bool:
        """True if every case has an answer, or the model must not be asked."""
        return self.only or len(self.hits) == len(self.cases)

    def store(self, outcomes: Sequence[Outcome], pieces: Mapping[int, str]) -> tuple[str, ...]:
        """Write the answers to all cases into the cache.

        Args:
            outcomes: Answers and errors, in the order of the cases.
            pieces: Texts of single tokens.

        Returns:
            Notes for the user: what is damaged, why nothing can be cached.
        """
        lines = [model_line(self.model, CachedModel(self.facts, {}), self.cases[0].key.group)]
        for index, outcome in enumerate(outcomes):
            if isinstance(outcome, Generation):
                shown = {token: pieces[token] for token in outcome.token_ids or () if token in pieces}
                row = str(self.cases[index].key.row)
                lines.append(answer_line(CachedAnswer(self.model, row, self.parts(index), outcome, pieces=shown)))
        return self._append(lines)


def _short(value: str) -> str:
    value = value or "none"
    return value if len(value) <= 40 else f"{hashlib.sha256(value.encode()).hexdigest()[:8]}, of {value[:24]!r}..."
