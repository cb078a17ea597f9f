"""The guide is true: whoever does what a page says sees what the page says."""

from __future__ import annotations

import re

import mlflow
import pytest

from tests.test_docs import REFERENCE

from .pages import DOCS, Reader, blocks_of
from .suites import Suite

STATUSES = {
    "quickstart.md": [1, 0, 0, 1, 0, 0, 0],
    "tables.md": [2, 0, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0],
    "models.md": [0, 0, 0, 0, 0],
    "finetuning.md": [1, 1, 0, 1, 0, 0],
    "baselines.md": [0, 0, 1, 0, 0, 0, 0],
    "review.md": [0, 1, 0, 0, 0, 0, 0],
    "reports.md": [0, 0, 1, 0],
    "mlflow.md": [0, 0, 0, 0, 0],
    "from_the_article.md": [0, 0, 0, 0, 0],
    "from_other_tools.md": [0, 1],
}
"""How each command of a page ends, in order."""

ELSEWHERE = {"hooks.md": "tests/plugin/test_hooks_docs.py", "servers.md": "tests/serving/test_llama.py"}
"""Pages with commands that another test runs."""


def check_reports(suite: Suite) -> None:
    """The reports that the page has written are there."""
    assert {path.name for path in suite.path.glob("*.*")} >= {"report.html", "report.json", "again.html", "report.md"}


def check_mlflow(suite: Suite) -> None:
    """Each metric, parameter, tag and column of the runs is on the page."""
    page = (DOCS / "mlflow.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"`([^`]+)`", page))
    runs = [run for run in suite.mlflow_runs() if "llmcompare.table" in run.data.tags]
    assert runs
    for run in runs:
        names = {name for name in (*run.data.metrics, *run.data.params, *run.data.tags) if not is_system(name)}
        assert sorted(names - listed) == []
        results = mlflow.artifacts.load_dict(f"{run.info.artifact_uri}/eval_results_table.json")
        assert sorted(set(results["columns"]) - listed) == []


def is_system(name: str) -> bool:
    """Whether MLflow keeps it by itself, or it is one of the decoding settings."""
    return name.startswith(("mlflow.", "gen_config.", "gen_config_dict/"))


CHECKS = {"reports.md": check_reports, "mlflow.md": check_mlflow}
"""What else is looked at after a page."""


@pytest.mark.parametrize("name", STATUSES)
def test_page(name: str, suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files, written and run in order, end and say as it says."""
    monkeypatch.setenv("CI", "true")  # without it pytest cuts the lines of its summary at the terminal's end
    reader = Reader(suite)
    reader.follow(blocks_of(name))
    assert reader.statuses == STATUSES[name]
    if name in CHECKS:
        CHECKS[name](suite)


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
    known = set(REFERENCE.command_names())
    assert set(re.findall(r"(?:`|^|&& )llmcompare ([a-z]+)", pages, re.MULTILINE)) <= known
