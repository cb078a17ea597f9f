"""Metrics of an evaluation: named ones, the user's own, those of a model type, and tests on their aggregates."""

from __future__ import annotations

from typing import Any

import mlflow
import pytest

from .evaluations import CASES, Suite, made_template, models_logged, suite

__all__ = ["made_template", "suite"]

NOTE = (
    "left out of model_type='text': tiktoken's count, readability, toxicity "
    "(pip install tiktoken textstat evaluate, once with a network)"
)

LATENCY = (
    "llm_prompts: mlflow.metrics.latency() makes MLflow ask the model row by row, which slows down what it "
    "measures. Leave it out: the metrics latency/p50, latency/p90 and latency/p99 are logged anyway."
)
NO_METRIC = (
    "llm_prompts: metrics holds PurePosixPath('x'), expected the name of an MLflow metric, such as 'exact_match', "
    "an object made by mlflow.metrics.make_metric, or a scorer of mlflow.genai.scorers."
)

AGGREGATES = """
import pytest
from mlflow.metrics import MetricValue, make_metric

CASES = {cases!r}


def shouted(predictions, topic):
    return MetricValue(
        scores=[text.upper() + what for text, what in zip(predictions, topic)],
        aggregate_results={{"longest": float(max(map(len, predictions)))}},
    )


def boom(predictions):
    raise ZeroDivisionError("no such score")


marked = pytest.mark.llm_prompts(
    CASES, gen_config={{"max_new_tokens": 4}}{keywords}, name="trivia", experiment="trivia"
)
"""
PER_CASE = """

@marked
def test_case(llm_output, llm_baseline):
    assert llm_output == llm_baseline
"""
PER_MODEL = """

@marked
def test_whole(llm_evaluation):
    print("METRICS", sorted(llm_evaluation.metrics.items()))
    print("TABLE", llm_evaluation.tables["eval_results_table"].to_dict("list"))
"""


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of rows of each call of `mlflow.models.evaluate`, which does what it always does."""
    calls: list[int] = []
    evaluate: Any = mlflow.models.evaluate

    def counted(**options: Any) -> Any:
        calls.append(len(options["data"].df))
        return evaluate(**options)

    monkeypatch.setattr(mlflow.models, "evaluate", counted)
    return calls


def write(suite: Suite, *tests: str, keywords: str = "") -> None:
    cases = [{**case, "topic": topic} for case, topic in zip(CASES, ("sky", "tree", "sum"), strict=True)]
    head = AGGREGATES.format(cases=cases, keywords=f", {keywords}" if keywords else "")
    suite.pytester.makepyfile(test_aggregates=head + "".join(tests))


def test_named_metric(suite: Suite) -> None:
    """A metric of MLflow's is asked for by its name; its aggregate is logged to the run."""
    suite.compare('metrics=["exact_match"]', cases=[{**CASES[0], "target": " The sky is"}, CASES[1]])
    suite.run(suite.spec("a")).assert_outcomes(passed=2)
    assert suite.only_run("trivia").data.metrics["exact_match/v1"] == 0.5


def test_own_metric_uses_a_column(suite: Suite) -> None:
    """A metric of the user's own gets the table's columns by the names of its arguments."""
    write(suite, PER_CASE, keywords='metrics=[make_metric(eval_fn=shouted, greater_is_better=True, name="shouted")]')
    suite.run(suite.spec("a")).assert_outcomes(passed=3)
    table = suite.table("trivia")
    assert list(table["shouted/score"]) == [
        text.upper() + topic for text, topic in zip(table["outputs"], table["topic"], strict=True)
    ]
    assert suite.only_run("trivia").data.metrics["shouted/longest"] == max(map(len, table["outputs"]))


@pytest.mark.parametrize(
    ("keywords", "told"),
    [
        (
            'metrics=["exact_mach"]',
            "llm_prompts: metrics holds 'exact_mach', which MLflow does not have. Did you mean 'exact_match'?",
        ),
        (
            'metrics=["latency"]',
            LATENCY,
        ),
        (
            'metrics=[__import__("mlflow").metrics.latency()]',
            LATENCY,
        ),
        (
            'metrics=[__import__("pathlib").PurePosixPath("x")]',
            NO_METRIC,
        ),
        ('model_type="txt"', "llm_prompts: model_type='txt' is not known. Did you mean 'text'?"),
    ],
    ids=["unknown", "latency_name", "latency", "no_metric", "model_type"],
)
def test_unusable_metrics(suite: Suite, keywords: str, told: str) -> None:
    """A metric or model type that cannot be used fails the table's tests with the reason, before a model is loaded."""
    suite.compare(keywords)
    suite.compare(name="arithmetic")
    result = suite.run(suite.spec("a"))
    result.assert_outcomes(passed=3, errors=3)
    result.stdout.fnmatch_lines([told.replace("[", "[[]") + "*"])
    assert suite.experiments() == {"arithmetic"}


