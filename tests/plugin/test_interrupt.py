"""Ctrl-C: it ends the run at once, and what finished is kept."""

from __future__ import annotations

import os
import signal
import time

import mlflow
import pytest

from tests.platforms import needs_fork

from .suites import TEST, Suite

SLOW = """
import pathlib, time
import mlflow

class Slow(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: list[str], params=None):
        pathlib.Path("asked").touch()
        time.sleep(300)

mlflow.models.set_model(Slow())
"""


def test_what_finished_before_is_written(suite: Suite) -> None:
    """An update that is interrupted in the third test writes the first two, and says how it ended."""
    suite.trivia(
        test="""
        import pytest

        @pytest.mark.llm_prompts("trivia.jsonl", gen_config={"max_new_tokens": 6}, model_type=None)
        def test_trivia(llm_case, llm_output, llm_baseline):
            if llm_case.id == "ice":
                raise KeyboardInterrupt
            assert llm_output == llm_baseline
        """
    )
    result = suite.run("--llm-update")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert set(suite.cases()) == {"sky", "hamlet"}
    result.stdout.fnmatch_lines(["__baselines__/trivia/m.baseline: 2 added"])


@needs_fork
def test_a_model_that_is_asked_is_left_at_once(suite: Suite) -> None:
    """A real Ctrl-C while a model generates: the run ends in seconds, and the group before it is written."""
    suite.trivia(test=TEST)
    with mlflow.start_run(experiment_id=mlflow.create_experiment("slow")) as run:
        path = suite.write("slow.py", SLOW)
        mlflow.pyfunc.log_model(name="slow", python_model=str(path), pip_requirements=[])
    child = suite.fork("--llm-update", models=[suite.spec(), f"s=runs:/{run.info.run_id}/slow"])
    end = time.monotonic() + 60
    while not (suite.path / "asked").exists() and time.monotonic() < end:
        time.sleep(0.02)
    asked = time.monotonic()
    os.kill(child, signal.SIGINT)
    code, output = suite.wait(child)
    assert time.monotonic() - asked < 30
    assert code == pytest.ExitCode.INTERRUPTED
    assert "KeyboardInterrupt" in output
    assert "__baselines__/trivia/m.baseline: 3 added" in output
    assert {path for path in suite.stored() if path.endswith(".baseline")} == {"__baselines__/trivia/m.baseline"}
