"""`llmcompare report`: what is saved as JSON can be drawn again, without a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_llmcompare.cli.report import report
from pytest_llmcompare.errors import ReportError, UsageError
from pytest_llmcompare.reports.html import html_report
from pytest_llmcompare.reports.markdown import markdown_report
from pytest_llmcompare.reports.report_data import json_report

from .runs import drawn, hostile, mixed


def draw(*arguments: str) -> int:
    """Run the command."""
    code: int = report.main(arguments, standalone_mode=False)
    return code


@pytest.mark.parametrize("document", [drawn(mixed()), hostile()], ids=["mixed", "hostile"])
def test_what_is_drawn_again_is_what_the_run_drew(
    document: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """To the byte, in every format."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "saved.json").write_text(json_report(document))
    assert draw("saved.json", "a.html", "a.md", "a.json") == 0
    assert capsys.readouterr().out == "report: a.html\nreport: a.md\nreport: a.json\n"
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == html_report(document)
    assert (tmp_path / "a.md").read_text(encoding="utf-8") == markdown_report(document)
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == json_report(document)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "is not a JSON report: Expecting property name enclosed in double quotes"),
        ("[]", "is no report of pytest-llmcompare, expected schema version 1."),
        ('{"a": 1}', "is no report of pytest-llmcompare, expected schema version 1."),
        ('{"schema_version": 2}', "is a report of schema version 2, expected schema version 1."),
        (b"\xff", "is not a JSON report: 'utf-8' codec can't decode byte 0xff"),
    ],
)
def test_what_is_no_report(content: str | bytes, told: str, tmp_path: Path) -> None:
    """Another file, half a file, another version: a usage error that says how to get one."""
    path = tmp_path / "saved.json"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UsageError) as error:
        draw(str(path), "a.md")
    assert str(error.value).startswith(f"{path} (command line) {told}")
    assert str(error.value).endswith("\nWrite one with pytest --llm-report=report.json")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """The path and the system's reason."""
    with pytest.raises(ReportError, match=r"none\.json: cannot be read: No such file or directory"):
        draw(str(tmp_path / "none.json"), "a.md")


def test_a_path_of_another_ending(tmp_path: Path) -> None:
    """It is refused before anything is read."""
    with pytest.raises(UsageError, match=r"report 'a.txt' \(command line\) must end in .html, .md or .json"):
        draw(str(tmp_path / "none.json"), "a.txt")
