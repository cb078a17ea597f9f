"""`llmcompare cache`: what it shows, and how it is deleted, carried elsewhere and brought back."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_llmcompare.baselines.answer_cache import CacheFile, files_in
from pytest_llmcompare.baselines.cache_lines import CachedAnswer, CachedModel, answer_line, key_of, model_line
from pytest_llmcompare.cli.main import main
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.records import GroupKey

GROUP = GroupKey("tests", "trivia", "tiny\x1b[31m")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with two answers in its cache."""
    facts = {"weights": "abc"}
    answers = [CachedAnswer(key_of(facts), row, {"prompt": row}, Generation("x")) for row in "ab"]
    file = CacheFile(tmp_path, GROUP)
    lines = [model_line(key_of(facts), CachedModel(facts, {}), GROUP), *map(answer_line, answers)]
    assert file.append(lines) == ""
    return tmp_path


@pytest.mark.parametrize("command", [["cache"], ["cache", "show"]])
def test_it_shows_what_is_cached(
    root: Path, command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tables and models with the number of their answers; names cannot act on the terminal."""
    monkeypatch.chdir(root)
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "tests / trivia / tiny" in shown
    assert ": 2 answers" in shown
    assert ".llmcompare/answers: 1 file, 0.0 MiB" in shown
    assert "\x1b" not in shown


def test_export_clear_import(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All lines come back."""
    archive = str(tmp_path / "answers.zip")
    before = {path.name: path.read_bytes() for path in files_in(root)}
    for command in (["export", archive], ["clear"], ["import", archive]):
        assert main(["cache", *command, "--root", str(root)]) == 0
    shown = capsys.readouterr().out
    assert "1 file written to" in shown
    assert "1 file deleted in" in shown
    assert "3 lines added" in shown
    assert {path.name: path.read_bytes() for path in files_in(root)} == before


@pytest.mark.parametrize("command", ["export", "import"])
def test_what_cannot_be_done_is_said(tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """No answers to export, no archive to import."""
    assert main(["cache", command, str(tmp_path / "answers.zip"), "--root", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("llmcompare: ")
