"""Messages about failed comparisons and the drift budget. Pure.

The first line of a message has the verdict in its first 40 characters, because pytest cuts it at the terminal's width.
"""

from __future__ import annotations

from pytest_llmcompare.comparison.statistics import Rate
from pytest_llmcompare.comparison.summary import Summary
from pytest_llmcompare.judgement import WORST_FIRST, Judgement, Likelihood, Verdict
from pytest_llmcompare.records import CaseResult
from pytest_llmcompare.text import (
    count,
    disarm,
    duration,
    number,
    per_second,
    percent,
    quoted,
    share,
)

from .assertion_lines import assertion_lines, broken, expect_failed
from .text_diff import BASELINE, CANDIDATE, difference, single


def budget_sentence(rate: Rate, budget: float, *, over: bool, origin: str = "") -> str:
    """Hold one model against the drift budget: drifted cases, their share with its interval, and the budget.

    Args:
        rate: Cases that drifted, of those that could.
        budget: Percentage of cases that may drift.
        over: Whether more drifted.
        origin: Where the budget was given.
    """
    if not rate.total:
        given = f" ({origin})" if origin else ""
        return f"no case was compared with a baseline, so the drift budget of {budget:g}%{given} was not checked"
    span = f"95% interval {percent(rate.interval.low)} to {percent(rate.interval.high)}"
    drifted = f"{rate.count:,} of {count(rate.total, 'case')} drifted, {share(rate.count, rate.total)} ({span})"
    return f"{drifted}, {'over' if over else 'within'} the drift budget of {budget:g}%"


TOKEN = 16  # columns of a token in the first line
WIDE_TOKEN = 40  # columns of a token in the sentence below

ENDS = frozenset({"<eos>", "<length>", "<stop>", "<end>"})
"""Words in place of a token if the output had ended."""

EQUAL_TEXTS = "  The texts are equal; the tokens or the finish reasons are not."
UNITS = {"tok": "token", "char": "character"}


def failure_lines(result: CaseResult, command: str) -> list[str]:
    """Explain a failed comparison: verdict, both texts, the command that settles it.

    Args:
        result: The failed case.
        command: The pytest command that accepts today's output.
    """
    advice = _advice(result, command)
    return [first_line(result), *reason_lines(result)[1:], *assertion_lines(result.assertions), *advice]


def first_line(result: CaseResult) -> str:
    """The verdict of a failed comparison, and the first assertion that failed: `drift ...; expect failed: json`."""
    return "; ".join(filter(None, (reason_lines(result)[0], expect_failed(result.assertions))))


def reason_lines(result: CaseResult) -> list[str]:
    """Explain a failed comparison: verdict and both texts."""
    judgement = result.judgement or Judgement(Verdict.ERROR, reason="the test ended before it compared")
    return [headline(judgement), *_sentence(result, judgement), *_texts(result, judgement)]


def headline(judgement: Judgement) -> str:
    """Put a verdict on one line: `drift @tok 17/118 'full' -> 'whole'`; positions count from 1."""
    if judgement.verdict is Verdict.DRIFTED and judgement.position is not None:
        return f"drift {short_place(judgement)}{change(judgement, TOKEN)}{_margin(judgement)}"
    if judgement.verdict is Verdict.SHIFTED and judgement.likelihood:
        return f"shift {number(judgement.likelihood.rms)} nats (noise {number(judgement.likelihood.band)})"
    reason = disarm(judgement.reason.strip().partition("\n")[0])
    verdict = "drift" if judgement.verdict is Verdict.DRIFTED else str(judgement.verdict)
    return f"{verdict}: {reason}" if reason else verdict


def read_the_same(answers: int, most: Likelihood, where: str = "") -> str:
    """Describe silent drift: `2 answers read the same but are not from the same model: log-probs moved 470 times ...`.

    Args:
        answers: Number of answers with it.
        most: The one whose log-probs moved most.
        where: Which one that is, after its figure.
    """
    read, are = ("reads", "is") if answers == 1 else ("read", "are")
    up_to = "" if answers == 1 else "up to "
    times = "more than noise"
    if most.band > 0:
        factor = float(f"{most.rms / most.band:.2g}")
        times = f"{factor:,.0f} times {times}" if factor >= 10 else f"{factor:g} times {times}"
    figures = f"{number(most.rms)} nats per token{where}; noise is at most {number(most.band)}"
    return (
        f"{count(answers, 'answer')} {read} the same but {are} not from the same model: "
        f"log-probs moved {up_to}{times} ({figures})"
    )


def open_counts(summary: Summary) -> str:
    """Number of outputs to accept, with the verdicts if not all of them drifted: `3 (1 drifted, 2 shifted)`."""
    counts = {verdict: summary.open(verdict) for verdict in WORST_FIRST}
    named = [f"{number:,} {verdict.look.label}" for verdict, number in counts.items() if number]
    return f"{sum(counts.values()):,}" + (
        "" if named == [f"{counts[Verdict.DRIFTED]:,} drifted"] else f" ({', '.join(named)})"
    )


def test_name(nodeid: str) -> str:
    """Name of a test without the path of its file."""
    path, bracket, parameters = nodeid.partition("[")
    return disarm(path.rpartition("::")[2] + bracket + parameters)


