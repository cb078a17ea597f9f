"""The guide is true: whoever does what a page says sees what the page says."""

from __future__ import annotations

import re

import pytest

from pytest_llmcompare.cli.main import COMMANDS

from .pages import DOCS, Reader, blocks_of
from .suites import Suite

STATUSES = {
    "quickstart.md": [1, 0, 0, 1, 0, 0, 0],
    "tables.md": [2, 0, 0, 1, 0, 0, 1, 0],
    "models.md": [0, 0, 0],
    "baselines.md": [0, 0, 1, 0, 0, 0, 0],
    "review.md": [0, 1, 0, 0, 0, 0, 0],
    "mlflow.md": [0, 0],
}
"""How each command of a page ends, in order."""

ELSEWHERE = {"hooks.md": "tests/plugin/test_hooks_docs.py"}
"""Pages with commands that another test runs."""


@pytest.mark.parametrize("name", STATUSES)
def test_page(name: str, suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files, written and run in order, end and say as it says."""
    monkeypatch.setenv("CI", "true")  # without it pytest cuts the lines of its summary at the terminal's end
    reader = Reader(suite)
    reader.follow(blocks_of(name))
    assert reader.statuses == STATUSES[name]


def test_no_page_with_commands_is_forgotten() -> None:
    """Shell blocks that are meant to be run are run by a test."""
    found = {path.name for path in DOCS.glob("*.md") if "bash" in {block.language for block in blocks_of(path.name)}}
    assert found == {*STATUSES, *ELSEWHERE}


def test_pages_name_options_and_commands_that_there_are(pytester: pytest.Pytester) -> None:
    """In text and in blocks that cannot be run here as well."""
    pages = "\n".join(path.read_text(encoding="utf-8") for path in sorted(DOCS.rglob("*.md")))
    helped = pytester.runpytest_inprocess("--help").stdout.str()
    options = set(re.findall(r"--llm-[a-z]+(?:-[a-z]+)*", helped))
    assert set(re.findall(r"--llm-[a-z]+(?:-[a-z]+)*", pages)) <= options
    known = {str(command.name) for command in COMMANDS}
    assert set(re.findall(r"(?:`|^|&& )llmcompare ([a-z]+)", pages, re.MULTILINE)) <= known
