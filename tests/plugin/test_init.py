"""`llmcompare init`: what it writes passes at once, and nothing that is there is lost."""

from __future__ import annotations

import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from pytest_llmcompare.cli.init import IGNORED, STARTER
from pytest_llmcompare.cli.main import main

from .suites import Suite

DOCS = Path(__file__).parents[2] / "docs"


def tree(folder: Path) -> dict[str, bytes]:
    """All files in a folder."""
    files = (path for path in folder.rglob("*") if path.is_file() and ".git/" not in path.as_posix())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize("has_tests", [False, True])
def test_a_new_suite_passes_at_once(suite: Suite, has_tests: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """By the first command that it shows; git then sees only what belongs into the repository."""
    subprocess.run(["git", "init", "-q"], cwd=suite.path, check=True)
    if has_tests:
        (suite.path / "tests").mkdir()
    before = set(tree(suite.path))
    assert main(["init"]) == 0
    shown = capsys.readouterr().out
    place = "tests/" if has_tests else ""
    new = set(tree(suite.path)) - before
    assert new == {
        *(f"{place}prompts.csv", f"{place}test_prompts.py", f"{place}__baselines__/prompts/echo.baseline"),
        *("pyproject.toml", ".gitignore", ".github/workflows/llmcompare.yml"),
    }
    assert all(name in shown for name in new)
    command = next(line for line in shown.splitlines() if line.startswith("Try it:")).partition(":")[2]
    suite.run(*shlex.split(command)[1:], models=[]).assert_outcomes(passed=3)
    git = ["git", "status", "--porcelain", "--untracked-files=all"]
    seen = subprocess.run(git, cwd=suite.path, check=True, capture_output=True, encoding="utf-8").stdout
    paths = {line[3:] for line in seen.splitlines() if "__pycache__" not in line}
    assert paths - before == new


def test_a_second_time_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path)]) == 0
    before = tree(tmp_path)
    assert main(["init", str(tmp_path)]) == 0
    assert tree(tmp_path) == before
    shown = capsys.readouterr().out
    assert "kept     prompts.csv (it is there already)" in shown
    assert f"pytest {tmp_path}" in shown


def test_what_is_there_is_kept(tmp_path: Path) -> None:
    """Settings of others stay, a missing end of line is added, and no line of .gitignore is doubled."""
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "mine"  # a comment', encoding="utf-8")
    (tmp_path / ".gitignore").write_text("/mlruns\nbuild", encoding="utf-8")
    (tmp_path / "prompts.csv").write_text("mine", encoding="utf-8")
    assert main(["init", str(tmp_path)]) == 0
    text = (tmp_path / "pyproject.toml").read_text(encoding="utf-8")
    assert text.startswith('[project]\nname = "mine"  # a comment\n\n[tool.llmcompare]\n')
    assert tomllib.loads(text)["tool"]["llmcompare"]["default_models"] == ["echo:"]
    assert (tmp_path / ".gitignore").read_text(encoding="utf-8").split() == [
        *("/mlruns", "build", "mlflow.db", "mlartifacts/", ".llmcompare/")
    ]
    assert (tmp_path / "prompts.csv").read_text(encoding="utf-8") == "mine"
    assert not (tmp_path / "__baselines__").exists()  # it would be of another table


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("pyproject.toml", b"[tool", "is not TOML"),
        ("pyproject.toml", b"\xff", "cannot be read"),
        (".github", b"a file", "cannot be written"),
    ],
)
def test_a_fault_changes_no_file(
    tmp_path: Path, name: str, content: bytes, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(content)
    assert main(["init", str(tmp_path)]) != 0
    assert message in capsys.readouterr().err
    assert tree(tmp_path) == {name: content}


def test_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path / "none")]) == 2
    assert "mkdir" in capsys.readouterr().err


def test_a_part_of_a_repository_gets_no_workflow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "package").mkdir()
    assert main(["init", str(tmp_path / "package")]) == 0
    assert "not the root of the repository" in capsys.readouterr().out
    assert not (tmp_path / "package" / ".github").exists()


def test_the_workflow_is_that_of_the_docs() -> None:
    workflow = (STARTER / "llmcompare.yml").read_text(encoding="utf-8")
    assert workflow == (DOCS / "ci" / "github-actions.yml").read_text(encoding="utf-8")
    assert "compare" in yaml.safe_load(workflow)["jobs"]


def test_ignored_are_the_files_that_runs_write() -> None:
    ours = (DOCS.parent / ".gitignore").read_text(encoding="utf-8").split()
    assert set(IGNORED) <= set(ours)
