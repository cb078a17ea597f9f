"""A run that is killed loses nothing that it had finished: the next one goes on from the journal."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from pytest_llmcompare.decoding.request import Outcome
from pytest_llmcompare.evaluation.answers import Outcomes
from tests.platforms import needs_signals

from .suites import Suite, says
from .test_answer_cache import own_model

SUITE = """
import pytest

PROMPTS = [{"id": f"p{n:03}", "prompt": f"Q: What is {n} plus two?\\nA:"} for n in range(48)]


@pytest.mark.llm_prompts(PROMPTS, gen_config={"max_new_tokens": 16, "do_sample": True, "top_k": 5}, name="sums")
def test_sums(llm_output, llm_baseline):
    assert llm_output == llm_baseline
"""
TAKEN = "outputs are taken from the journal of a run that was interrupted"


def journal_lines(folder: Path) -> int:
    return sum(path.read_bytes().count(b'"key"') for path in folder.glob(".llmcompare/journal/*.jsonl"))


def wait_for_lines(folder: Path, process: subprocess.Popen[bytes], lines: int) -> None:
    """Wait until so many generations are finished."""
    end = time.monotonic() + 120
    while journal_lines(folder) < lines:
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < end
        time.sleep(0.02)


@needs_signals
@pytest.mark.parametrize("how", ["SIGKILL", "SIGINT"], ids=["killed", "ctrl-c"])
def test_the_next_run_goes_on_where_the_last_was_ended(how: str, suite: Suite) -> None:
    """Its baselines are those of a run that was never interrupted, and it says what it took over."""
    suite.write("test_sums.py", SUITE)
    models = f"--llm-models={suite.spec('tiny')}"
    with subprocess.Popen(
        [suite.warm(), "-m", "pytest", "-p", "no:cacheprovider", models, "--llm-update"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        wait_for_lines(suite.path, process, 10)
        process.send_signal(signal.Signals[how])
        process.communicate(timeout=60)  # until the pipe is closed: a killed launcher ends before what it launched
    finished = journal_lines(suite.path)
    assert 10 <= finished < 48
    assert not (suite.path / "__baselines__").exists()

    resumed = suite.run("--llm-update", models=[suite.spec("tiny")])
    resumed.assert_outcomes(passed=48)
    shown = " ".join(resumed.stdout.str().split())
    assert f"table 'sums', model 'tiny': {finished} of 48 {TAKEN}" in shown
    assert not (suite.path / ".llmcompare" / "journal").exists()

    again = suite.run(models=[suite.spec("tiny")])
    again.assert_outcomes(passed=48)
    assert TAKEN not in " ".join(again.stdout.str().split())


@pytest.mark.parametrize("change", ["", "modeling_own.py", "--llm-decode=plain"])
def test_a_model_that_changed_in_between_is_asked_again(
    suite: Suite, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers of its former code, and those that were not read, would end up in the answer cache."""
    folder = own_model(suite)
    suite.trivia()
    add = Outcomes.add

    def add_one(self: Outcomes, index: int, outcome: Outcome) -> None:
        add(self, index, outcome)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Outcomes, "add", add_one)
        result = suite.run(*([change] if change.startswith("--") else []), models=[f"m={folder}"])
        assert result.ret == pytest.ExitCode.INTERRUPTED
    assert journal_lines(suite.path) == 1
    if change.endswith(".py"):
        (folder / change).write_text("VERSION = 2\n")
    assert says(suite.run(models=[f"m={folder}"]), f"1 of 3 {TAKEN}") == (not change)
