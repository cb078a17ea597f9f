"""`traces = true`: a trace per case, so that MLflow's GenAI pages show answers with their verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Trace
from mlflow.entities.trace_location import MlflowExperimentLocation

from .evaluations import CASES, Suite, made_template, suite

__all__ = ["made_template", "suite"]


def traces(suite: Suite) -> list[Trace]:
    """The traces of the experiment, the newest first."""
    (experiment,) = (one for one in suite.client.search_experiments() if one.name == "trivia")
    return list(suite.client.search_traces(locations=[experiment.experiment_id]))


def assessed(trace: Trace) -> dict[str, Any]:
    """The assessments of a trace, by name."""
    named: list[Any] = trace.info.assessments
    return {one.name: one.value for one in named}


def test_none_by_default(suite: Suite) -> None:
    """They cost time, so they are asked for."""
    suite.compare()
    suite.run("m=echo:")
    assert traces(suite) == []


def test_a_trace_per_case(suite: Suite) -> None:
    """Prompt, answer, expected answer; verdict and assertions as assessments; linked to the run."""
    (suite.path / "pyproject.toml").write_text("[tool.llmcompare]\ntraces = true\n", encoding="utf-8")
    cases = [{**CASES[0], "expect": "contains: sky"}, {**CASES[1], "expect": "contains: sky"}]
    suite.compare(cases=cases)
    suite.run("m=echo:")
    assert len(traces(suite)) == 2
    suite.run("m=echo:", args=())
    assert len(traces(suite)) == 4
    by_prompt = {trace.data.spans[0].inputs["input_text"]: trace for trace in traces(suite)[:2]}
    assert set(by_prompt) == {case["input_text"] for case in cases}
    trace = by_prompt[cases[0]["input_text"]]
    assert trace.data.spans[0].outputs == "What color is the sky?"
    assert trace.data.spans[0].span_type == "LLM"
    assert trace.info.trace_metadata["mlflow.sourceRun"] in {run.info.run_id for run in suite.runs("trivia")}
    values = assessed(trace)
    assert values == {"expected_response": " Blue.", "verdict": "identical", "expect: contains: sky": True}
    other = assessed(by_prompt[cases[1]["input_text"]])
    assert other["expect: contains: sky"] is False


def test_a_trace_is_as_long_as_the_answer_took(suite: Suite) -> None:
    """MLflow's pages show and sort by it."""
    (suite.path / "pyproject.toml").write_text("[tool.llmcompare]\ntraces = true\n", encoding="utf-8")
    suite.compare(cases=CASES[:2])
    suite.run("m=echo:?delay=0.05")
    assert [(trace.info.execution_duration or 0) >= 50 for trace in traces(suite)] == [True, True]


def test_the_users_own_tracing_goes_on(suite: Suite) -> None:
    """A destination that the user has set in this process holds again; our traces go where the run goes."""
    mine = suite.client.create_experiment("mine")
    (suite.path / "pyproject.toml").write_text("[tool.llmcompare]\ntraces = true\n", encoding="utf-8")
    suite.compare(cases=CASES[:1])
    mlflow.tracing.set_destination(MlflowExperimentLocation(mine))
    try:
        suite.run("m=echo:")
        with mlflow.start_span("of the user"):
            pass
        mlflow.flush_trace_async_logging()
    finally:
        mlflow.tracing.reset()
    assert [trace.data.spans[0].name for trace in suite.client.search_traces(locations=[mine])] == ["of the user"]
    assert len(traces(suite)) == 1


def test_another_store(suite: Suite, tmp_path: Path) -> None:
    """Traces go where the run goes, also if this process has traced into another store before."""
    other = f"sqlite:///{tmp_path / 'other.db'}"
    text = f"[tool.llmcompare]\ntraces = true\ntracking_uri = {other!r}\n"
    suite.compare(cases=CASES[:1])
    (suite.path / "pyproject.toml").write_text("[tool.llmcompare]\ntraces = true\n", encoding="utf-8")
    suite.run("m=echo:")
    (suite.path / "pyproject.toml").write_text(text, encoding="utf-8")
    suite.run("m=echo:", args=())
    assert len(traces(suite)) == 1
