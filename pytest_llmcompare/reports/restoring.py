"""Records made again from a report's data, so that what is saved can be drawn. Pure."""

from __future__ import annotations

from pytest_llmcompare.generations import Generation
from pytest_llmcompare.judgements import Judgement, Likelihood, Verdict
from pytest_llmcompare.records import CaseKey, CaseResult, GroupKey

from .document import Document


def case_result(case: Document) -> CaseResult:
    """What a test found, as far as messages need it."""
    said, judged = case["candidate"], case["judgement"]
    return CaseResult(
        CaseKey(GroupKey(case["folder"], case["table"], case["model"]), case["prompt_id"], case["variant"]),
        case["test"],
        None if said is None else Generation(said["text"], stop=said["stop"]),
        None if judged is None else judgement(judged),
        case["baseline"],
        target=case["target"],
        passed=case["passed"],
    )


def judgement(judged: Document) -> Judgement:
    """A verdict with its evidence."""
    moved = judged["likelihood"]
    usable = moved is not None and None not in moved.values()
    rest = {**judged, "verdict": Verdict(judged["verdict"]), "likelihood": Likelihood(**moved) if usable else None}
    return Judgement(**rest)
