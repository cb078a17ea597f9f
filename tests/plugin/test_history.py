"""`llmcompare history`: the runs of a table in MLflow, commit by commit."""

from __future__ import annotations

import subprocess

import pytest

from pytest_llmcompare.cli.main import main

from .suites import TEST, Suite

ROW = {"id": "a", "prompt": "Hello"}


def commit(suite: Suite, word: str) -> str:
    """Change the table, commit it and run: the first characters of the commit."""
    suite.trivia([{**ROW, "prompt": word}], TEST)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "add", "-A"], cwd=suite.path, check=True)
    subprocess.run([*git, "commit", "-qm", word], cwd=suite.path, check=True)
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=suite.path, check=True, capture_output=True, encoding="utf-8"
    )
    return head.stdout[:9]


def test_commits_and_models(suite: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    """Two commits, the second run twice, and a model that is only in the second."""
    subprocess.run(["git", "init", "-q"], cwd=suite.path, check=True)
    first = commit(suite, "One")
    suite.run("--llm-update", models=["m=echo:"])
    second = commit(suite, "Two")
    suite.run(models=["m=echo:"])
    suite.run("--llm-update", models=["m=echo:", "n=echo:"])
    capsys.readouterr()
    page = suite.path / "history.html"
    assert main(["history", "trivia", "--html", str(page)]) == 0
    shown = capsys.readouterr().out
    assert "m: 3 runs at 2 commits" in shown
    assert "n: 1 run at 1 commit" in shown
    assert shown.index(first) < shown.index(second)
    html = page.read_text(encoding="utf-8")
    assert first in html
    assert second in html

    assert main(["history", "./trivia", "--model", "n", "--since", "1h"]) == 0
    shown = capsys.readouterr().out
    assert "n: 1 run at 1 commit" in shown
    assert "m: " not in shown


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["trivya"], 1, "has no run of a table 'trivya'. Did you mean 'trivia'?"),
        (["trivia", "--model", "x"], 1, "has no run of a model 'x'."),
        (["trivia", "--since", "2999-01-01"], 1, "has no run since 2999-01-01"),
        (["trivia", "--since", "lately"], 2, "expected a date such as 2026-11-01, or 30d, 12h, 2w"),
        (["trivia", "--metric", "drift"], 2, "no run of 'trivia' has it."),
        (["trivia", "--html", "no/folder/x.html"], 1, "cannot be written"),
        (["trivia", "--tracking-uri", "sqlite:///none.db"], 1, "there is no MLflow store at sqlite:///none.db"),
    ],
)
def test_faults(
    suite: Suite, arguments: list[str], status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each is one sentence, and no store is made."""
    suite.trivia([ROW], TEST)
    suite.run("--llm-update", models=["m=echo:"])
    capsys.readouterr()
    assert main(["history", *arguments]) == status
    assert message in capsys.readouterr().err
    assert not (suite.path / "none.db").exists()
