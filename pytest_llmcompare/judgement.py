"""Verdicts: what they are called, how severe they are, how reports show them; and the evidence of a judgement. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Self


class Look(NamedTuple):
    """How reports show cases of one kind.

    Attributes:
        label: Heading of a column, and name in a count: `2 near tie`.
        meaning: What the sign stands for, in a legend.
        sign: One character before an output.
        markup: Colour of a line in a terminal; empty for none.
        css: Colours in the HTML report, on a light page and on a dark one.
    """

    label: str
    meaning: str
    sign: str
    markup: str
    css: tuple[str, str]


NO_VERDICT = Look("not compared", "not compared", " ", "", ("#575d69", "#a5acb9"))
"""Cases that no test compared."""

ACCEPTED = Look("accepted", "now the baseline", "+", "", ("#2853c8", "#93b4ff"))
"""Cases whose output an update option made the baseline, with any verdict."""


class Verdict(StrEnum):
    """Result of comparing a candidate with its baseline, in the order in which reports show them.

    Attributes:
        severity: Rank; if several tests compare a case, the most severe verdict counts.
        predicates: Predicates of a sentence on one output and on several: `has no baseline`, `have no baseline`.
        look: How reports show it.
    """

    severity: int
    predicates: tuple[str, str]
    look: Look

    IDENTICAL = (
        "identical",
        1,
        ("is identical", "are identical"),
        Look("identical", "as its baseline", "=", "", ("#2b6a3a", "#86d69a")),
    )
    NEAR_TIE = (
        "near_tie",
        2,
        ("is a near tie", "are near ties"),
        Look("near tie", "near tie", "≈", "", ("#0a6570", "#6fd3df")),
    )
    SHIFTED = (
        "shifted",
        3,
        ("shifted", "shifted"),
        Look("shifted", "shifted likelihood", "^", "yellow", ("#7a4a9c", "#d0a6f2")),
    )
    DRIFTED = "drifted", 6, ("drifted", "drifted"), Look("drifted", "drifted", "≠", "red", ("#b3261e", "#ff9d92"))
    MISSING = (
        "missing",
        4,
        ("has no baseline", "have no baseline"),
        Look("missing", "no baseline", "?", "yellow", ("#6a5400", "#e2c766")),
    )
    STALE = (
        "stale",
        5,
        ("has a stale baseline", "have stale baselines"),
        Look("stale", "stale baseline", "*", "yellow", ("#7b4a00", "#f0b566")),
    )
    ERROR = (
        "error",
        7,
        ("could not be compared", "could not be compared"),
        Look("error", "error", "!", "red", ("#9c1458", "#ff8fc0")),
    )

    def __new__(
        cls, value: str, severity: int = 0, predicates: tuple[str, str] = ("", ""), look: Look = NO_VERDICT
    ) -> Self:
        """Make a verdict of its value and attributes; the defaults are for type checks of `Verdict("drifted")`."""
        verdict = str.__new__(cls, value)
        verdict._value_ = value
        verdict.severity, verdict.predicates, verdict.look = severity, predicates, look
        return verdict


COMPARED = (Verdict.IDENTICAL, Verdict.NEAR_TIE, Verdict.SHIFTED, Verdict.DRIFTED)
"""Verdicts on an output that could be compared: the denominator of a drift rate."""

MATCHING = (Verdict.IDENTICAL, Verdict.NEAR_TIE)
"""Verdicts that always pass."""

UNDECIDED = (Verdict.DRIFTED, Verdict.STALE, Verdict.MISSING, Verdict.SHIFTED)
"""Verdicts on an output that has to be accepted or rejected; `--llm-update` accepts it."""

WORST_FIRST = tuple(sorted(Verdict, key=lambda verdict: -verdict.severity))


def severity_of(verdict: Verdict | None) -> int:
    """Severity of a verdict; 0 for a case that no test compared."""
    return 0 if verdict is None else verdict.severity


def look_of(verdict: Verdict | None, *, accepted: bool = False) -> Look:
    """Show a case by its verdict, or as accepted."""
    return ACCEPTED if accepted else NO_VERDICT if verdict is None else verdict.look


@dataclass(frozen=True)
class Likelihood:
    """Differences between today's log-probs of the baseline's tokens and those recorded with the baseline.

    Attributes:
        rms: Root mean square of the differences (nats); signs would cancel in a mean.
        mean: Mean of the differences, now minus then; for sampled outputs an estimate of the divergence per token.
        worst: The largest difference by magnitude.
        position: Index of its token.
        band: Largest `rms` that counts as numerical noise here.
        tokens: Number of tokens compared; 0 in records of versions that did not store it.
        as_read: Whether both are log-probs of one pass before logits processors, low-precision weights in float32.
    """

    rms: float
    mean: float
    worst: float
    position: int
    band: float
    tokens: int = 0
    as_read: bool = False

    @property
    def is_noise(self) -> bool:
        """True if within the noise band; NaN is never noise."""
        return self.rms <= self.band


@dataclass(frozen=True)
class Judgement:
    """A verdict with its evidence.

    Attributes:
        verdict: The verdict.
        position: Index of the first token that differs; of the first character if the model exposes no tokens.
        length: Number of the baseline's tokens or characters.
        baseline_token: Text of the baseline's token at `position`; empty if the baseline had ended.
        candidate_token: Text of the candidate's token at `position`; empty if the candidate had ended.
        unit: What `position` and `length` count: `tok` or `char`.
        margin: Log-prob of today's argmax at `position` minus that of the baseline's token (nats); None if unknown.
        mismatches: Number of the baseline's tokens that are not today's argmax; None if unknown.
        tolerance: Largest margin (nats) that counts as a tie; None if margins do not count.
        likelihood: How far log-probs moved; None if one side has none.
        reason: For `stale`, `missing` and `error` one sentence: what does not fit, and how to fix it. With
            `similarity=`: how similar the texts are.
    """

    verdict: Verdict
    position: int | None = None
    length: int | None = None
    baseline_token: str = ""
    candidate_token: str = ""
    unit: str = "tok"
    margin: float | None = None
    mismatches: int | None = None
    tolerance: float | None = None
    likelihood: Likelihood | None = None
    reason: str = ""


@dataclass(frozen=True)
class ThresholdResult:
    """Result of a threshold on a metric of one table and model.

    Attributes:
        metric: Name of the metric, as the threshold names it.
        wanted: The condition: `>=0.8`.
        value: Value of the metric, or None.
        passed: Whether the value meets the condition.
        cases, total: Number of cases that it was computed over, and of cases of the whole table.
        why: Why there is no value, or a remark on one that fails, as a sentence; else empty.
    """

    metric: str
    wanted: str
    value: float | None
    passed: bool
    cases: int
    total: int
    why: str = ""


@dataclass(frozen=True)
class AssertionResult:
    """Result of one assertion of a row on its output.

    Attributes:
        text: The assertion: `contains: 30 days`.
        passed: Whether it holds.
        why: Why it does not, in a few words that may quote the output; empty if it does.
    """

    text: str
    passed: bool
    why: str = ""

    @property
    def kind(self) -> str:
        """What is asserted: `contains`, without a number in parentheses."""
        return self.text.partition(":")[0].partition("(")[0]


@dataclass(frozen=True)
class AnswerCount:
    """Number of answers of a model to a table, and how many of them are from the answer cache."""

    asked: int = 0
    cached: int = 0


class Finding(StrEnum):
    """Whether a model gives other log-probs than the one that its baselines were recorded with."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    UNKNOWN = "cannot tell"


