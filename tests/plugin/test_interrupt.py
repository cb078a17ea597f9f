"""Ctrl-C and SIGTERM: they end the run at once, what finished is kept, and the last line says how much."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time

import mlflow
import pytest

from pytest_llmcompare.run.interruption import Termination
from tests.platforms import needs_fork

from .suites import TEST, Suite

SLOW = """
import pathlib, time
import mlflow

class Slow(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: list[str], params=None):
        pathlib.Path("asked").touch()
        for _ in range(3000):  # a signal just before a sleep does not end that sleep
            time.sleep(0.1)

mlflow.models.set_model(Slow())
"""


TEXTS = """
import pathlib
import time

import pytest


class Slow:
    def predict(self, prompts):
        said = []
        for prompt in prompts:
            with open("asked", "a") as asked:
                asked.write(f"{prompt}\\n")
            time.sleep(0 if pathlib.Path("quick").exists() else 0.1)
            said.append(prompt.upper())
        return said


@pytest.hookimpl(optionalhook=True)
def pytest_llmcompare_load_model(spec):
    return Slow()
"""
NUMBERS = """
import pytest


@pytest.mark.llm_prompts(
    [{"id": f"n{n:02}", "prompt": f"number {n}"} for n in range(40)], name="numbers", model_type=None
)
def test_numbers(llm_output, llm_baseline):
    assert llm_output == llm_baseline
"""
GOES_ON = "outputs are kept; the same command goes on from there"


def wait_until_asked(suite: Suite, count: int) -> None:
    """Wait until a model that writes down what it is asked has been asked so much."""
    end = time.monotonic() + 120
    while not (suite.path / "asked").exists() or len((suite.path / "asked").read_text().splitlines()) < count:
        assert time.monotonic() < end
        time.sleep(0.02)


def kept_in(line: str) -> tuple[int, int]:
    """How many outputs of how many the last line says are kept."""
    found = re.fullmatch(rf"llmcompare: (\d+) of (\d+) {GOES_ON}", line)
    assert found is not None, line
    return int(found[1]), int(found[2])


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


def test_a_run_that_has_asked_nothing_says_so(suite: Suite) -> None:
    """Interrupted before its first model: there is nothing to keep, and the same command does all of it."""
    suite.trivia()
    suite.write("conftest.py", "def pytest_runtest_setup(item):\n    raise KeyboardInterrupt\n")
    result = suite.run(models=["m=echo:"])
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["llmcompare: no model was asked yet; the same command starts again"])


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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="signals and fork")
@pytest.mark.parametrize(
    ("how", "verbosity"),
    [(signal.SIGTERM, "-qq"), (signal.SIGINT, "-v"), (signal.SIGKILL, "-q")],
    ids=["terminated", "ctrl-c", "killed"],
)
def test_a_model_of_texts_keeps_what_it_has_said(suite: Suite, how: signal.Signals, verbosity: str) -> None:
    """However the run is ended; the same command asks only for what is missing, and says what it took over."""
    suite.write("test_numbers.py", NUMBERS)
    suite.write("conftest.py", TEXTS)
    child = suite.fork("--llm-update", verbosity, models=["s=slow:x"])
    wait_until_asked(suite, 12)
    os.kill(child, how)
    code, output = suite.wait(child)
    lines = sum(path.read_bytes().count(b'"key"') for path in suite.path.glob(".llmcompare/journal/*.jsonl"))
    assert lines >= 6
    if how is signal.SIGKILL:
        assert code == -how
    else:
        assert code == pytest.ExitCode.INTERRUPTED
        assert kept_in(output.splitlines()[-1]) == (lines, 40)
    (suite.path / "asked").unlink()
    (suite.path / "quick").touch()
    resumed = suite.run("--llm-update", models=["s=slow:x"])
    resumed.assert_outcomes(passed=40)
    assert len((suite.path / "asked").read_text().splitlines()) == 40 - lines
    shown = " ".join(resumed.stdout.str().split())
    assert f"model 's': {lines} of 40 outputs are taken from the journal" in shown
    assert "names no fingerprint" in shown
    assert not (suite.path / ".llmcompare" / "journal").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="signals and fork")
@pytest.mark.parametrize("change", ["another answer", "another attribute"])
def test_a_model_that_changed_in_between_is_asked_again(suite: Suite, change: str) -> None:
    """A plugin's model without a fingerprint is known by its code and its attributes."""
    suite.write("test_numbers.py", NUMBERS)
    suite.write("conftest.py", TEXTS)
    child = suite.fork("--llm-update", "-q", models=["s=slow:x"])
    wait_until_asked(suite, 8)
    os.kill(child, signal.SIGTERM)
    suite.wait(child)
    (suite.path / "asked").unlink()
    (suite.path / "quick").touch()
    changed = {
        "another answer": TEXTS.replace("prompt.upper()", "prompt.title()"),
        "another attribute": TEXTS.replace("return Slow()", "slow = Slow()\n    slow.prefix = 'x'\n    return slow"),
    }
    suite.write("conftest.py", changed[change])
    suite.run("--llm-update", models=["s=slow:x"]).assert_outcomes(passed=40)
    assert len((suite.path / "asked").read_text().splitlines()) == 40


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_sigterm_under_xdist(suite: Suite) -> None:
    """The main process ends as by Ctrl-C, and what the workers have finished is kept."""
    suite.write("test_numbers.py", NUMBERS)
    suite.write("conftest.py", TEXTS)
    command = [suite.warm(), "-m", "pytest", "-q", "-n2", "-p", "no:cacheprovider", "--llm-models=s=slow:x"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        wait_until_asked(suite, 8)
        process.terminate()
        output = process.communicate(timeout=120)[0]
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    kept, asked = kept_in(output.splitlines()[-1])
    assert kept >= 6
    assert asked == 40


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_sigterm_is_given_back(suite: Suite) -> None:
    """The handler is there while tests run, and gone afterwards; one of the user's own is left alone."""
    suite.write("conftest.py", TEXTS)
    suite.write(
        "test_handler.py",
        """
        import signal

        import pytest

        @pytest.mark.llm_prompts(["one"], name="one", model_type=None)
        def test_handler(llm_output, llm_baseline):
            assert llm_output == llm_baseline
            assert type(getattr(signal.getsignal(signal.SIGTERM), "__self__", None)).__name__ == WANTED
        """.replace("WANTED", "__import__('os').environ['WANTED']"),
    )
    before = signal.getsignal(signal.SIGTERM)

    def own(*_: object) -> None:
        raise AssertionError

    try:
        for handler, wanted in ((signal.SIG_DFL, "Termination"), (own, "NoneType")):
            signal.signal(signal.SIGTERM, handler)
            os.environ["WANTED"] = wanted
            suite.run("--llm-update", models=["s=slow:x"]).assert_outcomes(passed=1)
            assert signal.getsignal(signal.SIGTERM) == handler
    finally:
        os.environ.pop("WANTED", None)
        signal.signal(signal.SIGTERM, before)


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_signal_that_is_sent_twice_counts_once() -> None:
    """`timeout` sends it to the process and to its group: the second must not end what writes the baselines."""
    termination = Termination()
    termination.process = os.getpid()
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        termination.interrupt(signal.SIGTERM, None)
    termination.interrupt(signal.SIGTERM, None)
