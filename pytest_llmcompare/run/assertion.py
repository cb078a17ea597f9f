"""What `assert llm_output == llm_baseline` compares, and what it says when they differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from pytest_llmcompare.comparison.summary import SEVERITY
from pytest_llmcompare.generation import Generation, harmless
from pytest_llmcompare.judgement import Judgement, Verdict
from pytest_llmcompare.records import Case, CaseResult, GroupResult, RowKey
from pytest_llmcompare.reports.messages import failure_lines
from pytest_llmcompare.settings import Settings

WRITE = "Write `assert llm_output == llm_baseline`; to look at the texts use llm_baseline.text."

Accepting = Callable[[str], str]
"""Gives the command that takes a test's output as its baseline, by its node id."""


@dataclass
class Observation:
    """What one test has seen of its case so far; the report is made from it.

    Attributes:
        case: The case.
        nodeid: The test.
        generation: The candidate, once the test asked for it.
        judgement: The verdict, once the test compared.
        baseline_text: Text of the baseline, where there is one.
        explanation: Why the comparison failed, where it did.
        further: What it has seen of the further samples of the case.
        wants_baseline: Whether the test asked for the baseline.
        looked: Whether it read the baseline itself, to compare in its own way.
        ended: Whether the body of the test has ended; reports before that are of subtests.
        failed: Whether a subtest or the test has failed so far.
    """

    case: Case
    nodeid: str
    generation: Generation | None = None
    judgement: Judgement | None = None
    baseline_text: str | None = None
    explanation: tuple[str, ...] = ()
    further: tuple[Observation, ...] = ()
    wants_baseline: bool = False
    looked: bool = False
    ended: bool = False
    failed: bool = False

    @property
    def samples(self) -> tuple[Observation, ...]:
        """All samples of the case, this one the first."""
        return (self, *self.further)

    @property
    def worst(self) -> Observation:
        """The sample with the worst verdict; of equally bad ones the first."""
        if not self.further:
            return self
        return max(self.samples, key=lambda seen: SEVERITY[seen.judgement.verdict if seen.judgement else None])

    def result(self, *, passed: bool) -> CaseResult:
        """The record that travels on the test report."""
        return CaseResult(
            key=self.case.key,
            nodeid=self.nodeid,
            generation=self.generation,
            judgement=self.judgement,
            baseline_text=self.baseline_text,
            input=self.case.input,
            input_hash=self.case.input_hash,
            settings_hash=self.case.settings_hash,
            target=self.case.target,
            passed=passed,
        )


class StoredBaseline:
    """The stored baseline of a case. `llm_output == llm_baseline` gives the verdict as true or false.

    Under an update option a difference that will be written counts as equal. With a drift budget a drifted case does,
    too: the run as a whole decides on those.
    """

    def __init__(self, observation: Observation, group: GroupResult, settings: Settings, accepting: Accepting) -> None:
        self._observation = observation
        self._group = group
        self._settings = settings
        self._accepting = accepting
        observation.wants_baseline = True

    @property
    def text(self) -> str | None:
        """Text of the baseline, or None if there is none. Reading a text counts as a comparison of the test's own."""
        self._observation.looked = self._observation.looked or self._text is not None
        return self._text

    @property
    def token_ids(self) -> tuple[int, ...] | None:
        """Tokens of the baseline, or None if none are recorded. Reading them counts as a comparison, too."""
        tokens = self._group.baseline_tokens.get(self._observation.case.key.row)
        self._observation.looked = self._observation.looked or tokens is not None
        return tokens

    @property
    def judgement(self) -> Judgement:
        """The verdict on today's output, with its evidence; of several samples the worst."""
        self._observation.looked = True
        judged = [self._judgement(seen.case.key.row) for seen in self._observation.samples]
        return max(judged, key=lambda judgement: SEVERITY[judgement.verdict])

    @property
    def _text(self) -> str | None:
        return self._group.baseline_texts.get(self._observation.case.key.row)

    def _judgement(self, row: RowKey) -> Judgement:
        return self._group.judgements.get(row) or Judgement(
            Verdict.ERROR, reason="the model gave no output for this case"
        )

    def __eq__(self, other: object) -> bool:
        """Whether the candidate stands, given the baseline.

        Raises:
            TypeError: Compared with something else than this case's `llm_output`.
        """
        __tracebackhide__ = True  # pytest then points at the test's own line
        candidate = self._group.generations.get(self._observation.case.key.row)
        if not isinstance(other, Generation) or other != candidate:
            raise TypeError(
                f"llm_baseline compares with the llm_output of the same test, got {type(other).__name__}. {WRITE}"
            )
        for seen in self._observation.samples:
            row = seen.case.key.row
            seen.judgement, seen.baseline_text = self._judgement(row), self._group.baseline_texts.get(row)
        failed = [
            seen
            for seen in self._observation.samples
            if seen.judgement and not self._settings.lets_stand(seen.judgement.verdict)
        ]
        if failed:
            worst = self._observation.worst
            lines = failure_lines(worst.result(passed=False), self._accepting(worst.nodeid))
            if self._observation.further:
                lines.insert(
                    1,
                    f"{len(failed)} of {len(self._observation.samples)} samples; this is number "
                    f"{worst.case.sample + 1}",
                )
            self._observation.explanation = tuple(lines)
        return not failed

    def __hash__(self) -> NoReturn:
        """A baseline is equal to what it was not made of, so it is in no set.

        Raises:
            TypeError: Always.
        """
        __tracebackhide__ = True
        raise TypeError(f"llm_baseline cannot be in a set or be a key. {WRITE}")

    def __getattr__(self, name: str) -> NoReturn:
        """A baseline is no text; it has one.

        Raises:
            AttributeError: Always.
        """
        __tracebackhide__ = True
        hint = f" llm_baseline.text.{name} is that of its text." if hasattr(str, name) else ""
        raise AttributeError(f"llm_baseline has no attribute {name!r}.{hint} {WRITE}", name=name, obj=self)

    def __bool__(self) -> NoReturn:
        """A baseline is neither true nor false, so that `assert llm_baseline` cannot pass.

        Raises:
            TypeError: Always.
        """
        __tracebackhide__ = True
        raise TypeError(f"llm_baseline has no truth value: it is there to be compared. {WRITE}")

    def __len__(self) -> NoReturn:
        """A baseline has no length; its text has.

        Raises:
            TypeError: Always.
        """
        __tracebackhide__ = True
        raise TypeError(f"llm_baseline has no length; len(llm_baseline.text) is that of its text. {WRITE}")

    def __contains__(self, part: object) -> bool:
        """A baseline holds nothing; its text does.

        Raises:
            TypeError: Always.
        """
        __tracebackhide__ = True
        raise TypeError(f"`in llm_baseline` does not look into its text; `in llm_baseline.text` does. {WRITE}")

    def __str__(self) -> str:
        text = self.text
        return repr(self) if text is None else text

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __repr__(self) -> str:
        text = None if self._text is None else harmless(self._text)
        return f"<baseline {self._observation.case.key}: {text}>"
