"""Records made again from the plain data of a report, so that messages about them can be drawn. Pure."""

from __future__ import annotations

from pytest_llmcompare.comparison.statistics import Interval, Rate
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.judgement import Judgement, Likelihood, Verdict
from pytest_llmcompare.records import CaseKey, CaseResult, GroupKey

from .report_data import ReportData


def case_result(case: ReportData) -> CaseResult:
    """Restore the result of a test from a report, with the fields that messages use."""
    output, judged = case["candidate"], case["judgement"]
    return CaseResult(
        CaseKey(GroupKey(case["folder"], case["table"], case["model"]), case["prompt_id"], case["variant"]),
        case["test"],
        None if output is None else Generation(output["text"], stop=output["stop"]),
        None if judged is None else judgement_of(judged),
        case["baseline"],
        target=case["target"],
        passed=case["passed"],
    )


def judgement_of(judged: ReportData) -> Judgement:
    """Restore a judgement from a report; a likelihood that holds no numbers is left out."""
    moved = judged["likelihood"]
    usable = moved is not None and None not in moved.values()
    likelihood = Likelihood(**moved) if usable else None
    return Judgement(**{**judged, "verdict": Verdict(judged["verdict"]), "likelihood": likelihood})


def rate_of(rate: ReportData) -> Rate:
    """Restore a rate from a report."""
    return Rate(rate["count"], rate["total"], Interval(rate["low"], rate["high"]))