def test_metric_that_raises(suite: Suite, evaluated: list[int]) -> None:
    """The outputs are compared all the same; a test on the evaluation fails with the reason, told once more below."""
    write(suite, PER_CASE, PER_MODEL, keywords="metrics=[make_metric(eval_fn=boom, greater_is_better=True)]")
    result = suite.run(suite.spec("a"))
    result.assert_outcomes(passed=3, errors=1)
    assert evaluated == [3]
    told = (
        "table 'trivia', model 'a': MLflow could not compute the metrics (boom): "
        "Metric 'boom': Error: ZeroDivisionError('no such score') "
        "The outputs were compared all the same. Fix the metric, or take it out of metrics=[...]."
    )
    failure, _, summary = result.stdout.str().partition("== model comparison ==")
    assert " ".join(failure.split()).count(told) == 1
    assert "Traceback" not in failure
    assert " ".join(summary.split()).count(told) == 1
    assert suite.only_run("trivia").info.status == "FAILED"


def test_outputs_that_cannot_be_kept_in_the_run(suite: Suite) -> None:
    """A file where they would go costs them alone: one note, and what was said is compared all the same."""
    suite.pytester.makepyfile(
        test_trivia="""
        import mlflow
        import pytest
        from mlflow.metrics import MetricValue, make_metric

        def noting(predictions):
            mlflow.log_text("in the way", "llmcompare")
            return MetricValue(scores=[1.0 for _ in predictions])

        @pytest.mark.llm_prompts(["Why?"], gen_config={"max_new_tokens": 2}, experiment="trivia", model_type=None,
                                 metrics=[make_metric(eval_fn=noting, greater_is_better=True, name="noting")])
        def test_trivia(llm_output, llm_baseline):
            assert llm_output == llm_baseline
        """
    )
    result = suite.run(suite.spec("a"))
    result.assert_outcomes(passed=1)
    run_id = suite.only_run("trivia").info.run_id
    summary = " ".join(result.stdout.str().partition("== model comparison ==")[2].split())
    assert (
        summary.count(
            f"the outputs of run {run_id} could not be logged, so --llm-baseline=runs:/{run_id} is not possible: "
        )
        == 1
    )


def test_metric_on_a_missing_column(suite: Suite) -> None:
    """A metric that asks for a column that is not there costs the evaluation, not the comparison."""
    suite.pytester.makepyfile(
        test_trivia="""
        import pytest
        from mlflow.metrics import MetricValue, make_metric

        def needy(predictions, wanted_column):
            return MetricValue(scores=[0.0] * len(predictions))

        @pytest.mark.llm_prompts(["Q: What is 1+1?\\nA:"], gen_config={"max_new_tokens": 4},
                                 metrics=[make_metric(eval_fn=needy, greater_is_better=True)])
        def test_trivia(llm_output, llm_baseline):
            assert llm_output == llm_baseline
        """
    )
    result = suite.run(suite.spec("a"))
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*MLflow could not compute the metrics (needy)*"])
    assert "missing columns ['wanted_column'] need to be defined" in " ".join(result.stdout.str().split())


def test_note_is_shown_once(suite: Suite) -> None:
    """What is left out here of a model type that was named is said once per run, not once per table and model."""
    suite.compare("model_type='text'")
    suite.compare("model_type='text'", name="arithmetic")
    result = suite.run(suite.spec("a"), suite.spec("b", "tiny-bloom"))
    result.assert_outcomes(passed=12)
    text = " ".join(result.stdout.str().split())
    assert text.count(NOTE) == 1


def test_nobody_asked_for_the_default_model_type(suite: Suite) -> None:
    """So what is left out of it is said only with `-v`, or if a threshold needs it."""
    suite.compare()
    assert "left out" not in suite.run(suite.spec("a")).stdout.str()
    loud = " ".join(suite.run(suite.spec("a"), args=["-v"]).stdout.str().split())
    assert loud.count(NOTE) == 1
    suite.compare('thresholds={"toxicity/v1/mean": "<=0.5"}')
    assert NOTE in " ".join(suite.run(suite.spec("a")).stdout.str().split())


@pytest.mark.parametrize(
    ("targets", "seen"), [((None, None, None), "no row has one"), ((" Blue.", None, " 4."), "2 of 3 rows have one")]
)
def test_a_named_metric_without_targets(suite: Suite, targets: tuple[str | None, ...], seen: str) -> None:
    """Every run says that it was not computed, even if no threshold needs it; one with targets is computed."""
    cases = [{**case, "target": target} for case, target in zip(CASES, targets, strict=True)]
    suite.compare('metrics=["exact_match"], model_type=None', cases=cases)
    result = suite.run(suite.spec("a"))
    result.assert_outcomes(passed=3)
    told = " ".join(result.stdout.str().split())
    assert told.count("table 'trivia': metric 'exact_match' was not computed: it needs a target in every row, and") == 1
    assert seen in told
    suite.compare('metrics=["exact_match"], model_type=None')
    assert "was not computed" not in suite.run(suite.spec("a")).stdout.str()


