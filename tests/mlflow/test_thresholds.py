"""Thresholds on the metrics of a table: who sees that one is not reached, and over which cases."""

from __future__ import annotations

from typing import Any

import pytest

from .evaluations import Suite, made_template, suite

__all__ = ["made_template", "suite"]

TESTS = """
import pytest
from mlflow.metrics import make_metric
from mlflow.models import MetricThreshold

CASES = {cases!r}


def boom(predictions):
    raise ZeroDivisionError("no such score")


marked = pytest.mark.llm_prompts(
    CASES, name="trivia", gen_config={{"max_new_tokens": 4}}, model_type=None, {keywords}
)
"""
PER_CASE = """

@marked
def test_case(llm_output, llm_baseline):
    assert llm_output == llm_baseline
"""
WHOLE = """

@marked
def test_whole(llm_evaluation):
    assert llm_evaluation.metrics
"""
CASES = [
    {"id": "sky", "input_text": "Q: What color is the sky?\nA:", "target": " The sky is"},
    {"id": "ice", "input_text": "Q: Is ice cold?\nA:", "target": " never this"},
]
START = "threshold failed: table 'trivia', model 'm': "
HALF = f"{START}exact_match/v1 is 0.5 over 2 cases, wanted >=0.8"
USUAL = "latency/p50, latency/p90, latency/p99, token_count/mean, token_count/sum"
OTHERS = "Name other metrics in metrics=[...] to have them computed."
EXACT = 'metrics=["exact_match"], thresholds={"exact_match/v1": ">=%s"}'


def write(suite: Suite, keywords: str, *tests: str, cases: Any = None) -> None:
    head = TESTS.format(cases=CASES if cases is None else cases, keywords=keywords)
    suite.pytester.makepyfile(test_gates=head + "".join(tests))


def run(suite: Suite, *args: str, model: str = "tiny-gpt2") -> pytest.RunResult:
    return suite.run(suite.spec("m", model), args=args)


def parts(result: pytest.RunResult) -> tuple[str, str]:
    """What a run says before and in its summary, however its lines were wrapped."""
    before, _, summary = result.stdout.str().partition("== model comparison ==")
    return " ".join(before.split()), " ".join(summary.split())


def test_reached(suite: Suite) -> None:
    """Nothing is said of a gate that opens, and the run passes."""
    write(suite, EXACT % 0.5, PER_CASE, WHOLE)
    result = run(suite, "--llm-update")
    result.assert_outcomes(passed=3)
    assert result.ret == 0
    assert "threshold failed" not in result.stdout.str()


@pytest.mark.parametrize(
    "threshold",
    ['">=0.8"', "MetricThreshold(threshold=0.8, greater_is_better=True)"],
    ids=["text", "mlflow"],
)
def test_not_reached_and_no_test_looks(suite: Suite, threshold: str) -> None:
    """The tests of the cases pass, baselines are written, and the run fails all the same, with a line that says why."""
    write(suite, f'metrics=["exact_match"], thresholds={{"exact_match/v1": {threshold}}}', PER_CASE)
    result = run(suite, "--llm-update")
    result.assert_outcomes(passed=2)
    assert result.ret == 1
    assert parts(result)[1].count(HALF) == 1
    assert (suite.path / "__baselines__" / "trivia" / "m.baseline").is_file()


def test_not_reached_and_tests_look(suite: Suite) -> None:
    """Each test on the evaluation fails with the line; those of the cases do not."""
    write(suite, EXACT % 0.8, PER_CASE, WHOLE, WHOLE.replace("test_whole", "test_again"))
    result = run(suite, "--llm-update")
    result.assert_outcomes(passed=2, errors=2)
    assert result.ret == 1
    before, summary = parts(result)
    assert before.count(HALF) == 2
    assert HALF in summary


def test_a_part_of_the_table(suite: Suite) -> None:
    """The metrics are those of the selected cases, and the line says so."""
    write(suite, EXACT % 0.8, PER_CASE)
    assert run(suite, "--llm-update", "-k", "sky").ret == 0
    result = run(suite, "--llm-update", "-k", "ice")
    assert result.ret == 1
    assert f"{START}exact_match/v1 is 0 over 1 of 2 cases, wanted >=0.8" in parts(result)[1]


