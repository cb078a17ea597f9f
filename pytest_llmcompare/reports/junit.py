"""What a case says of itself in a JUnit file: one property per fact, all of it text that XML can hold. Pure."""

from __future__ import annotations

from pytest_llmcompare.records import CaseResult

from .escaping import cut, disarm, escape
from .quantities import number
from .summary import verdict_of

TOKEN = 100  # columns of a token


def properties(result: CaseResult) -> list[tuple[str, str]]:
    """Names and values, in a fixed order; facts that a case does not have are left out. Positions count from 1."""
    verdict = verdict_of(result)
    judgement, generation = result.judgement, result.generation
    facts: dict[str, object] = {
        "model": disarm(result.key.group.model),
        "table": disarm(result.key.group.table),
        "prompt_id": disarm(result.key.prompt_id),
        "variant": disarm(result.key.variant),
        "verdict": verdict or "not compared",
    }
    if judgement is not None:
        facts |= {
            "position": "" if judgement.position is None else judgement.position + 1,
            "length": "" if judgement.length is None else judgement.length,
            "unit": judgement.unit if judgement.length is not None else "",
            "baseline_token": cut(escape(judgement.baseline_token), TOKEN),
            "candidate_token": cut(escape(judgement.candidate_token), TOKEN),
            "margin": number(judgement.margin),
            "mismatches": "" if judgement.mismatches is None else judgement.mismatches,
            "likelihood_drift": number(None if judgement.likelihood is None else judgement.likelihood.rms),
            "reason": disarm(judgement.reason),
        }
    if generation is not None:
        facts |= {
            "tokens": "" if generation.token_ids is None else len(generation.token_ids),
            "stop": disarm(generation.stop),
        }
    return [(f"llmcompare.{name}", str(value)) for name, value in facts.items() if value != ""]
