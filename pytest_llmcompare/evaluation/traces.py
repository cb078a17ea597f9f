"""A trace per case in MLflow, so that its GenAI pages show answers with their verdicts (`traces = true`)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import mlflow
from mlflow.entities import AssessmentSource, AssessmentSourceType, SpanType

from pytest_llmcompare.compat import active_span
from pytest_llmcompare.judgement import COMPARED
from pytest_llmcompare.records import Case
from pytest_llmcompare.text import error_line

from .dataset import storable
from .scorers import inputs_of
from .verdicts import Judged

SOURCE = AssessmentSource(source_type=AssessmentSourceType.CODE, source_id="pytest-llmcompare")
LONGEST_NAME = 100  # characters of an assessment's name


def log_traces(cases: Sequence[Case], judged: Judged, seconds: Mapping[int, float]) -> str:
    """Log a trace per case in the active run: prompt and answer, the verdict and assertions as assessments.

    Args:
        cases: The cases.
        judged: Their answers.
        seconds: Time that the model took for a case, by its index, where it is known; else a trace has no length.

    Returns:
        A note if that failed, which does not fail the evaluation; else empty.
    """
    try:
        for index, case in enumerate(cases):
            _log_trace(case, judged, seconds.get(index, 0.0))
        mlflow.flush_trace_async_logging()
    except Exception as error:  # of any store or exporter
        return f"table {cases[0].key.group.table!r}: the traces could not be logged: {error_line(error)}"
    return ""


def _log_trace(case: Case, judged: Judged, seconds: float) -> None:
    """Log the trace of a case, as if it had been asked just now."""
    row, group = case.key.row, case.key.group
    facts = {"prompt_id": row.prompt_id, "variant": row.variant, "table": group.table, "model": group.model}
    now = time.time_ns()
    span = mlflow.start_span_no_context(
        storable(f"{group.model}: {row}"),
        span_type=SpanType.LLM,
        inputs={name: storable(value) for name, value in inputs_of(case).items()},
        attributes={name: storable(value) for name, value in facts.items() if value},
        start_time_ns=now - round(seconds * 1e9),
    )
    if row in judged.generations:
        span.set_outputs(storable(judged.text(case)))
    else:
        span.set_status("ERROR")
    with active_span(span):
        if case.target is not None:
            mlflow.log_expectation(trace_id=span.trace_id, name="expected_response", value=storable(case.target))
        judgement = judged.judgements.get(row)
        if judgement is not None and judgement.verdict in COMPARED:
            _assess(span.trace_id, "verdict", str(judgement.verdict), judgement.reason)
        for one in judged.assertions.get(row, ()):
            _assess(span.trace_id, f"expect: {one.text}"[:LONGEST_NAME], one.passed, one.why)
    span.end(end_time_ns=now)


def _assess(trace_id: str, name: str, value: str | bool, why: str) -> None:
    """Add an assessment to the trace that is being made, which needs no request of its own."""
    mlflow.log_feedback(
        trace_id=trace_id, name=storable(name), value=value, source=SOURCE, rationale=storable(why) or None
    )
