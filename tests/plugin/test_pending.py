"""What a run leaves open waits in `.llmcompare/pending.jsonl`, from the moment that it is found."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.platforms import needs_fork, needs_proc

from .suites import TEST, TRIVIA, Suite

DISTIL = "tiny-gpt2-distil"
NEW = {"id": "new", "prompt": "Q: What is 2+2?\nA:"}
STALE_SKY = {"id": "sky", "prompt": "Q: What color is snow?\nA:"}
ROWS = [STALE_SKY, TRIVIA[1], TRIVIA[2], NEW]

WORKERS = [pytest.param((), id="alone"), pytest.param(("-n2",), id="xdist")]


def pending_path(suite: Suite) -> Path:
    return suite.path / ".llmcompare" / "pending.jsonl"


def lines(suite: Suite) -> list[dict[str, Any]]:
    """All lines of the pending file."""
    path = pending_path(suite)
    return [json.loads(line) for line in path.read_text("ascii").splitlines()] if path.exists() else []


def waiting(suite: Suite) -> dict[str, str]:
    """Verdict of each case that waits, by the case."""
    found = {}
    for line in lines(suite):
        key = line["key"]
        name = "/".join([key["group"]["table"], key["group"]["model"], key["prompt_id"]])
        found[name + (f"@{key['variant']}" if key["variant"] else "")] = line["judgement"]["verdict"]
    return found


@pytest.mark.parametrize("workers", WORKERS)
def test_every_difference_waits(suite: Suite, workers: tuple[str, ...]) -> None:
    """Drifted, shifted, missing and stale cases wait, with xdist and without; nothing of them is in git."""
    suite.trivia(ROWS, recorded=True)
    run = suite.run_apart if workers else suite.run
    run(*workers, models=[suite.spec("m", DISTIL)])
    assert waiting(suite) == {
        "trivia/m/sky": "stale",
        "trivia/m/hamlet": "shifted",
        "trivia/m/ice": "drifted",
        "trivia/m/new": "missing",
    }
    assert (suite.path / ".llmcompare" / ".gitignore").read_text() == "*\n"
    by_id = {line["key"]["prompt_id"]: line for line in lines(suite)}
    ice = by_id["ice"]
    assert set(ice) == {
        *("pending", "key", "run", "commit", "test", "old", "judgement", "prompt", "baseline", "new"),
    }
    assert ice["pending"] == 1
    assert ice["test"] == "test_trivia.py::test_trivia[m-ice]"
    assert ice["prompt"] == TRIVIA[2]["prompt"]
    assert (ice["baseline"], ice["new"]["generation"]["text"]) == (" Yes.\n\nQ:", " Ice is fire")
    assert dict(ice["new"]["generation"]["environment"])["device"] == "cpu"
    assert ice["new"]["generation"]["path"] is None
    assert [bool(by_id[name]["old"]) for name in ("sky", "hamlet", "ice", "new")] == [True, True, True, False]
    assert len({line["run"] for line in by_id.values()}) == 1


def in_folder(suite: Suite) -> set[str]:
    """What `.llmcompare` holds: at the end of a run nothing but the answer cache."""
    return {path.name for path in pending_path(suite).parent.iterdir()}


def test_a_match_waits_for_nobody(suite: Suite) -> None:
    """Where all is as it was there is no file; a case that passes again takes its entry along."""
    suite.trivia(recorded=True)
    suite.run()
    assert in_folder(suite) == {".gitignore", "answers"}
    suite.run(models=[suite.spec("m", DISTIL)])
    assert set(waiting(suite)) == {"trivia/m/sky", "trivia/m/hamlet", "trivia/m/ice"}
    suite.run("-k", "ice or sky")
    assert set(waiting(suite)) == {"trivia/m/hamlet"}
    suite.run()
    assert in_folder(suite) == {".gitignore", "answers"}


def test_a_later_entry_replaces_the_earlier(suite: Suite) -> None:
    """Of several runs the last finding counts, and the file has one line per case."""
    suite.trivia(TRIVIA[2:], recorded=True)
    suite.run(models=[suite.spec("m", DISTIL)])
    first = lines(suite)
    suite.run(models=[suite.spec("m", "tiny-bloom")])
    second = lines(suite)
    assert len(first) == len(second) == 1
    assert first[0]["new"]["generation"]["text"] != second[0]["new"]["generation"]["text"]
    assert first[0]["old"] == second[0]["old"]


@pytest.mark.parametrize("workers", WORKERS)
def test_what_is_accepted_waits_no_more(suite: Suite, workers: tuple[str, ...]) -> None:
    """`--llm-update` removes the entries of what it writes, and `--llm-update-missing` only those."""
    suite.trivia(ROWS, recorded=True)
    model = suite.spec("m", DISTIL)
    suite.run(models=[model])
    run = suite.run_apart if workers else suite.run
    run(*workers, "--llm-update-missing", models=[model])
    assert set(waiting(suite)) == {"trivia/m/sky", "trivia/m/hamlet", "trivia/m/ice"}
    run(*workers, "--llm-update", models=[model])
    assert in_folder(suite) == {".gitignore", "answers"}


@needs_proc
def test_what_could_not_be_written_waits(suite: Suite) -> None:
    """An update whose baseline file cannot be written loses no output."""
    suite.trivia(TRIVIA[:1])
    path = suite.path / "__baselines__/trivia/m.baseline"
    path.parent.mkdir(parents=True)
    path.symlink_to("/proc/none.baseline")
    suite.run("--llm-update")
    assert waiting(suite) == {"trivia/m/sky": "missing"}


def test_an_output_that_fails_another_check_does_not_wait(suite: Suite) -> None:
    """What `--llm-update` would not write cannot be accepted either."""
    blue = '\n@pytest.mark.llm_prompts("trivia.jsonl", gen_config={"max_new_tokens": 6}, model_type=None)\n'
    blue += 'def test_blue(llm_output):\n    assert "blue" in llm_output.text\n'
    suite.trivia(TRIVIA[:2], TEST + blue)
    suite.run()
    assert waiting(suite) == {"trivia/m/sky": "missing"}


UNTIDY = """
import pytest

