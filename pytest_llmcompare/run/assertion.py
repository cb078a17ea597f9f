"""The objects behind `assert llm_output == llm_baseline`: the stored baseline and the record of the comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from pytest_llmcompare.comparison.model_pairs import stop_strings_of
from pytest_llmcompare.generation import Generation, harmless
from pytest_llmcompare.judgement import AssertionResult, Judgement, Verdict, severity_of
from pytest_llmcompare.records import Case, CaseResult, GroupResult, RowKey
from pytest_llmcompare.reports.messages import failure_lines
from pytest_llmcompare.settings import Settings

WRITE = "Write `assert llm_output == llm_baseline`; to look at the texts use llm_baseline.text."

LONGEST_CELL = 1000  # characters of a cell of a table that reports show

Accepting = Callable[[str], str]
"""Gives the command that takes a test's output as its baseline, by its node id."""


@dataclass
class Observation:
    """What one test has done with its case so far; its report is made from it.

    Attributes:
        case: The case.
        nodeid: The test.
        generation: The candidate, once the test has asked for it.
        judgement: The verdict, once the test has compared.
        baseline_text: Text of the baseline; None if there is none.
        explanation: Why the comparison failed, as lines; empty if it has not.
        failed_samples: How many samples failed, as a line; empty if there is only one.
        message: The message of the failed comparison's assertion; None if something else has failed.
        assertions: Results of the row's assertions, once the test has asked for the output.
        seconds: Time that the model took, if it is known.
        metrics: Scores that metrics give the output.
        further: The same for the further samples of the case.
        wants_baseline: Whether the test has asked for the baseline.
        looked: Whether the test has read the baseline, to compare in its own way.
        failed: Whether a subtest or the test has failed so far.
    """

    case: Case
    nodeid: str
    generation: Generation | None = None
    judgement: Judgement | None = None
    baseline_text: str | None = None
    explanation: tuple[str, ...] = ()
    failed_samples: str = ""
    message: str | None = None
    assertions: tuple[AssertionResult, ...] = ()
    seconds: float | None = None
    metrics: Mapping[str, float | str] = field(default_factory=dict)
    further: tuple[Observation, ...] = ()
    model_changed: bool = False
    wants_baseline: bool = False
    looked: bool = False
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
        return max(self.samples, key=lambda seen: severity_of(seen.judgement.verdict if seen.judgement else None))

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
            stop_strings=stop_strings_of(self.case.gen_config),
            passed=passed,
            conversation=self.case.row.conversation,
            model_changed=self.model_changed,
            assertions=self.assertions,
            columns={name: str(value)[:LONGEST_CELL] for name, value in self.case.columns.items() if value is not None},
            seconds=self.seconds,
            metrics=self.metrics,
        )


class StoredBaseline:
    """The stored baseline of a case, to be compared: `llm_output == llm_baseline` is True if the output passes.

    Under an update option a difference that will be written counts as equal. So does a drifted case if there is a drift
    budget, which is checked at the end of the run.
    """

    def __init__(self, observation: Observation, group: GroupResult, settings: Settings, accepting: Accepting) -> None:
        self._observation = observation
        self._group = group
        self._settings = settings
        self._accepting = accepting
        observation.wants_baseline = True

    @property
    def text(self) -> str | None:
        """Text of the baseline, or None if there is none. Reading it counts as a comparison in the test's own way."""
        self._observation.looked = self._observation.looked or self._text is not None
        return self._text

    @property
    def token_ids(self) -> tuple[int, ...] | None:
        """Token ids of the baseline, or None if none are recorded. Reading them counts as a comparison, too."""
        tokens = self._group.baseline_tokens.get(self._observation.case.key.row)
        self._observation.looked = self._observation.looked or tokens is not None
        return tokens

    @property
    def judgement(self) -> Judgement:
        """The verdict on today's output, with its evidence; the worst one of several samples."""
        self._observation.looked = True
        judged = [self._judgement(sample.case.key.row) for sample in self._observation.samples]
        return max(judged, key=lambda judgement: judgement.verdict.severity)

    @property
    def _text(self) -> str | None:
        return self._group.baseline_texts.get(self._observation.case.key.row)

    def _judgement(self, row: RowKey) -> Judgement:
        return self._group.judgements.get(row) or Judgement(
            Verdict.ERROR, reason="the model gave no output for this case"
        )

    def __eq__(self, other: object) -> bool:
        """True if today's output passes the comparison with the baseline.

        Raises:
            TypeError: `other` is not the `llm_output` of the same test.
        """
        __tracebackhide__ = True  # pytest then points at the test's own line
        candidate = self._group.generations.get(self._observation.case.key.row)
        if not isinstance(other, Generation) or other != candidate:
            raise TypeError(
                f"llm_baseline compares with the llm_output of the same test, got {type(other).__name__}. {WRITE}"
            )
        for sample in self._observation.samples:
            row = sample.case.key.row
            sample.judgement, sample.baseline_text = self._judgement(row), self._group.baseline_texts.get(row)
        failed = [
            sample
            for sample in self._observation.samples
            if sample.judgement and not self._settings.lets_stand(sample.judgement.verdict)
        ]
        if failed:
            worst = self._observation.worst
            lines = failure_lines(worst.result(passed=False), self._accepting(worst.nodeid))
            if self._observation.further:
                of = f"{len(failed)} of {len(self._observation.samples)} samples"
                self._observation.failed_samples = f"{of}; this is number {worst.case.sample + 1}"
                lines.insert(1, self._observation.failed_samples)
            self._observation.explanation = tuple(lines)
        return not failed

    def __hash__(self) -> NoReturn:
        """Refuse to be hashed: equality here is a verdict, so sets and dicts would not work.

        Raises:
            TypeError: Always.
        """
        __tracebackhide__ = True
        raise TypeError(f"llm_baseline is not hashable: it cannot be in a set or a key. {WRITE}")

    def __getattr__(self, name: str) -> NoReturn:
        """Refuse the methods of a text, and point to `text`.

        Raises:
            AttributeError: Always.
        """
        __tracebackhide__ = True
        hint = f" llm_baseline.text.{name} is that of its text." if hasattr(str, name) else ""
        raise AttributeError(f"llm_baseline has no attribute {name!r}.{hint} {WRITE}", name=name, obj=self)

    def __bool__(self) -> NoReturn:
        """Refuse to be true or false, so that `assert llm_baseline` cannot pass.

        Raises:
            TypeError: Always.
        """
        __tracebackhide__ = True
        raise TypeError(f"llm_baseline has no truth value: it is there to be compared. {WRITE}")

    def __len__(self) -> NoReturn:
        """Refuse to have a length, and point to `text`.

        Raises:
            TypeError: Always.
        """
        __tracebackhide__ = True
        raise TypeError(f"llm_baseline has no length; len(llm_baseline.text) is that of its text. {WRITE}")

    def __contains__(self, part: object) -> bool:
        """Refuse `in`, and point to `text`.

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
        text = "none is recorded" if self._text is None else harmless(self._text)
        return f"<baseline {self._observation.case.key}: {text}>"
