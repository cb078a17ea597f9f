"""Models of a run compared with each other: a line per pair in the summary, and the fixture `llm_comparison`."""

from __future__ import annotations

import itertools

import pytest

from .suites import TEST, TRIVIA, Suite

ROWS = [
    {**row, "target": target, "year": 1900 + at}
    for at, (row, target) in enumerate(zip(TRIVIA, ("The sky is blue", "A prince", "Yes."), strict=True))
]
MARK = """
import pytest
from mlflow.metrics import MetricValue, make_metric

def letters(predictions):
    return MetricValue(scores=[float(len(text)) for text in predictions])

def failing(predictions):
    raise ZeroDivisionError("no such score")

length = make_metric(eval_fn=letters, greater_is_better=True, name="letters", version="v1")
words = make_metric(eval_fn=lambda predictions: MetricValue(
    scores=[None if "fire" in text else text.count(" ") for text in predictions]
), greater_is_better=False, name="words")
marked = pytest.mark.llm_prompts("trivia.jsonl", gen_config={"max_new_tokens": 6}, model_type=None, metrics=[METRICS])
"""


PAIRS = [
    "two models  same text  alike    95% interval   on target  McNemar p  better",
    "m / orig       2 of 3  66.7%  20.8% to 93.9%  1 / 1 of 3      1.000   equal",
    "m / b          2 of 3  66.7%  20.8% to 93.9%  1 / 1 of 3      1.000   equal",
    "orig / b       2 of 3  66.7%  20.8% to 93.9%  1 / 1 of 3      1.000   equal",
]


def models(suite: Suite) -> list[str]:
    return [suite.spec("m", "tiny-gpt2-distil"), suite.spec("orig"), suite.spec("b", "tiny-bloom")]


def write(suite: Suite, *bodies: str, metrics: str = "length, words") -> None:
    """Tests on all models, one per body."""
    tests = "".join(
        f"\n@marked\ndef test_{at}(llm_comparison):\n    {body}\n" for at, body in enumerate(bodies, start=1)
    )
    suite.trivia(ROWS, MARK.replace("METRICS", metrics) + tests)


BOTH = """
@marked
def test_all(llm_comparison): ...

@marked
def test_case(llm_output): ...
"""


def pairs(result: pytest.RunResult) -> list[str]:
    """The lines of the pairs in a summary."""
    at = next(at for at, line in enumerate(result.outlines) if line.startswith("two models"))
    return [result.outlines[at], *itertools.takewhile(lambda line: " / " in line, result.outlines[at + 1 :])]


def test_pairs_of_a_run(suite: Suite) -> None:
    """Each pair with its agreement, and with what each has right where the table has targets."""
    suite.trivia(ROWS, recorded=True)
    assert pairs(suite.run(models=models(suite))) == PAIRS


def test_no_targets_no_opinion(suite: Suite) -> None:
    """Without targets there is agreement only; a single model has no pair."""
    suite.trivia(recorded=True)
    assert pairs(suite.run(models=models(suite)[:2])) == [
        "two models  same text  alike    95% interval",
        "m / orig       2 of 3  66.7%  20.8% to 93.9%",
    ]
    suite.run().stdout.no_fnmatch_line("two models*")


def test_a_test_on_all_models_runs_once(suite: Suite) -> None:
    """One item per table, named after it, behind those of the models."""
    suite.trivia(ROWS, MARK.replace("METRICS", "") + BOTH)
    tests = suite.collect(models=models(suite))
    assert len(tests) == 10
    assert tests[-1] == "test_trivia.py::test_all[trivia]"
    fewer = suite.collect("-k", "orig or all", models=models(suite))
    assert [test.partition("::")[2] for test in fewer] == [
        *(f"test_case[orig-{row['id']}]" for row in ROWS),
        "test_all[trivia]",
    ]


HOLDS = (
    'assert llm_comparison.agreement("orig", "m") >= 0.6',
    'assert llm_comparison.models == ("m", "orig", "b")',
    'assert llm_comparison["m"].not_worse_than("orig")',
    'assert llm_comparison["m"].not_worse_than("orig", metric="exact_match", margin=0.05)',
    'assert llm_comparison["m"].not_worse_than("orig", metric="token_count")',
    'assert llm_comparison["m"].not_worse_than("orig", metric="letters", margin=9)',
    'assert llm_comparison["m"].not_worse_than("orig", metric="letters/v1/score", margin=9)',
    'assert llm_comparison.pair("orig", "b").agreement.count == 2',
    'assert llm_comparison.pair("orig", "b").targets.both == 1',
)


def test_a_test_compares_models(suite: Suite) -> None:
    """Agreement, targets, and metrics of the results table; each model is evaluated once."""
    write(suite, *HOLDS)
    suite.run(models=models(suite)).assert_outcomes(passed=len(HOLDS))
    assert len(suite.mlflow_runs()) == 3


