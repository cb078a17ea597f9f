"""In a workflow on GitHub, failures are shown beside the tests."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from .suites import TRIVIA, Suite

DISTIL = "tiny-gpt2-distil"
WORKERS = [pytest.param((), id="alone"), pytest.param(("-n2",), id="xdist")]


@pytest.fixture
def workflow(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> Suite:
    """A suite in a folder of the repository that a workflow has checked out."""
    suite.trivia(recorded=True)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(suite.path.parent))
    return suite


def commands(result: pytest.RunResult) -> list[str]:
    """The workflow commands in the log, without their texts."""
    return ["::" + line.split("::")[1] for line in result.outlines if line.startswith("::")]


def expected(suite: Suite) -> list[str]:
    place = f"file={suite.path.name}/test_trivia.py,line=4"
    return [
        f"::error {place},title=trivia/m/ice%3A drifted",
        f"::warning {place},title=trivia/m/sky%3A shifted likelihood%2C and 1 more case alike",
    ]


@pytest.mark.parametrize("workers", WORKERS)
def test_annotations_stand_beside_the_test(workflow: Suite, workers: tuple[str, ...]) -> None:
    """A drift is an error, silent drift a warning; file and line are those of the repository."""
    run = workflow.run_apart if workers else workflow.run
    result = run(*workers, "-q", models=[workflow.spec("m", DISTIL)])
    assert commands(result) == expected(workflow)
    (drift,) = [line for line in result.outlines if line.startswith("::error")]
    assert re.search(r"drifted::drift @tok 1/\d+ .*%0A  baseline .*%0AAccept: pytest '?--llm-models=", drift)


def test_nothing_is_annotated_elsewhere(workflow: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not outside of GitHub."""
    monkeypatch.delenv("GITHUB_ACTIONS")
    assert commands(workflow.run(models=[workflow.spec("m", DISTIL)])) == []


def test_a_run_without_faults_says_nothing(workflow: Suite) -> None:
    """What is as it was needs no annotation."""
    assert commands(workflow.run()) == []


def test_a_plugin_that_annotates_all_tests_is_left_to_it(workflow: Suite) -> None:
    """No failure is shown twice."""
    workflow.write("pytest_github_actions_annotate_failures.py", "")
    sys.modules.pop("pytest_github_actions_annotate_failures", None)
    workflow.pytester.syspathinsert()
    result = workflow.run("-p", "pytest_github_actions_annotate_failures", models=[workflow.spec("m", DISTIL)])
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert commands(result) == []


def test_tests_outside_of_the_repository_have_no_place(
    workflow: Suite, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No file of another name is blamed."""
    elsewhere: Path = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(elsewhere))
    result = workflow.run("-k", "ice", models=[workflow.spec("m", DISTIL)])
    assert commands(result) == ["::error title=trivia/m/ice%3A drifted"]


def test_a_run_that_compares_nothing_is_annotated(workflow: Suite) -> None:
    """What fails without a test is shown, too."""
    (workflow.path / "test_trivia.py").write_text("def test_other(): pass\n", encoding="utf-8")
    result = workflow.run()
    (line,) = [line for line in result.outlines if line.startswith("::error")]
    assert line.startswith("::error title=model comparison::no test compared the models m=")


def test_missing_baselines_are_told_once(workflow: Suite) -> None:
    """A suite without baselines is one error, not one per case."""
    result = workflow.run(models=[workflow.spec("b", "tiny-bloom")])
    assert [line.partition("title=")[2] for line in commands(result)] == [
        f"trivia/b/{TRIVIA[0]['id']}%3A no baseline%2C and 2 more cases alike"
    ]