def short_place(judgement: Judgement) -> str:
    """`@tok 17/118 `, `after tok 118 ` if the output goes on there; empty if the position is unknown."""
    if judgement.position is None:
        return ""
    if judgement.length is not None and judgement.position >= judgement.length:
        return f"after {judgement.unit} {judgement.length} "
    length = "" if judgement.length is None else f"/{judgement.length}"
    return f"@{judgement.unit} {judgement.position + 1}{length} "


def change(judgement: Judgement, columns: int) -> str:
    """`'full' -> 'whole'`."""
    return f"{token(judgement.baseline_token, columns)} -> {token(judgement.candidate_token, columns)}"


def _margin(judgement: Judgement) -> str:
    """` margin 1.8`; empty if it is unknown."""
    return "" if judgement.margin is None else f" margin {number(judgement.margin)}"


def token(text: str, columns: int) -> str:
    """Quote a token; words for the end of an output get no quotes."""
    return text if text in ENDS else quoted(text, columns)


def _sentence(result: CaseResult, judgement: Judgement) -> list[str]:
    """Name of the test and its verdict, with the evidence."""
    name = test_name(result.nodeid)
    if judgement.verdict is Verdict.DRIFTED:
        if judgement.position is None:  # the reason is all there is, and begins in the first line
            return [f"{name} drifted", *evidence(judgement), *_reason(judgement, 1)]
        what = f"{name} drifted {_at(judgement)}: {change(judgement, WIDE_TOKEN)}"
        return [what, *evidence(judgement), *_reason(judgement)]
    if judgement.verdict is Verdict.SHIFTED:
        return [f"{name} reads the same but is not from the same model", *evidence(judgement)]
    if judgement.verdict is Verdict.MISSING:
        return [f"{name} has nothing to compare with; today's output:", *_reason(judgement, 1)]
    if judgement.verdict is Verdict.STALE:
        return [f"{name} is not comparable: {disarm(judgement.reason)}"]
    return [f"{name} compared nothing", *_reason(judgement, 1)]


def _reason(judgement: Judgement, start: int = 0) -> list[str]:
    """The lines of a judgement's reason from `start` on."""
    lines = judgement.reason.strip().split("\n") if judgement.reason else []
    return [f"  {disarm(line)}" for line in lines[start:]]


def evidence(judgement: Judgement) -> list[str]:
    """Margin and log-prob differences, in nats."""
    lines = []
    if judgement.margin is not None and judgement.tolerance is not None:
        flips = judgement.mismatches or 0
        more = f"; {flips} of {judgement.length} tokens would differ" if flips > 1 else ""
        lines.append(f"  margin {number(judgement.margin)} nats (tie: up to {number(judgement.tolerance)}){more}")
    if (moved := judgement.likelihood) is not None and not moved.is_noise:
        lines.append(
            f"  likelihood drift {number(moved.rms)} nats per token (noise: up to {number(moved.band)}), "
            f"worst {moved.worst:+.2g} at token {moved.position + 1}"
        )
    return lines


def where(judgement: Judgement) -> str:
    """Describe a position: `token 17 of 118`, or that it is after the baseline's end; empty if it is unknown."""
    unit = UNITS.get(judgement.unit, judgement.unit)
    if judgement.position is None:
        return ""
    if _is_after_end(judgement):
        return f"after the baseline's end ({count(judgement.length or 0, unit)})"
    of = "" if judgement.length is None else f" of {judgement.length}"
    return f"{unit} {judgement.position + 1}{of}"


def _at(judgement: Judgement) -> str:
    """A known position with its preposition: `at token 17 of 118`."""
    return f"{'' if _is_after_end(judgement) else 'at '}{where(judgement)}"


def _is_after_end(judgement: Judgement) -> bool:
    """True if the output goes on after the baseline's end."""
    position, length = judgement.position, judgement.length
    return position is not None and length is not None and position >= length


def _texts(result: CaseResult, judgement: Judgement) -> list[str]:
    """Baseline and candidate; one of them alone if the other does not exist."""
    candidate = None if result.generation is None else result.generation.text
    if result.baseline_text is not None and candidate is not None:
        drifted = judgement.verdict is Verdict.DRIFTED and judgement.position is not None
        return difference(result.baseline_text, candidate, why_equal=EQUAL_TEXTS if drifted else "")
    if candidate is not None:
        return single(CANDIDATE, candidate)
    return [] if result.baseline_text is None else single(BASELINE, result.baseline_text)


def _advice(result: CaseResult, command: str) -> list[str]:
    """The command that settles the case; it writes nothing while an assertion fails."""
    verdict = result.judgement.verdict if result.judgement else None
    when = " once its assertions pass" if broken(result.assertions) else ""
    if verdict is Verdict.MISSING:
        return [f"Record{when}: {disarm(command)}"]
    if verdict in (Verdict.DRIFTED, Verdict.STALE, Verdict.SHIFTED):
        return [f"Accept{when}: {disarm(command)}"]
    return []


__all__ = [
    "count",
    "duration",
    "failure_lines",
    "first_line",
    "headline",
    "per_second",
    "reason_lines",
    "share",
    "test_name",
]
