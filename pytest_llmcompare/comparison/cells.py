"""Put the results of all tests of a case together: one cell per case, with the worst verdict. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_llmcompare.judgement import UNDECIDED, Verdict, severity_of
from pytest_llmcompare.records import CaseKey, CaseResult
from pytest_llmcompare.settings import Settings

from .acceptance import open_verdict


@dataclass(frozen=True)
class Cell:
    """One case with the worst verdict of its tests.

    Attributes:
        key: Name of the case.
        verdict: The worst verdict of its tests; None if none of them compared.
        accepted: Whether an update option takes today's output as the baseline.
        result: The result with that verdict.
    """

    key: CaseKey
    verdict: Verdict | None
    accepted: bool
    result: CaseResult

    @property
    def waits_as(self) -> Verdict | None:
        """The verdict under which an update option would accept the output; None if none would, or one did already."""
        return None if self.fails_assertion else self._open_verdict

    @property
    def is_held_back(self) -> bool:
        """True if no update option accepts the output, although it differs, because an assertion fails on it."""
        return self.fails_assertion and self._open_verdict is not None

    @property
    def fails_assertion(self) -> bool:
        """True if an assertion of the row fails on the output, so that its test does."""
        return any(not one.passed for one in self.result.assertions)

    @property
    def _open_verdict(self) -> Verdict | None:
        verdict = None if self.accepted else open_verdict(self.result)
        return verdict if verdict in UNDECIDED else None

    @property
    def text(self) -> str | None:
        """Today's text; None if there is none."""
        return None if self.result.generation is None else self.result.generation.text

    @property
    def differs(self) -> bool:
        """True if a difference or a failed assertion is to be shown; equal texts with shifted log-probs are not."""
        if self.verdict is Verdict.SHIFTED and self.text == self.result.baseline_text:
            return self.fails_assertion
        return self.fails_assertion or self.verdict not in (None, Verdict.IDENTICAL)


def worst_cells(results: Iterable[CaseResult], settings: Settings) -> dict[CaseKey, Cell]:
    """One cell per case; of equally bad results the first by test name counts, in any order of the results."""
    by_case: dict[CaseKey, list[CaseResult]] = {}
    for result in results:
        by_case.setdefault(result.key, []).append(result)
    return {key: worst_cell(key, seen, settings) for key, seen in by_case.items()}


def worst_cell(key: CaseKey, seen: Sequence[CaseResult], settings: Settings) -> Cell:
    """The cell of a case, given the results of its tests."""
    chosen = min(seen, key=lambda result: (-severity_of(verdict_of(result)), result.generation is None, result.nodeid))
    waits_as = open_verdict(chosen)
    accepted = waits_as in UNDECIDED and settings.update.accepts(waits_as) and all(result.passed for result in seen)
    return Cell(key, verdict_of(chosen), accepted, chosen)


def verdict_of(result: CaseResult) -> Verdict | None:
    """A test's verdict; `error` if it failed before there was an output."""
    if result.judgement is not None:
        return result.judgement.verdict
    return Verdict.ERROR if result.generation is None and not result.passed else None
