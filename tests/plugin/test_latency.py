"""Seconds per case: percentiles in MLflow and in the JSON report, thresholds on them."""

from __future__ import annotations

import json

import pytest

from .suites import TEST, TRIVIA, Suite, said

TIMED = TEST.replace("model_type=None", 'model_type=None, thresholds={"latency/p90": "<=%s"}')


def timed(suite: Suite, limit: str, *options: str, model: str = "echo:?delay=0.05") -> pytest.RunResult:
    suite.trivia(TRIVIA, TIMED.replace("%s", limit))
    update = [] if "--llm-update-all" in options else ["--llm-update-missing"]
    return suite.run(*update, "--llm-report=report.json", *options, models=[f"m={model}"])


def test_a_model_that_answers_in_parts(suite: Suite) -> None:
    """Equal shares of each part's time; no verdict and no file knows of it."""
    timed(suite, "2").assert_outcomes(passed=3)
    report = json.loads((suite.path / "report.json").read_text())
    percentiles, cases = report["models"][0]["latency"], report["tables"][0]["rows"]
    seconds = sorted(row["cases"][0]["seconds"] for row in cases)
    assert [row["cases"][0]["token_count"] for row in cases] == [None] * 3
    assert 0.05 <= seconds[0] <= seconds[2] < 2
    assert percentiles == {"p50": seconds[1], "p90": seconds[2], "p99": seconds[2]}
    (run,) = suite.mlflow_runs()
    logged = {name: value for name, value in run.data.metrics.items() if name.startswith("latency/")}
    assert logged == pytest.approx({f"latency/{name}": value for name, value in percentiles.items()})
    assert run.inputs is not None
    assert len(run.inputs.dataset_inputs) == 1
    before = suite.stored()
    assert b"0.05" not in b"".join(before.values())
    timed(suite, "2", "--llm-update-all", "--llm-cache=off").assert_outcomes(passed=3)
    assert suite.stored() == before


def test_a_threshold_that_is_not_kept(suite: Suite) -> None:
    """The run fails, whatever the verdicts."""
    result = timed(suite, "0.001")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert said(result, "threshold failed").startswith("threshold failed: table 'trivia', model 'm': latency/p90 is 0.")


def test_answers_of_the_cache_have_no_latency(suite: Suite) -> None:
    """A threshold says so, and does not pass."""
    model = suite.spec().partition("=")[2]
    timed(suite, "60", model=model).assert_outcomes(passed=3)
    timed(suite, "60", "--llm-update-all", model=model)  # an answer that was read along a baseline is cached as another
    result = timed(suite, "60", "--llm-cache=only", model=model)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "All answers are from the cache, so no time was measured. To ask the model: --llm-cache=off" in (
        " ".join(result.stdout.str().split())
    )
    report = json.loads((suite.path / "report.json").read_text())
    assert report["models"][0]["latency"] is None
    assert report["tables"][0]["rows"][0]["cases"][0]["seconds"] is None


def test_drafts_have_no_latency(suite: Suite) -> None:
    """A local model has one where it generates: without baselines, or with `--llm-decode=plain`."""
    timed(suite, "60", "--llm-cache=off", model=suite.spec().partition("=")[2]).assert_outcomes(passed=3)
    result = timed(suite, "60", "--llm-cache=off", model=suite.spec().partition("=")[2])
    assert "Baselines were tried as drafts, which is faster than generating" in " ".join(result.stdout.str().split())
    plain = timed(suite, "60", "--llm-cache=off", "--llm-decode=plain", model=suite.spec().partition("=")[2])
    assert plain.ret == pytest.ExitCode.OK
    report = json.loads((suite.path / "report.json").read_text())
    cases = [row["cases"][0] for row in report["tables"][0]["rows"]]
    assert all(0 < case["seconds"] < 60 for case in cases)
    assert all(case["token_count"] == len(case["candidate"]["token_ids"]) for case in cases)