USUAL = ("latency/p50", "latency/p90", "latency/p99", "token_count/mean", "token_count/sum")


@pytest.mark.parametrize(
    ("model_type", "metrics", "note"),
    [
        ("None", {*USUAL, "exact_match"}, ""),
        ("'text'", {*USUAL, "exact_match"}, NOTE),
        (
            "'question-answering'",
            {*USUAL, "exact_match", "exact_match/v1"},
            NOTE.replace("'text'", "'question-answering'"),
        ),
    ],
    ids=["none", "text", "question_answering"],
)
def test_model_types(suite: Suite, model_type: str, metrics: set[str], note: str) -> None:
    """Of a model type, what can be computed here is; the note names the rest, and nobody asked for a note with None."""
    suite.compare(f"model_type={model_type}")
    result = suite.run(suite.spec("a"))
    result.assert_outcomes(passed=3)
    assert set(suite.only_run("trivia").data.metrics) == metrics
    assert ("left out" in result.stdout.str()) is bool(note)
    assert note in " ".join(result.stdout.str().split())


def test_question_answering_without_targets(suite: Suite) -> None:
    """A table without targets has no exact match, and its evaluation does not fail for it."""
    suite.compare("model_type='question-answering'", cases=[{"id": "sky", "input_text": "Q: What color is the sky?"}])
    result = suite.run(suite.spec("a"))
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*could not compute*")
    assert suite.only_run("trivia").info.status == "FINISHED"


def test_whole_table_once_per_model(suite: Suite) -> None:
    """A test on the evaluation alone runs once per model, with metrics and the table with all rows."""
    write(suite, PER_MODEL)
    result = suite.run(suite.spec("a"), suite.spec("b", "tiny-bloom"), args=["-v", "-s"])
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*::test_whole[[]a[]]*", "*::test_whole[[]b[]]*"])
    result.stdout.fnmatch_lines(["*METRICS *('token_count/mean', 4.0), ('token_count/sum', 12.0)*"])
    (first, *_) = [line for line in result.outlines if line.startswith("TABLE")]
    assert "'prompt_id': ['sky', 'trees', 'sum']" in first
    assert "'outputs': [' The sky is'" in first


def test_cases_and_whole_share_an_evaluation(suite: Suite, evaluated: list[int]) -> None:
    """Tests per case and on the aggregates of one table take one evaluation per model, whatever is deselected."""
    write(suite, PER_CASE, PER_MODEL)
    models = suite.spec("a"), suite.spec("b", "tiny-bloom")
    suite.run(*models).assert_outcomes(passed=8)
    assert evaluated == [3, 3]
    suite.run(*models, args=["-k", "whole or sky"]).assert_outcomes(passed=4, deselected=4)
    assert evaluated == [3, 3, 3, 3]
    assert len(suite.runs("trivia")) == 4


def test_one_evaluation_under_xdist(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers share the evaluations: one run per model, whoever needs it, and the tables reach both."""
    write(suite, PER_CASE, PER_MODEL, PER_MODEL.replace("test_whole", "test_whole_again"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    result = suite.run_apart(
        *("-n2", "--llm-update", f"--llm-models={suite.spec('a')},{suite.spec('b', 'tiny-bloom')}")
    )
    result.assert_outcomes(passed=10)
    assert [run.info.run_name for run in suite.runs("trivia")].count("log_model_a") == 1
    assert len(suite.runs("trivia")) == 2
    assert len(suite.table("trivia")) == 6
    assert {run.info.status for run in suite.runs("trivia")} == {"FINISHED"}


def test_model_of_a_test(suite: Suite) -> None:
    """`llm_model` is the model that was logged, loaded: it has its id and answers."""
    suite.pytester.makepyfile(
        test_model="""
        import mlflow
        import pytest

        @pytest.mark.llm_prompts(["Q: What color is the sky?\\nA:"], gen_config={"max_new_tokens": 4})
        def test_model(llm_model, llm_output):
            assert isinstance(llm_model, mlflow.pyfunc.PyFuncModel)
            assert llm_model.predict({"input_text": ["Q: What color is the sky?\\nA:"]}) == [str(llm_output)]
            print("MODEL", llm_model.model_id)
        """
    )
    result = suite.run(suite.spec("a"), args=["-s"])
    result.assert_outcomes(passed=1)
    (model_id,) = models_logged(suite.only_run("model"))
    result.stdout.fnmatch_lines([f"*MODEL {model_id}"])