def test_xdist_changes_nothing(suite: Suite) -> None:
    """Two workers find the same, evaluate each model once, whoever asks first, and the summary has the same pairs."""
    write(suite, *HOLDS)
    path = suite.path / "test_trivia.py"
    path.write_text(path.read_text() + "\n@marked\ndef test_case(llm_output): ...\n")
    result = suite.run_apart("-n2", "--dist=worksteal", models=models(suite))
    result.assert_outcomes(passed=len(HOLDS) + 9)
    assert len(suite.mlflow_runs()) == 3
    assert pairs(result) == PAIRS


def test_a_failed_comparison_shows_its_evidence(suite: Suite) -> None:
    """The assertion prints finding, difference, interval and margin."""
    write(
        suite,
        'assert llm_comparison.agreement("orig", "m") >= 0.9',
        'assert llm_comparison["orig"].not_worse_than("m", metric="letters", margin=0.5)',
    )
    result = suite.run(models=models(suite))
    result.assert_outcomes(failed=2)
    lines = [line.removeprefix("E").strip() for line in result.outlines if line.startswith("E ")]
    assert "AssertionError: assert 0.6666666666666666 >= 0.9" in lines
    (evidence,) = [line for line in lines if line.startswith("AssertionError: assert <")]
    assert evidence == (
        "AssertionError: assert <'orig' against 'm': inconclusive; letters better by -1 "
        "(95% interval -3 to 0, p 1.000, 3 rows), margin 0.5>"
    )


WRONG = {
    'llm_comparison["original"]': "llm_comparison: this table has no model 'original'. Did you mean 'orig'?",
    'llm_comparison["m"].not_worse_than("b", metric="lettres")': (
        "llm_comparison: metric 'lettres' has no score per row for model 'm'. Did you mean 'letters'?"
    ),
    'llm_comparison["m"].not_worse_than("b", metric="year")': (
        "llm_comparison: metric 'year' has no score per row for model 'm'. "
        "Known: exact_match, letters, token_count, words."
    ),
    'llm_comparison["m"].not_worse_than("b", metric="words")': (
        "llm_comparison: words of model 'm': 1 row ('ice') without a score."
    ),
}


def test_wrong_names_are_told(suite: Suite) -> None:
    """An unknown model or metric, a column that is no metric, a row without a score: never a pass."""
    write(suite, *WRONG)
    result = suite.run(models=models(suite))
    result.assert_outcomes(failed=len(WRONG))
    told = [line.partition("Error: ")[2] for line in result.outlines if line.startswith("E  ") and "Error: " in line]
    assert told == list(WRONG.values())


def test_a_model_that_cannot_be_loaded_spoils_its_own_comparisons(suite: Suite) -> None:
    """The others are compared all the same; the summary has no line with it."""
    write(suite, 'assert llm_comparison.agreement("m", "orig") > 0.5', 'llm_comparison.agreement("m", "hollow")')
    (suite.path / "hollow").mkdir()
    result = suite.run(models=[*models(suite)[:2], "hollow=./hollow"])
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["E *LlmCompareError: llm_comparison: model 'hollow' gave no output: model 'hollow': *"]
    )


def test_metrics_that_failed_are_no_scores(suite: Suite) -> None:
    """A metric that MLflow could not compute is an error of the test that wants it; texts can be compared."""
    write(
        suite,
        'llm_comparison["m"].not_worse_than("b", metric="broken")',
        'assert llm_comparison.agreement("m", "b") > 0.5',
        metrics='make_metric(eval_fn=failing, greater_is_better=True, name="broken")',
    )
    result = suite.run(models=models(suite))
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["E *LlmCompareError: llm_comparison: table 'trivia', model 'm': MLflow could not *"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (0, "no models to compare. Name them with --llm-models=gpt2-large,distilgpt2, as default_models or [[]tool.*"),
        (1, "llm_comparison compares models, and there is only 'm'. Name another one with it: --llm-models=A,B, *"),
    ],
)
def test_one_model_is_no_comparison(suite: Suite, given: int, message: str) -> None:
    """Less than two models are an error of the test."""
    write(suite, "pass")
    result = suite.run(models=models(suite)[:given])
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([message])


def test_all_models_and_one_model_are_two_tests(suite: Suite) -> None:
    """A test that asks for both cannot be collected."""
    suite.trivia(ROWS, TEST.replace("llm_baseline)", "llm_baseline, llm_comparison)", 1))
    result = suite.run(models=models(suite))
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*test_trivia: llm_comparison is about all models of the table, llm_baseline, *"])
    assert "llm_baseline, llm_case, llm_output about one of them. Use them in separate tests." in result.stdout.str()