@dataclass(frozen=True)
class ModelVerdict:
    """Verdict on a model, from the log-probs of all tokens of a table's baselines together.

    A change of weights, quantization or code moves all of them by a little, which no single case shows.

    Attributes:
        finding: The verdict.
        moved: Root mean square of the differences, now minus then (nats); None if there are no log-probs.
        noise: The noise measured when recording (nats, root mean square); None if it was not measured.
        limit: Largest `moved` that counts as noise (nats).
        tokens: Number of tokens compared.
        cases: Number of cases that they are of.
        same_weights: Whether the fingerprints of the weights agree; None if one is unknown.
        others: Number of further baselines that were recorded with other weights or in another environment.
        reason: Why it cannot tell; empty otherwise.
        answered: Number of answers, and how many of them are from the answer cache.
        beyond_noise: Number of outputs that show a change whatever their log-probs: they end at another token, or the
            model may not choose one of the baseline's tokens any more.
    """

    finding: Finding
    moved: float | None = None
    noise: float | None = None
    limit: float | None = None
    tokens: int = 0
    cases: int = 0
    same_weights: bool | None = None
    others: int = 0
    reason: str = ""
    answered: AnswerCount = AnswerCount()
    beyond_noise: int = 0

    @property
    def cached(self) -> int:
        """Number of answers from the answer cache."""
        return self.answered.cached

    @property
    def asked(self) -> int:
        """Number of answers."""
        return self.answered.asked
