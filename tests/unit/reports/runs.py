"""Runs as reports in files take them: drifts of every kind, and texts that want to do harm."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pytest_llmcompare.comparison.summary import summarize
from pytest_llmcompare.generation import Generation, Path
from pytest_llmcompare.judgement import Judgement, Likelihood, ThresholdResult, Verdict
from pytest_llmcompare.records import CaseKey, CaseResult, GroupKey, GroupResult
from pytest_llmcompare.reports.report import Report
from pytest_llmcompare.reports.report_data import ReportData, report_data
from pytest_llmcompare.settings import Settings

PIECES = ("Eight", " legs", " and", " no", " wings", ".")
TIE = Judgement(Verdict.NEAR_TIE, 2, 6, " and", " plus", margin=0.0004, mismatches=1, tolerance=0.001)
DRIFT = Judgement(
    *(Verdict.DRIFTED, 1, 6, " legs", " arms"),
    margin=1.84,
    mismatches=2,
    tolerance=0.001,
    likelihood=Likelihood(0.7, 0.1, -1.5, 1, 1e-5),
)
SHIFT = Judgement(Verdict.SHIFTED, length=6, likelihood=Likelihood(0.0031, 0.001, -0.006, 3, 1e-5))
MISSING = Judgement(Verdict.MISSING, reason="no baseline is recorded for this case")
STALE = Judgement(Verdict.STALE, reason="the prompt or its examples changed since the baseline was recorded")
IDENTICAL = Judgement(Verdict.IDENTICAL, length=6)

HOSTILE = (
    "<script>window.hacked = 1</script></script><img src=x onerror='window.hacked = 2'>",
    "]]><!-- --></pre><b>bold</b> &amp; <!--<script>",
    "\x1b[31mred\x1b[0m \x07 \u202egnp.exe\u2066 \u200b \u2028 \u2029 \x00 \ud800",
    "::error::x\n##[group]y\n@octocat `` ``` | a \\| b | <h1>no</h1>\n```\n# heading\n[link](javascript:alert(1))",
)


def generation(pieces: tuple[str, ...] = PIECES) -> Generation:
    """An output whose tokens are known."""
    logprobs = tuple(-0.05 * (at + 1) ** 2 for at in range(len(pieces)))
    tokens = tuple(range(len(pieces)))
    path = Path(tokens, tokens, logprobs, (0.0,) * len(pieces), (math.inf,) * len(pieces))
    lengths = tuple(map(len, pieces))
    return Generation("".join(pieces), tokens, logprobs, "eos", (("device", "cpu"),), path=path, lengths=lengths)


def found(
    prompt_id: str,
    judgement: Judgement | None,
    said: Generation | None,
    baseline: str | None = "".join(PIECES),
    *,
    model: str = "small",
    prompt: str = "Q: How many legs?\nA:",
) -> CaseResult:
    """What the test of a case found."""
    return CaseResult(
        CaseKey(GroupKey("tests", "zoo", model), prompt_id),
        f"tests/test_zoo.py::test_zoo[{model}-{prompt_id}]",
        said,
        judgement,
        baseline,
        input=prompt,
        target="Eight.",
        passed=judgement is not None and judgement.verdict in (Verdict.IDENTICAL, Verdict.NEAR_TIE, Verdict.SHIFTED),
    )


ARMS = ("Eight", " arms", " and", " two", " wings", ".")


def mixed() -> list[CaseResult]:
    """A case of each verdict, the first with a second model."""
    error = Judgement(Verdict.ERROR, reason="the model is gone")
    return [
        found("spider", DRIFT, generation(ARMS)),
        found("spider", IDENTICAL, generation(), model="large"),
        found("ant", TIE, generation()),
        found("bee", SHIFT, generation()),
        found("cat", MISSING, generation(), None),
        found("dog", STALE, generation()),
        found("elk", error, None, None),
        found("fox", IDENTICAL, generation()),
        found("gnu", None, generation(), None),
    ]


def drawn(
    results: list[CaseResult], groups: tuple[GroupResult, ...] = (), *notes: str, faults: Sequence[str] = ()
) -> ReportData:
    """The report of a run of two models."""
    summary = summarize(results, groups, Settings(), notes=notes, models=("small", "large"), faults=faults)
    return report_data(Report(summary, groups, passed=False, command="pytest --llm-models=small,large"))


def hostile_results() -> list[CaseResult]:
    """Names, prompts, outputs and reasons that all want to do harm."""
    results = []
    for at, text in enumerate(HOSTILE):
        reason = Judgement(Verdict.DRIFTED, 0, 3, text, text[::-1], margin=1.0, tolerance=0.1, reason=text)
        results.append(found(f"{at}{text}", reason, Generation(text), text + "!", model=f"m{text}", prompt=text))
    return results


def hostile() -> ReportData:
    """The same with notes, faults and gates that want to do harm."""
    gates = tuple(ThresholdResult(text, ">=1", None, False, 1, 2, text) for text in HOSTILE)
    groups = (GroupResult(GroupKey("tests", "zoo", HOSTILE[0]), gates=gates),)
    return drawn(hostile_results(), groups, *HOSTILE, faults=[f"{text}!" for text in HOSTILE])
