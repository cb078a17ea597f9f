"""200 good baselines, and all that can happen to a run: none of them is lost."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.platforms import needs_fork

from .suites import TEST, Prepared, Suite, record

ROWS = [{"id": f"n{number:03}", "prompt": f"Q: What is {number}?\nA:"} for number in range(200)]
CHANGED = [dict(row, prompt=f"{row['prompt']} ") if row["id"] in ("n007", "n150") else row for row in ROWS]
"""Two baselines of which are stale, so that an update has something to write."""

MANY = TEST.replace(": 6", ": 2")
FILES = ("__baselines__/trivia/m.baseline", "__baselines__/trivia/b.baseline")
EVERYTHING = ("--llm-update-all", "--llm-prune=yes")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, prepared: Prepared, example_models: Path) -> Path:
    """200 baselines of each of two models."""
    models = {"m": example_models / "tiny-gpt2", "b": example_models / "tiny-bloom"}
    return record(tmp_path_factory.mktemp("many") / "suite", prepared.store, models, ROWS, MANY)


@pytest.fixture
def many(suite: Suite, recorded: Path) -> Suite:
    """A suite with these baselines; whatever a test does, they must all be there in the end."""
    suite.trivia(CHANGED, MANY)
    shutil.copytree(recorded, suite.path / "__baselines__")
    suite.write("pytest.ini", "[pytest]\naddopts = -q --tb=no --no-header\n")
    return suite


def changed(suite: Suite, recorded: Path, path: str = FILES[0]) -> set[str]:
    """Names of the cases whose lines are no longer what was recorded; all 200 must be there."""
    text = (recorded.parent / path).read_text(encoding="utf-8")
    before = dict(block.split("\n", 1) for block in text.rstrip("\n").split("\ncase ")[1:])
    after = suite.cases(path)
    assert set(after) == set(before) == {row["id"] for row in ROWS}
    return {name for name in before if after[name].rstrip("\n") != before[name].rstrip("\n")}


def bytes_of(folder: Path) -> dict[str, bytes]:
    """The files below a folder of baselines."""
    return {
        f"__baselines__/{p.relative_to(folder).as_posix()}": p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


SELECTIONS: dict[str, tuple[list[str], set[str]]] = {
    "-k": (["-k", "n00"], {"n007"}),
    "-k for others": (["-k", "n01"], set()),
    "--deselect": (["--deselect", "test_trivia.py::test_trivia[m-n150]"], {"n007"}),
    "one of two models": ([], {"n007", "n150"}),
}


@pytest.mark.parametrize("how", SELECTIONS)
def test_selections(many: Suite, recorded: Path, how: str) -> None:
    """A selection, with an update and a prune: what was not selected stays, in the other model's file too."""
    options, written = SELECTIONS[how]
    result = many.run("--llm-update", "--llm-prune=yes", *options)
    assert result.ret == 0
    assert changed(many, recorded) == written
    before, after = bytes_of(recorded), many.stored()
    assert {path for path in before if after[path] != before[path]} <= {FILES[0], "__baselines__/trivia/m.tokens.jsonl"}
    result.stdout.no_fnmatch_line("trivia/?: *obsolete*")


def test_last_failed(many: Suite, recorded: Path) -> None:
    """`--lf` with everything asked for writes what failed."""
    many.run().assert_outcomes(passed=198, failed=2)
    many.run("--lf", "--llm-update", "--llm-prune=yes").assert_outcomes(passed=2)
    assert changed(many, recorded) == {"n007", "n150"}


def test_stop_at_the_first_failure(many: Suite, recorded: Path) -> None:
    """`-x` stops at the first stale case; nothing is written, nothing is called obsolete."""
    result = many.run("-x", "--llm-prune=yes")
    result.assert_outcomes(passed=7, failed=1)
    assert many.stored() == bytes_of(recorded)
    result.stdout.no_fnmatch_line("trivia/?: *obsolete*")


def test_model_that_cannot_be_loaded(many: Suite, recorded: Path) -> None:
    """All of its tests fail; its baselines stay to the byte, the other model's are updated."""
    (many.path / "hollow").mkdir()
    result = many.run("--llm-update", "--llm-prune=yes", models=["m=./hollow", many.spec("b", "tiny-bloom")])
    result.assert_outcomes(passed=200, errors=200)
    assert changed(many, recorded) == set()
    assert changed(many, recorded, FILES[1]) == {"n007", "n150"}


