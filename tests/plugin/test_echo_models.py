"""`echo:` models in a run: recorded, compared, logged and evaluated like any other."""

from __future__ import annotations

import mlflow
import pytest

from .suites import ICE, SKY, TRIVIA, Suite

ALWAYS = "m=echo:?drift=1"
NEVER = "m=echo:"


def test_echo_is_recorded_and_compared(suite: Suite) -> None:
    """The first run records, the next finds the same, one with drift fails and can be accepted."""
    suite.trivia()
    suite.run("--llm-update", models=[NEVER]).assert_outcomes(passed=3)
    assert "|What color is the sky?" in suite.cases()["sky"].splitlines()
    suite.run(models=[NEVER]).assert_outcomes(passed=3)
    result = suite.run(models=[ALWAYS])
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(["Accept 3*--llm-models=m=echo:?drift=1*--llm-update*"])
    suite.run("--llm-update", models=[ALWAYS]).assert_outcomes(passed=3)
    suite.run(models=[ALWAYS]).assert_outcomes(passed=3)


def test_echo_in_processes_of_its_own(suite: Suite) -> None:
    """Workers share the groups; the delay of one prompt after the other is in the time that is shown."""
    suite.trivia()
    result = suite.run_apart("-n2", "--llm-update", models=["echo:", "slow=echo:?delay=0.02"])
    result.assert_outcomes(passed=6)
    assert {"__baselines__/trivia/echo.baseline", "__baselines__/trivia/slow.baseline"} <= set(suite.stored())


def test_parameters_are_logged_as_settings(suite: Suite) -> None:
    """Not as an address, and not left out like secrets; the source says which kind it is."""
    suite.trivia()
    suite.run("--llm-update", models=["m=echo:?drift=0.5&delay=0.001"]).assert_outcomes(passed=3)
    (run,) = suite.mlflow_runs()
    params = run.data.params
    assert (params["echo.drift"], params["echo.delay"], params["source"]) == ("0.5", "0.001", "echo:")
    assert not {"drift", "delay"} & params.keys()  # each once
    assert run.data.tags["llmcompare.source"] == "echo:?drift=0.5&delay=0.001"
    assert run.data.tags["llmcompare.fingerprint"] == params["fingerprint"]


def test_logged_echo_is_a_pyfunc_as_any(suite: Suite) -> None:
    """It loads from MLflow and answers; as a `models:/` URI it is compared like anybody's model."""
    suite.trivia()
    suite.run("--llm-update", models=["m=echo:?drift=1"]).assert_outcomes(passed=3)
    (run,) = suite.mlflow_runs()
    outputs = mlflow.MlflowClient().get_run(run.info.run_id).outputs
    assert outputs is not None
    uri = f"models:/{outputs.model_outputs[0].model_id}"
    model = mlflow.pyfunc.load_model(uri)
    assert model.predict([SKY, ICE]) == ["What color is the sky? (drifted)", "Is ice cold? (drifted)"]
    suite.run(models=[f"m={uri}"]).assert_outcomes(passed=3)


def test_thresholds_and_metrics_of_echo(suite: Suite) -> None:
    """MLflow evaluates it: targets are counted and a drift rate ends in a gate."""
    test = """
    import pytest

    @pytest.mark.llm_prompts("trivia.jsonl", model_type=None, thresholds={"exact_match": ">=1", "drift_rate": "<=0"})
    def test_trivia(llm_evaluation):
        assert llm_evaluation.metrics["exact_match"] == 1.0
    """
    rows = [{**row, "target": row["prompt"].split("\n")[0].removeprefix("Q: ")} for row in TRIVIA]
    suite.trivia(rows, test)
    suite.run("--llm-update", models=[NEVER]).assert_outcomes(passed=1)
    result = suite.run(models=[ALWAYS])
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*drift_rate*"])


def test_echo_as_the_reference_of_another_model(suite: Suite) -> None:
    """`--llm-baseline=model:NAME` compares the outputs of one run with each other."""
    suite.trivia()
    result = suite.run("--llm-baseline=model:first", models=["first=echo:", "second=echo:?drift=1"])
    result.assert_outcomes(failed=3)


def test_models_are_compared_with_each_other(suite: Suite) -> None:
    """The test of all models of a table takes echo models, too."""
    test = """
    import pytest

    @pytest.mark.llm_prompts("trivia.jsonl", name="trivia", model_type=None)
    def test_trivia(llm_comparison):
        assert llm_comparison.models == ("first", "second", "third")
        assert llm_comparison.agreement("first", "third") == 1
        assert llm_comparison.agreement("first", "second") == 0
    """
    suite.trivia(TRIVIA, test)
    suite.run(models=["first=echo:", "second=echo:?drift=1", "third=echo:"]).assert_outcomes(passed=1)


@pytest.mark.parametrize("spec", ["echo:?drfit=1", "echo:?drift=2", "echo:x"])
def test_faults_end_the_run_at_once(suite: Suite, spec: str) -> None:
    """A fault in a spec is a usage error before any test is collected."""
    suite.trivia()
    result = suite.run(models=[spec])
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "echo" in result.stderr.str()


def test_help_names_echo(suite: Suite) -> None:
    """The option's help has the form with its parameters."""
    result = suite.run("--help", models=[])
    assert "echo:?drift=0.1&delay=0.01" in "".join(result.stdout.str().split())
