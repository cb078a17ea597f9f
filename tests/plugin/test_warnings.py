"""The user's warning filter: what libraries warn about for us never meets it, the user's own code does."""

from __future__ import annotations

import mlflow
import pytest

from .suites import SKY, Suite

FOREIGN = """
import mlflow


class Echo(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return [f"You said {text!r}" for text in model_input.iloc[:, 0]]


mlflow.models.set_model(Echo())
"""
CONFTEST = """
import pytest


class Upper:
    def predict(self, prompts):
        return [prompt.upper() for prompt in prompts]


@pytest.hookimpl(optionalhook=True)
def pytest_llmcompare_load_model(spec):
    return Upper() if spec.source.startswith("upper:") else None
"""
COMPARE = f"""
import pytest

MARK = pytest.mark.llm_prompts(
    [{{"id": "sky", "prompt": {SKY!r}, "target": " Blue."}}], name="trivia", gen_config={{"max_new_tokens": 4}},
    metrics=["exact_match"], model_type="text",
)


@MARK
def test_output(llm_output, llm_baseline):
    assert llm_output == llm_baseline


@MARK
def test_models(llm_comparison):
    llm_comparison["u"].not_worse_than("f", metric="exact_match", margin=1.0)
"""


@pytest.fixture
def models(suite: Suite) -> list[str]:
    """A model of transformers, one of a plugin and a pyfunc that somebody logged, with a suite that compares them."""
    suite.write("test_compare.py", COMPARE)
    suite.write("conftest.py", CONFTEST)
    code = suite.write("echo.py", FOREIGN)
    with mlflow.start_run(experiment_id=mlflow.create_experiment("echo")):
        info = mlflow.pyfunc.log_model(name="echo", python_model=str(code), pip_requirements=[])
    return [suite.spec(), "u=upper:x", f"f={info.model_uri}"]


def test_every_warning_is_an_error_in_a_fresh_process(suite: Suite, models: list[str]) -> None:
    """Recording: imports of MLflow, torch, transformers and pandas count, too, and nothing leaks at the end."""
    result = suite.run_apart("-W", "error", "--llm-update", models=models, warm=False)
    result.assert_outcomes(passed=4)
    assert result.ret == 0
    assert "Warning" not in result.stdout.str() + result.stderr.str()


@pytest.mark.parametrize("option", ["error", "error::FutureWarning"])
def test_warnings_are_errors_on_the_command_line(suite: Suite, models: list[str], option: str) -> None:
    """A check of a model that drifted says that it drifted, and nothing of warnings."""
    suite.run("--llm-update", "-W", option, models=models).assert_outcomes(passed=4)
    drifted = suite.run("-W", option, "-k", "output", models=[suite.spec(model="tiny-bloom"), *models[1:]])
    drifted.assert_outcomes(passed=2, failed=1)
    assert "Warning" not in drifted.stdout.str()


def test_warnings_are_errors_in_the_file_and_by_a_mark(suite: Suite, models: list[str]) -> None:
    """`filterwarnings = error`, and the mark of a single test."""
    suite.write("pytest.ini", "[pytest]\nfilterwarnings = error\n")
    suite.run("--llm-update", models=models).assert_outcomes(passed=4)
    suite.write("pytest.ini", "[pytest]\n")
    text = COMPARE.replace("@MARK", '@pytest.mark.filterwarnings("error")\n@MARK')
    suite.write("test_compare.py", text)
    suite.run(models=models).assert_outcomes(passed=4)


def test_no_library_fills_the_summary_of_warnings(suite: Suite, models: list[str]) -> None:
    """MLflow would have a pyfunc's `predict` carry type hints, and says so many times."""
    result = suite.run("--llm-update", models=models)
    result.assert_outcomes(passed=4)
    assert "warnings summary" not in result.stdout.str()


OWN = """
import warnings

import pytest
from mlflow.metrics import MetricValue, make_metric


def words(predictions):
    warnings.warn("my metric is old", UserWarning)
    return MetricValue(scores=[1.0 for _ in predictions])


@pytest.mark.llm_prompts(
    [{"id": "sky", "prompt": "Q: What color is the sky?\\nA:"}], name="own", gen_config={"max_new_tokens": 4},
    metrics=[make_metric(eval_fn=words, greater_is_better=True, name="words")], model_type=None,
)
def test_own(llm_evaluation):
    assert llm_evaluation.metrics
"""


def test_a_warning_of_the_users_own_metric_stays_theirs(suite: Suite) -> None:
    """It is in pytest's summary, and where warnings are errors the message names the metric and the warning."""
    suite.write("test_own.py", OWN)
    shown = suite.run()
    shown.assert_outcomes(passed=1)
    assert "my metric is old" in shown.stdout.str()
    failed = suite.run("-W", "error:my metric")
    failed.assert_outcomes(errors=1)
    said = " ".join(failed.stdout.str().replace("\nE", " ").split())
    assert "could not compute the metrics (words)" in said
    assert "my metric is old" in said


def test_a_warning_of_a_plugins_model_stays_theirs(suite: Suite) -> None:
    """An object that a hook returned is the user's own code, and so is the hook."""
    suite.write("test_compare.py", COMPARE.partition("\n\n@MARK\ndef test_models")[0])
    warn = "import warnings; warnings.warn('my model is old', UserWarning)"
    suite.write("conftest.py", CONFTEST.replace("return [prompt", f"{warn}\n        return [prompt"))
    shown = suite.run("--llm-update", models=["u=upper:x"])
    shown.assert_outcomes(passed=1)
    assert "my model is old" in shown.stdout.str()
    failed = suite.run("-W", "error:my model", models=["u=upper:x"])
    assert "the model raised UserWarning: my model is old" in failed.stdout.str()
