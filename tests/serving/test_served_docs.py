"""What `docs/servers.md` shows about CI and `llmcompare models` is true of a real llama.cpp server."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.plugin.pages import blocks_of
from tests.plugin.suites import Suite

pytestmark = pytest.mark.slow

WORKFLOW = Path(__file__).parents[2] / "docs" / "ci" / "github-actions-served.yml"
TEST = """
import pytest

@pytest.mark.llm_prompts("trivia.jsonl", gen_config={"max_new_tokens": 6}, model_type=None)
def test_trivia(llm_output, llm_baseline):
    assert llm_output == llm_baseline
"""


def job() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]["compare"]
    return read


def settings() -> str:
    """The table of the model that the page shows beside the workflow."""
    tables = [block.text for block in blocks_of("servers.md") if block.language == "toml"]
    return next(text for text in tables if "http://127.0.0.1:8080/v1" in text)


def script(name: str, folder: Path, commands: Path) -> subprocess.CompletedProcess[str]:
    """Run a step of the workflow with bash, as GitHub does."""
    (text,) = [step["run"] for step in job()["steps"] if step.get("name", "").startswith(name)]
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", text.replace("sleep 5", "sleep 0.1").replace("seq 60", "seq 2")],
        cwd=folder,
        check=False,
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"},
    )


def test_the_workflow_compares_a_served_model(
    suite: Suite, llama_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It waits for the server that its service starts, compares, and keeps what it names."""
    service = job()["services"]["llama"]
    assert service["ports"] == ["8080:8080"]
    table = tomllib.loads(settings())["tool"]["llmcompare"]["models"]["qa"]
    assert table["concurrency"] == service["env"]["LLAMA_ARG_N_PARALLEL"]
    suite.trivia(test=TEST)
    suite.write("pyproject.toml", settings().replace("http://127.0.0.1:8080/v1", "http://127.0.0.1:1/v1"))
    commands = Path(suite.warm()).parent
    assert script("wait", suite.path, commands).returncode == 1
    suite.write("pyproject.toml", settings().replace("http://127.0.0.1:8080/v1", llama_url))
    waited = script("wait", suite.path, commands)
    assert waited.returncode == 0, waited.stdout
    suite.run("--llm-update", models=[]).assert_outcomes(passed=3)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    (compare,) = [step["run"] for step in job()["steps"] if step.get("name") == "compare"]
    suite.run(*shlex.split(compare)[1:], models=[]).assert_outcomes(passed=3)
    assert "3 identical" in (tmp_path / "summary.md").read_text(encoding="utf-8")
    kept = job()["steps"][-1]["with"]
    assert (suite.path / kept["path"].split()[0]).is_file()
    assert kept["include-hidden-files"] is True


def test_the_command_shows_what_the_page_shows(suite: Suite, llama_url: str) -> None:
    """But for the address and the build."""
    (block,) = [block for block in blocks_of("servers.md") if block.language == "console"]
    command, *expected = block.text.splitlines()
    assert command == "$ llmcompare models"
    suite.write("pyproject.toml", f'[tool.llmcompare.models.qa]\nsource = "openai:tiny-gpt2@{llama_url}"\n')
    done = subprocess.run(
        [str(Path(suite.warm()).parent / "llmcompare"), "models"],
        cwd=suite.path,
        check=False,
        capture_output=True,
        encoding="utf-8",
    )
    shown = re.sub(
        r"llama\.cpp b\S+", "llama.cpp b0-unknown", done.stdout.replace(llama_url, "http://127.0.0.1:8000/v1")
    )
    assert shown.splitlines() == expected
