"""Verdicts on a group's outputs: by its baselines, by similarity where the marker asks for it, at last by plugins."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count, takewhile
from pathlib import Path

from pytest_llmcompare.baselines.store import BaselineSet
from pytest_llmcompare.comparison.judge import judge
from pytest_llmcompare.comparison.similarity import Similarity, similar
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.judgement import COMPARED, Judgement, Verdict
from pytest_llmcompare.records import Baseline, Case, RowKey
from pytest_llmcompare.suite.extensions import Extensions

from .predict import Judge, Tokenizer


@dataclass
class Baselines:
    """The stored baselines of a group, or why they cannot be read; and what the marker says of comparing with them.

    Attributes:
        stored: The baselines.
        fault: Why there are none.
        tolerance: Margin (nats) that counts as a tie; None takes what noise amounts to.
        similarity: How alike texts have to be where there are texts alone; None asks for equal ones.
        by_text_alone: The model for which tokens of another one were of no use, where that was so.
    """

    stored: BaselineSet | None
    fault: str = ""
    tolerance: float | None = None
    similarity: Similarity | None = None
    by_text_alone: str = ""

    def judge(self, case: Case, generation: Generation, tokenizer: Tokenizer | None) -> Judgement:
        """The verdict on a candidate."""
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
        piece, decode = (tokenizer.show, tokenizer.decode) if tokenizer else (str, None)
        judgement = judge(case, baseline, generation, piece, decode=decode, tolerance=self.tolerance)
        if self.similarity is None or not by_text(baseline.generation, generation):
            return judgement
        return similar(judgement, self.samples(case), generation.text, self.similarity)

    def comparable(self, baseline: Baseline, case: Case, tokenizer: Tokenizer | None) -> Baseline:
        """A baseline, less the tokens where they are another model's and mean another text to this one."""
        generation = baseline.generation
        if not (self.stored and self.stored.of_model and tokenizer and generation.token_ids):
            return baseline
        if tokenizer.decode(generation.token_ids) == generation.text:
            return baseline
        self.by_text_alone = case.key.group.model
        return replace(baseline, generation=replace(generation, token_ids=None, logprobs=None))

    def samples(self, case: Case) -> list[str]:
        """Texts of all stored samples of a case's row."""
        stored = self.stored.baselines if self.stored else {}
        first = RowKey(case.id, case.key.variant.rpartition("#")[0]) if case.sample else case.key.row
        further = (RowKey(case.id, f"{first.variant}#{number}") for number in count(2))
        rows = [first, *takewhile(stored.__contains__, further)]
        return [stored[row].generation.text for row in rows if row in stored]

    def texts(self) -> dict[RowKey, str]:
        """The texts to show beside the candidates."""
        stored = self.stored.baselines if self.stored else {}
        return {row: baseline.generation.text for row, baseline in stored.items()}

    def tokens(self) -> dict[RowKey, tuple[int, ...]]:
        """The tokens of the baselines, where they are recorded."""
        stored = self.stored.baselines if self.stored else {}
        found = ((row, baseline.generation.token_ids) for row, baseline in stored.items())
        return {row: tokens for row, tokens in found if tokens is not None}

    def prepare(self, model: str, root: Path, *, foreign: bool) -> None:
        """Find the model that judges similarity, where texts will be all there is.

        Raises:
            ModelError: It cannot be found.
        """
        stored = self.stored or BaselineSet()
        texts = bool(stored.of_model) or any(one.generation.token_ids is None for one in stored.baselines.values())
        if self.similarity and (foreign or texts):
            self.similarity = self.similarity.located(model, root)

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be used of them."""
        if self.stored is None or not self.by_text_alone:
            return self.stored.warnings if self.stored else ()
        both = f"models {self.by_text_alone!r} and {self.stored.of_model!r}"
        note = f"{both} have different tokenizers, so their outputs are compared by their texts"
        return (*self.stored.warnings, note)


def reviewed(baselines: Baselines, extensions: Extensions) -> Judge:
    """The verdict on a candidate, after plugins had their say where there was something to compare."""

    def verdict(case: Case, generation: Generation, tokenizer: Tokenizer | None) -> Judgement:
        judgement = baselines.judge(case, generation, tokenizer)
        baseline = baselines.stored.baselines.get(case.key.row) if baselines.stored else None
        if baseline is None or judgement.verdict not in COMPARED:
            return judgement
        return extensions.judge(case, baseline, generation, judgement)

    return verdict


def by_text(expected: Generation, actual: Generation) -> bool:
    """Whether texts are all that can be compared."""
    return expected.token_ids is None or actual.token_ids is None
