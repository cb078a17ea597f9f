"""Entries of a JUnit file: properties of tests, and test cases for thresholds and for other reasons to fail. Pure.

All texts are escaped so that XML can hold them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pytest_llmcompare.comparison.summary import Summary, verdict_of
from pytest_llmcompare.judgement import AssertionResult, ThresholdResult
from pytest_llmcompare.records import CaseResult, GroupKey
from pytest_llmcompare.text import cut, disarm, escape, number

from .model_sentences import failed_verdict
from .model_sentences import sentence as sentence_of
from .terminal_findings import sentence
from .threshold_lines import threshold_line, value_of

TOKEN = 100  # columns of a token
NAME = 100  # columns of a fault in the name of its test case


class JUnitCase(NamedTuple):
    """A test case without a test: a threshold, the drift budget of a model, or another reason to fail.

    Attributes:
        nodeid: Its name, in the form of pytest's node ids.
        file: Folder of the test file, for a threshold; else `.`.
        fault: Why it failed; empty if it passed.
        properties: Names and values.
    """

    nodeid: str
    file: str
    fault: str
    properties: tuple[tuple[str, str], ...] = ()


def checks(summary: Summary) -> Iterator[JUnitCase]:
    """Yield thresholds, drift budget and model verdicts, passed or failed, then the other reasons for a failed run."""
    reported = set()
    for key, gates in summary.gates:
        for gate in gates:
            fault = "" if gate.passed else threshold_line(key, gate)
            reported.add(fault)
            where = "" if key.folder == "." else f"{key.folder}/"
            name = f"{where}{key.table}/{key.model}: {gate.metric} {gate.wanted}"
            yield JUnitCase(node("threshold", name), key.folder, fault, threshold_properties(key, gate))
    for check in summary.budgets:
        fault = sentence(check) if check.fails else ""
        reported.add(fault)
        yield JUnitCase(node("drift_budget", check.model or "all models"), ".", fault)
    for key, verdict in summary.model_verdicts:
        line = failed_verdict(key, verdict)
        fault = line if line in summary.faults else ""
        reported.add(fault)
        where = "" if key.folder == "." else f"{key.folder}/"
        facts = (
            ("llmcompare.model_verdict", verdict.finding.value),
            ("llmcompare.sentence", sentence_of(key, verdict)),
        )
        yield JUnitCase(node("model_verdict", f"{where}{key.table}/{key.model}"), key.folder, fault, facts)
    for fault in summary.faults:
        if fault not in reported:
            yield JUnitCase(node("run", cut(fault.partition("\n")[0], NAME)), ".", fault)


def node(kind: str, name: str) -> str:
    """Make a node id with any name in it."""
    return f"llmcompare::{kind}[{disarm(name)}]"


def threshold_properties(key: GroupKey, gate: ThresholdResult) -> tuple[tuple[str, str], ...]:
    """Return names and values of a threshold; unknown ones are left out."""
    facts = {
        "model": disarm(key.model),
        "table": disarm(key.table),
        "metric": disarm(gate.metric),
        "value": "" if gate.value is None else value_of(gate),
        "wanted": gate.wanted,
        "cases": str(gate.cases),
        "total": str(gate.total),
    }
    return tuple((f"llmcompare.{name}", value) for name, value in facts.items() if value)


def assertion_property(result: AssertionResult) -> str:
    """An assertion with its result: `passed contains: 30 days`, `FAILED json (the output is not JSON ...)`."""
    text = cut(disarm(result.text), NAME)
    return f"passed {text}" if result.passed else f"FAILED {text} ({cut(disarm(result.why), NAME)})"


def properties(result: CaseResult) -> list[tuple[str, str]]:
    """Return names and values of a case in a fixed order; unknown ones are left out. Positions count from 1."""
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
    if result.assertions:
        facts["assertions"] = f"{sum(one.passed for one in result.assertions)} of {len(result.assertions)} hold"
        facts |= {f"expect.{number}": assertion_property(one) for number, one in enumerate(result.assertions, 1)}
    if generation is not None:
        facts |= {
            "tokens": "" if generation.token_ids is None else len(generation.token_ids),
            "stop": disarm(generation.stop),
        }
    return [(f"llmcompare.{name}", str(value)) for name, value in facts.items() if value != ""]
