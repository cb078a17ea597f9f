"""The action that comments on a pull request: its script runs, with a `gh` that keeps comments in a file."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ACTION = Path(__file__).parents[2] / ".github" / "actions" / "llmcompare-comment"
SCRIPT = ACTION / "comment.sh"

GH = """\
#!{python}
import json, os, pathlib, subprocess, sys

arguments = sys.argv[1:]
assert arguments.pop(0) == "api"
store = pathlib.Path({store!r})
comments = json.loads(store.read_text())
if (store.parent / "denied").exists():
    sys.exit("HTTP 403: Resource not accessible by integration")
method = arguments[arguments.index("--method") + 1] if "--method" in arguments else "GET"
path = next(argument for argument in arguments if argument.startswith("repos/"))
if method == "GET":
    assert path == "repos/us/it/issues/7/comments"
    assert "--paginate" in arguments
    done = subprocess.run(["jq", "-r", arguments[arguments.index("--jq") + 1]], input=json.dumps(comments), text=True)
    sys.exit(done.returncode)
name, _, value = arguments[arguments.index("--field") + 1].partition("=")
assert name == "body" and value.startswith("@")
body = pathlib.Path(value[1:]).read_text()
if method == "POST":
    assert path == "repos/us/it/issues/7/comments"
    comments.append({{"id": 100 + len(comments), "user": {{"login": "github-actions[bot]"}}, "body": body}})
else:
    (one,) = [comment for comment in comments if path == f"repos/us/it/issues/comments/{{comment['id']}}"]
    one["body"] = body
store.write_text(json.dumps(comments))
"""

pytestmark = pytest.mark.skipif(
    os.name == "nt" or shutil.which("jq") is None or shutil.which("bash") is None, reason="needs bash and jq"
)


class PullRequest:
    """A working folder of a job, and the comments on its pull request."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "work"
        self.folder.mkdir()
        self.store = folder / "comments.json"
        self.store.write_text("[]")
        programs = folder / "bin"
        programs.mkdir()
        gh = programs / "gh"
        gh.write_text(GH.format(python=sys.executable, store=str(self.store)))
        gh.chmod(0o755)
        self.path = os.pathsep.join([str(programs), os.environ["PATH"]])

    @property
    def comments(self) -> list[dict[str, Any]]:
        """All comments."""
        comments: list[dict[str, Any]] = json.loads(self.store.read_text())
        return comments

    def run(self, **variables: str) -> str:
        """Run the script as the action does; what it prints."""
        inputs = {
            "REPORT": "llm.md",
            "ARTIFACT": "llmcompare",
            "ARTIFACT_URL": "https://github.com/us/it/actions/runs/55/artifacts/9",
            "KEY": "default",
            "AUTHOR": "github-actions[bot]",
            "PULL_REQUEST": "7",
        }
        github = {"GITHUB_RUN_ID": "55", "GITHUB_REPOSITORY": "us/it", "GITHUB_SHA": "abc123", "GH_TOKEN": "t"}
        done = subprocess.run(
            ["bash", str(SCRIPT)],
            cwd=self.folder,
            env={"PATH": self.path, **github, **inputs, **variables},
            capture_output=True,
            encoding="utf-8",
            check=True,
        )
        return done.stdout


@pytest.fixture
def pull_request(tmp_path: Path) -> PullRequest:
    return PullRequest(tmp_path)


def test_one_comment_is_kept_up_to_date(pull_request: PullRequest) -> None:
    """The second run writes over the first; comments of others stay, also one that has the marker."""
    report = pull_request.folder / "llm.md"
    report.write_text("## Model comparison: failed\n")
    (pull_request.folder / ".llmcompare").mkdir()
    (pull_request.folder / ".llmcompare" / "pending.jsonl").write_text("{}\n")
    pull_request.store.write_text(
        json.dumps([{"id": 1, "user": {"login": "stranger"}, "body": "<!-- pytest-llmcompare: default -->\nfake"}])
    )
    pull_request.run()
    stranger, ours = pull_request.comments
    assert stranger["body"].endswith("fake")
    assert ours["body"].startswith("<!-- pytest-llmcompare: default -->\n## Model comparison: failed\n")
    assert "(https://github.com/us/it/actions/runs/55/artifacts/9)" in ours["body"]
    accept = "llmcompare accept --all --from from-ci/.llmcompare/pending.jsonl"
    assert f"gh run download 55 --name llmcompare --dir from-ci && {accept}" in ours["body"]

    report.write_text("## Model comparison: passed\n")
    (pull_request.folder / ".llmcompare" / "pending.jsonl").unlink()
    pull_request.run()
    stranger, ours = pull_request.comments
    assert "passed" in ours["body"]
    assert "failed" not in ours["body"]
    assert "llmcompare accept" not in ours["body"]


def test_jobs_have_comments_of_their_own(pull_request: PullRequest) -> None:
    """A key tells them apart; it cannot leave the marker."""
    (pull_request.folder / "llm.md").write_text("report\n")
    pull_request.run(KEY="gpu --> <b>")
    pull_request.run(KEY="cpu")
    pull_request.run(KEY="cpu")
    assert [comment["body"].partition("\n")[0] for comment in pull_request.comments] == [
        "<!-- pytest-llmcompare: gpu------b- -->",
        "<!-- pytest-llmcompare: cpu -->",
    ]


def test_what_keeps_it_from_commenting_is_a_warning(pull_request: PullRequest) -> None:
    """No report, no pull request, no permission: the step passes, and says why there is no comment."""
    assert "there is no report llm.md" in pull_request.run()
    (pull_request.folder / "llm.md").write_text("report\n")
    assert "No pull request" in pull_request.run(PULL_REQUEST="")
    (pull_request.store.parent / "denied").touch()
    assert "Give the job pull-requests: write" in pull_request.run()
    assert pull_request.comments == []


def test_the_action_hands_over_its_inputs() -> None:
    """Every input is a variable of the script, and every variable of the script is set."""
    action = yaml.safe_load((ACTION / "action.yml").read_text(encoding="utf-8"))
    (step,) = action["runs"]["steps"]
    script = SCRIPT.read_text(encoding="utf-8")
    assert step["run"] == 'bash "$GITHUB_ACTION_PATH/comment.sh"'
    for name, value in step["env"].items():
        assert name == "GH_TOKEN" or f"${name}" in script or f"${{{name}" in script or f"env.{name}" in script
        assert not value.startswith("${{ inputs.") or value[11:-3] in action["inputs"]
    page = (ACTION.parents[2] / "docs" / "ci.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in page for name in action["inputs"])
    (block,) = (block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "uses: OWNER" in block)
    *_, used = yaml.safe_load(block)
    assert set(used["with"]) <= set(action["inputs"])
    assert used["uses"] == f"OWNER/pytest-llmcompare/{ACTION.relative_to(ACTION.parents[2]).as_posix()}@main"
