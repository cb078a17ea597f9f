"""One meaning of a match: the output is the target, without the white space around both."""

from __future__ import annotations

from typing import Any

import pytest
from mlflow.metrics import MetricValue, make_metric

from pytest_llmcompare.errors import UsageError
from pytest_llmcompare.evaluation.metrics import metric

from .evaluations import Suite, made_template, suite

__all__ = ["made_template", "suite"]

SKY, SUM = "Q: What color is the sky?\nA:", "Q: What is 2+2?\nA:"  # " The sky is blue.", " 2+2 is 4."
TESTS = """
import pytest

marked = pytest.mark.llm_prompts(
    {cases!r}, name="sums", gen_config={{"max_new_tokens": 24, "stop_strings": "."}}, model_type=None, {keywords}
)


@marked
def test_case(llm_output):
    assert llm_output


@marked
def test_models(llm_comparison):
    assert llm_comparison["m"].not_worse_than("n")
"""


def write(suite: Suite, cases: list[dict[str, Any]], keywords: str = "") -> None:
    suite.pytester.makepyfile(test_sums=TESTS.format(cases=cases, keywords=keywords))


def run(suite: Suite) -> tuple[pytest.RunResult, str]:
    """A run with two models of the same answers; its summary, however its lines were wrapped."""
    result = suite.run(suite.spec("m"), suite.spec("n"))
    return result, " ".join(result.stdout.str().partition("== model comparison ==")[2].split())


def metrics(suite: Suite) -> dict[str, float]:
    return {name: value for name, value in suite.runs("case")[0].data.metrics.items() if name.startswith("exact")}


def test_one_screen_says_one_thing(suite: Suite) -> None:
    """Outputs that begin with a blank are on target; where MLflow's own metric says otherwise, the screen says why."""
    cases = [{"prompt": SUM, "target": "2+2 is 4."}, {"prompt": SKY, "target": "The sky is blue.\n"}]
    write(suite, cases, 'metrics=["exact_match"], thresholds={"exact_match": ">=1", "exact_match/v1": ">=0.8"}')
    result, summary = run(suite)
    result.assert_outcomes(passed=5)
    assert result.ret == 1
    assert metrics(suite) == {"exact_match": 1.0, "exact_match/v1": 0.0}
    assert list(suite.table("case")["exact_match/score"]) == [1.0] * 4
    assert "2 / 2 of 2" in summary
    assert (
        "threshold failed: table 'sums', model 'm': exact_match/v1 is 0 over 2 cases, wanted >=0.8. It compares white "
        "space, too; without that around output and target, 'exact_match' is 1." in summary
    )
    assert (
        "table 'sums', model 'm': 2 of 2 outputs differ from their target only in white space around them: they "
        "count in exact_match, 1, but not in MLflow's exact_match/v1, 0" in summary
    )


def test_no_metric_has_to_be_asked_for(suite: Suite) -> None:
    """A threshold on it holds without `metrics=`; rows without a target are left out, here as in the other figures."""
    cases = [{"prompt": SUM, "target": "2+2 is 4."}, {"prompt": SKY}]
    write(suite, cases, 'thresholds={"exact_match": ">=1"}')
    result, summary = run(suite)
    assert result.ret == 0
    assert metrics(suite) == {"exact_match": 1.0}
    assert "1 / 1 of 1" in summary
    assert "white space" not in summary


def test_targets_with_the_blank(suite: Suite) -> None:
    """Where a suite has written it into its targets, both metrics agree, and nothing is said."""
    cases = [{"prompt": SUM, "target": " 2+2 is 4."}, {"prompt": SKY, "target": " Grey."}]
    write(suite, cases, 'metrics=["exact_match"], thresholds={"exact_match/v1": ">=0.5"}')
    result, summary = run(suite)
    assert result.ret == 0
    assert metrics(suite) == {"exact_match": 0.5, "exact_match/v1": 0.5}
    assert "1 / 1 of 2" in summary
    assert "white space" not in summary


def test_no_targets(suite: Suite) -> None:
    """There is nothing to be met, and a threshold on it is not."""
    write(suite, [{"prompt": SUM}], 'thresholds={"exact_match": ">=0"}')
    result, summary = run(suite)
    assert result.ret == 1
    assert metrics(suite) == {}
    assert "exact_match was not computed over 1 case, wanted >=0. No selected case has a target." in summary


def test_each_draw_counts(suite: Suite) -> None:
    """With `samples=` every draw is an output with the row's target, in the metric as in the summary."""
    drawn = '{"do_sample": True, "top_k": 1, "max_new_tokens": 24, "stop_strings": "."}'
    write(suite, [{"prompt": SUM, "target": "2+2 is 4."}], "samples=3")
    path = suite.path / "test_sums.py"
    path.write_text(path.read_text().replace('{"max_new_tokens": 24, "stop_strings": "."}', drawn))
    result, summary = run(suite)
    result.assert_outcomes(passed=3)
    assert metrics(suite) == {"exact_match": 1.0}
    assert "3 / 3 of 3" in summary


@pytest.mark.parametrize("name", ["exact_match", "verdict", "margin", "likelihood_drift"])
def test_names_of_ours_are_taken(name: str) -> None:
    """A metric of a user's own under one of them would overwrite ours; MLflow's own has another name."""
    own = make_metric(eval_fn=lambda predictions: MetricValue(), greater_is_better=True, name=name)
    with pytest.raises(UsageError, match=f"{name!r}, which is a metric of pytest-llmcompare. Give yours another name"):
        metric(own)
    assert metric(make_metric(eval_fn=lambda predictions: MetricValue(), greater_is_better=True, name="own"))