@pytest.mark.parametrize(
    ("metric", "why"),
    [
        ("exact_mach", f"Did you mean 'exact_match'? {OTHERS}"),
        (
            "toxicity",
            f"Known: exact_match, exact_match/v1, {USUAL}. {OTHERS}",
        ),
        ("drift_rate", "No selected case could be compared with a baseline."),
    ],
)
def test_not_computed(suite: Suite, metric: str, why: str) -> None:
    """A metric that is not there does not pass; the nearest one that is there is named."""
    write(suite, f'metrics=["exact_match"], thresholds={{"{metric}": ">=0"}}', WHOLE)
    result = run(suite)
    result.assert_outcomes(errors=1)
    assert f"{START}{metric} was not computed over 2 cases, wanted >=0. {why}" in parts(result)[0]


def test_evaluation_failed(suite: Suite) -> None:
    """A metric that raises opens no gate, not even one on another metric."""
    keywords = 'metrics=[make_metric(eval_fn=boom, greater_is_better=True)], thresholds={"token_count/mean": "<=40"}'
    write(suite, keywords, PER_CASE, WHOLE)
    result = run(suite, "--llm-update")
    result.assert_outcomes(passed=2, errors=1)
    assert result.ret == 1
    line = f"{START}token_count/mean was not computed over 2 cases, wanted <=40. The evaluation failed."
    before, summary = parts(result)
    assert "could not compute the metrics (boom)" in before
    assert line in before
    assert line in summary


def test_two_bounds_of_one_metric(suite: Suite) -> None:
    """Tests that share a table may ask for different things; each is checked."""
    write(suite, 'thresholds={"token_count/mean": "<=3"}', WHOLE)
    other = 'marked = pytest.mark.llm_prompts(CASES, name="trivia", gen_config={"max_new_tokens": 4}, model_type=None, '
    path = suite.path / "test_gates.py"
    again = WHOLE.replace("test_whole", "test_again")
    path.write_text(path.read_text() + f'\n\n{other}thresholds={{"token_count/mean": ">=5"}})\n{again}')
    result = run(suite)
    result.assert_outcomes(errors=2)
    summary = parts(result)[1]
    assert f"{START}token_count/mean is 4 over 2 cases, wanted <=3" in summary
    assert f"{START}token_count/mean is 4 over 2 cases, wanted >=5" in summary


def test_drift_rate(suite: Suite) -> None:
    """Recording and accepting are no drift; another model behind the name is, by the short name and the whole one."""
    write(suite, 'thresholds={"drift_rate": "<=0.1", "verdict/drift_rate": "<=0.2"}', PER_CASE)
    assert run(suite, "--llm-update-missing").ret == 0
    assert run(suite).ret == 0
    result = run(suite, model="tiny-gpt2-distil")
    result.assert_outcomes(passed=1, failed=1)
    assert f"{START}drift_rate is 0.5 over 2 cases, wanted <=0.1" in parts(result)[1]
    assert f"{START}verdict/drift_rate is 0.5 over 2 cases, wanted <=0.2" in parts(result)[1]
    assert run(suite, "--llm-update", model="tiny-gpt2-distil").ret == 0


def test_under_xdist(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker found fails the controller's run."""
    write(suite, EXACT % 0.8, PER_CASE)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    result = suite.run_apart("-n2", "--llm-update", f"--llm-models={suite.spec('m')}")
    result.assert_outcomes(passed=2)
    assert result.ret == 1
    assert parts(result)[1].count(HALF) == 1


def test_wrong_threshold_ends_collection(suite: Suite) -> None:
    """With the message, before any model is asked."""
    write(suite, 'thresholds={"exact_match/v1": ">0.8"}', PER_CASE)
    result = run(suite)
    result.assert_outcomes(errors=1)
    assert (
        "test_gates.py::test_case: llm_prompts: thresholds['exact_match/v1']='>0.8': unknown operator '>'. "
        "Did you mean '>='?" in " ".join(result.stdout.str().split())
    )
    assert suite.experiments() == set()
