"""docs/ci is true: the steps of the workflows run, in a real repository with a pull request that changes a model."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_llmcompare.cli.main import COMMANDS, main

from .suites import Suite

CI = Path(__file__).parents[2] / "docs" / "ci"
GITHUB, GITLAB = (CI / name for name in ("github-actions.yml", "gitlab-ci.yml"))
CONFIG = '[tool.llmcompare.models.qa]\nsource = "models/{}"\n'
BASELINE = "__baselines__/trivia/qa.baseline"
REPORT_FILES = ("llm.html", ".llmcompare/pending.jsonl")


def read(path: Path) -> dict[str, Any]:
    """A workflow."""
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def steps() -> dict[str, dict[str, Any]]:
    """The named steps of the GitHub workflow."""
    return {step["name"]: step for step in read(GITHUB)["jobs"]["compare"]["steps"] if "name" in step}


def options_of(command: str) -> list[str]:
    """The arguments of a pytest command."""
    program, *arguments = shlex.split(command)
    assert program == "pytest"
    return arguments


def git(folder: Path, *arguments: str) -> str:
    """Run git; what it says."""
    identity = {
        "GIT_AUTHOR_NAME": "A",
        "GIT_AUTHOR_EMAIL": "a@b",
        "GIT_COMMITTER_NAME": "A",
        "GIT_COMMITTER_EMAIL": "a@b",
    }
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        check=True,
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, **identity},
    )
    return done.stdout


def shell(script: str, folder: Path, **variables: str) -> str:
    """Run the script of a step; what it says."""
    environment = {**os.environ, **variables}
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script],
        cwd=folder,
        check=True,
        capture_output=True,
        encoding="utf-8",
        env=environment,
    )
    return done.stdout


@pytest.fixture
def pull_request(suite: Suite) -> Suite:
    """A clone with a branch checked out that puts another model behind the name `qa`; `origin/main` is beside it."""
    suite.trivia()
    (suite.path / "models").symlink_to(suite.models, target_is_directory=True)
    shutil.copytree(suite.prepared.baselines, suite.path / "__baselines__")
    for end in ("baseline", "tokens.jsonl"):
        path = suite.path / "__baselines__" / "trivia" / f"m.{end}"
        path.write_text(path.read_text(encoding="utf-8").replace("#model m\n", "#model qa\n"), encoding="utf-8")
        path.rename(path.with_name(f"qa.{end}"))
    (suite.path / "pyproject.toml").write_text(CONFIG.format("tiny-gpt2"))
    (suite.path / ".gitignore").write_text("models\nmlflow.db\n.llmcompare\n__pycache__\n")
    git(suite.path, "init", "-q", "-b", "main")
    git(suite.path, "add", ".")
    git(suite.path, "commit", "-q", "-m", "main")
    git(suite.path, "update-ref", "refs/remotes/origin/main", "HEAD")
    git(suite.path, "checkout", "-q", "-b", "smaller")
    (suite.path / "pyproject.toml").write_text(CONFIG.format("tiny-gpt2-distil"))
    git(suite.path, "commit", "-q", "-a", "-m", "A smaller model")
    return suite


def test_a_pull_request_is_gated_and_accepted(
    pull_request: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The job fails, with its files to upload; the command that its summary ends with accepts; then it is green."""
    suite, job = pull_request, steps()
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    failed = suite.run(*options_of(job["compare with main"]["run"]), models=[])
    failed.assert_outcomes(failed=1, passed=2)
    shell(job["say how to accept"]["run"], suite.path, GITHUB_RUN_ID="77", GITHUB_STEP_SUMMARY=str(summary))
    uploaded = job["keep the report and what is pending"]["with"]
    assert tuple(uploaded["path"].split()) == REPORT_FILES
    assert uploaded["include-hidden-files"] is True  # else upload-artifact passes over .llmcompare

    told = summary.read_text(encoding="utf-8")
    assert "1 drifted" in told
    download, _, accept = told.rstrip().removesuffix("```").rstrip().rpartition("\n")[2].partition(" && ")
    assert download == "gh run download 77 --name llmcompare --dir from-ci"
    for name in uploaded["path"].split():  # as the artifact has them
        (suite.path / "from-ci" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(suite.path / name, suite.path / "from-ci" / name)
    assert main(shlex.split(accept)[1:]) == 0
    assert "3 accepted." in capsys.readouterr().out
    changed = git(suite.path, "diff", "-U0", "--", BASELINE)
    assert "-| Yes.\n" in changed
    assert "+| Ice is fire\n" in changed

    labelled = job["compare with the baselines of the pull request"]
    accepted = suite.run(*options_of(labelled["run"]), models=[])
    accepted.assert_outcomes(passed=3)
    assert "drift-accepted" in labelled["if"]
    assert "!contains" in job["compare with main"]["if"]


def test_gitlab_job_does_the_same(pull_request: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    """Its script fails, its artifacts are there also then, and what it prints accepts."""
    suite, job = pull_request, read(GITLAB)["llmcompare"]
    (script,) = job["script"]
    arguments = options_of(script.replace("$AGAINST", job["variables"]["AGAINST"]))
    suite.run(*arguments, models=[]).assert_outcomes(failed=1, passed=2)
    assert job["artifacts"]["when"] == "always"
    assert all((suite.path / path).is_file() for path in (*job["artifacts"]["paths"], "llm.xml"))
    said = shell("\n".join(job["after_script"]), suite.path, CI_PROJECT_ID="5", CI_JOB_ID="77").splitlines()[-1]
    download, _, accept = said.partition(" && ")
    assert download == "glab api projects/5/jobs/77/artifacts/.llmcompare/pending.jsonl > from-ci.jsonl"
    shutil.move(suite.path / ".llmcompare" / "pending.jsonl", suite.path / "from-ci.jsonl")
    assert main(shlex.split(accept)[1:]) == 0
    assert "3 accepted." in capsys.readouterr().out
    labelled, plain = job["rules"]
    assert labelled["variables"] == {"AGAINST": ""}
    assert "variables" not in plain


@pytest.mark.parametrize("path", [GITHUB, GITLAB], ids=["github", "gitlab"])
def test_options_and_commands_are_those_that_there_are(path: Path, pytester: pytest.Pytester) -> None:
    """No step names an option or a command that the program does not have."""
    text = path.read_text(encoding="utf-8")
    helped = pytester.runpytest_inprocess("--help").stdout.str()
    assert set(re.findall(r"--llm-[a-z-]+", text)) <= set(re.findall(r"--llm-[a-z-]+", helped))
    known = {str(command.name) for command in COMMANDS}
    assert set(re.findall(r"&& llmcompare ([a-z]+)", text)) == {"accept"} <= known