@pytest.mark.parametrize("options", [[], ["--continue-on-collection-errors"]])
def test_table_that_cannot_be_read(many: Suite, recorded: Path, options: list[str]) -> None:
    """A broken table is not an empty one."""
    with (many.path / "trivia.jsonl").open("a") as table:
        table.write("{broken\n")
    result = many.run(*EVERYTHING, *options)
    assert result.ret != 0
    assert many.stored() == bytes_of(recorded)


DAMAGES: dict[str, Callable[[str], str]] = {
    "0 bytes": lambda text: "",
    "newer format": lambda text: text.replace("#llmcompare-baseline 1", "#llmcompare-baseline 9"),
    "cut in the middle of a line": lambda text: text[: len(text) // 2].rpartition("\n")[0] + "\n.inp",
}


@pytest.mark.parametrize("what", DAMAGES)
def test_file_that_cannot_be_read(many: Suite, recorded: Path, what: str) -> None:
    """A damaged file is an error of its model's tests; whatever is asked for, its bytes stay."""
    path = many.path / FILES[0]
    path.write_text(DAMAGES[what](path.read_text()))
    before = path.read_bytes()
    result = many.run(*EVERYTHING)
    result.assert_outcomes(failed=200)
    assert path.read_bytes() == before
    after = many.stored()
    assert {name: after[name] for name in after if name != FILES[0]} == {
        name: content for name, content in bytes_of(recorded).items() if name != FILES[0]
    }


def test_merge_conflict(many: Suite, recorded: Path) -> None:
    """With conflict markers in the file the other 199 cases work, and an update keeps their lines."""
    many.trivia(ROWS, MANY)
    path = many.path / FILES[0]
    head, case, tail = path.read_text().partition("case n100\n")
    lines, blank, rest = tail.partition("\n\n")
    path.write_text(f"{head}{case}<<<<<<< HEAD\n{lines}\n=======\n{lines} or so\n>>>>>>> other{blank}{rest}")
    many.run().assert_outcomes(passed=199, failed=1)
    many.run("--llm-update").assert_outcomes(passed=200)
    assert many.stored() == bytes_of(recorded)


AT_100 = """
import os, signal

def pytest_runtest_call(item):
    if item.name == "test_trivia[m-n100]":
        {act}
"""


@needs_fork
def test_interrupt_between_tests(many: Suite, recorded: Path) -> None:
    """A real Ctrl-C halfway: what finished is written, the rest is as it was."""
    many.write("conftest.py", AT_100.format(act="os.kill(os.getpid(), signal.SIGINT)"))
    code, _ = many.wait(many.fork("--llm-update", "--llm-prune=yes"))
    assert code == pytest.ExitCode.INTERRUPTED
    assert changed(many, recorded) == {"n007"}


MOMENTS = {
    "in a test": AT_100.format(act="os.kill(os.getpid(), signal.SIGKILL)"),
    "while a draft is written": """
import os, pytest, signal

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtestloop():
    result = yield
    os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)
    return result
""",
    "between the two files": """
import os, pytest, signal

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtestloop():
    result = yield
    replace = os.replace
    def replace_one(*paths, **options):
        replace(*paths, **options)
        if str(paths[1]).endswith(".tokens.jsonl"):
            os.kill(os.getpid(), signal.SIGKILL)
    os.replace = replace_one
    return result
""",
}


@needs_fork
@pytest.mark.parametrize("moment", MOMENTS)
def test_kill(many: Suite, recorded: Path, moment: str) -> None:
    """kill -9 in an update run, whenever it comes: the old files stand, and the next update goes through."""
    many.write("conftest.py", MOMENTS[moment])
    code, _ = many.wait(many.fork("--llm-update"))
    assert code == -signal.SIGKILL
    assert changed(many, recorded) == set()
    many.write("conftest.py", "")
    many.run("--llm-update").assert_outcomes(passed=200)
    assert changed(many, recorded) == {"n007", "n150"}
    many.run().assert_outcomes(passed=200)
    assert not list(many.path.glob("__baselines__/**/*.tmp"))


def test_worker_that_dies(many: Suite, recorded: Path) -> None:
    """A worker of xdist that is killed in a test loses that test only; the others' outputs are written."""
    many.write("conftest.py", AT_100.format(act="os._exit(9)"))
    result = many.run_apart("-n2", "--llm-update", "--llm-prune=yes")
    result.assert_outcomes(passed=199, failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert changed(many, recorded) == {"n007", "n150"}