@pytest.fixture
def untidy():
    yield
    raise OSError("in the way")
"""


def test_an_output_whose_test_fails_at_its_end_does_not_wait(suite: Suite) -> None:
    """`--llm-update` does not write it either, whether or not the comparison itself had failed."""
    suite.write("conftest.py", UNTIDY)
    suite.trivia(TRIVIA[2:], TEST.replace("(llm_output,", "(untidy, llm_output,"), recorded=True)
    other = [suite.spec("m", DISTIL)]
    suite.run(models=other).assert_outcomes(failed=1, errors=1)
    assert waiting(suite) == {}
    before = suite.stored()
    suite.run("--llm-update", models=other).assert_outcomes(passed=1, errors=1)
    assert (suite.stored(), waiting(suite)) == (before, {})


def test_a_model_that_fails_leaves_what_waits(suite: Suite) -> None:
    """An error says nothing about the output of the run before."""
    suite.trivia(recorded=True)
    suite.run(models=[suite.spec("m", DISTIL)])
    before = waiting(suite)
    suite.run(models=["m=./nowhere"])
    assert waiting(suite) == before != {}


def test_with_a_drift_budget(suite: Suite) -> None:
    """A drifted case whose test passes, because the run as a whole decides, waits too."""
    suite.trivia(recorded=True)
    suite.run("--llm-drift-budget=100", models=[suite.spec("m", DISTIL)]).assert_outcomes(passed=3)
    assert waiting(suite)["trivia/m/ice"] == "drifted"


def test_each_sample_is_an_entry(suite: Suite) -> None:
    """Several draws of a row wait one by one."""
    settings = '{"max_new_tokens": 6, "do_sample": True}'
    suite.trivia(TRIVIA[:1], TEST.replace('{"max_new_tokens": 6}', f"{settings}, samples=2"))
    suite.run()
    assert waiting(suite) == {"trivia/m/sky": "missing", "trivia/m/sky@#2": "missing"}


STOPS = """
import pathlib, time
import pytest

@pytest.mark.llm_prompts("trivia.jsonl", gen_config={"max_new_tokens": 6}, model_type=None)
def test_trivia(llm_case, llm_output, llm_baseline):
    if llm_case.id == "ice":
        pathlib.Path("there").touch()
        time.sleep(300)
    assert llm_output == llm_baseline
"""


@needs_fork
def test_a_run_that_is_killed_leaves_usable_lines(suite: Suite) -> None:
    """kill -9 in the third test: the first two wait, and the next run goes on from there."""
    suite.trivia(test=STOPS)
    child = suite.fork()
    end = time.monotonic() + 60
    while not (suite.path / "there").exists() and time.monotonic() < end:
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    suite.wait(child)
    assert waiting(suite) == {"trivia/m/sky": "missing", "trivia/m/hamlet": "missing"}


def test_half_a_line_is_passed_over(suite: Suite) -> None:
    """It is told of once and spoils no other; then it is gone."""
    suite.trivia(TRIVIA[2:], recorded=True)
    path = pending_path(suite)
    path.parent.mkdir()
    path.write_text('{"pending": 1, "key": {"group"')
    result = suite.run(models=[suite.spec("m", DISTIL)])
    result.stdout.fnmatch_lines([".llmcompare/pending.jsonl, line 1: broken, so it is not used."])
    assert waiting(suite) == {"trivia/m/ice": "drifted"}


def test_a_file_of_another_version_stays_as_it_is(suite: Suite) -> None:
    """The run says so and goes on without; not a byte of the file changes."""
    suite.trivia(TRIVIA[2:], recorded=True)
    path = pending_path(suite)
    path.parent.mkdir()
    path.write_text('{"pending": 2, "what": "nobody knows"}\n')
    result = suite.run(models=[suite.spec("m", DISTIL)])
    result.assert_outcomes(failed=1)
    shown = " ".join(result.stdout.str().split())
    assert (
        ".llmcompare/pending.jsonl, line 1: the line has format 2; this version of pytest-llmcompare reads format 1. "
        "Upgrade (pip install --upgrade pytest-llmcompare), or delete the file and run pytest again. "
        "The run goes on without it; llmcompare review shows only what was kept." in shown
    )
    assert path.read_text() == '{"pending": 2, "what": "nobody knows"}\n'


def test_where_it_cannot_be_written_the_run_goes_on(suite: Suite) -> None:
    """A place that cannot be written is one note, and changes neither outcomes nor exit code."""
    suite.trivia(recorded=True)
    (suite.path / ".llmcompare").write_text("in the way")
    result = suite.run(models=[suite.spec("m", DISTIL)])
    result.assert_outcomes(passed=2, failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    shown = " ".join(result.stdout.str().split())
    assert shown.count(".llmcompare/pending.jsonl: what differs cannot be kept for review: Not a directory.") == 1
    assert "--llm-update" in shown
    assert "or: llmcompare review" not in shown
    assert (suite.path / ".llmcompare").read_text() == "in the way"
