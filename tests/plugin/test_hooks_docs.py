"""docs/hooks.md is true: its examples run as they stand, and its table lists what there is."""

from __future__ import annotations

import inspect
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_llmcompare import hookspecs
from tests.test_docs import Block, read_blocks

from .suites import Suite

DOCS = (Path(__file__).parents[2] / "docs" / "hooks.md").read_text(encoding="utf-8")
BLOCKS = read_blocks(DOCS)


def blocks(section: str, language: str) -> list[Block]:
    return [block for block in BLOCKS if block.section == section and block.language == language]


@pytest.fixture
def example(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[pytest.RunResult]]:
    """Writes the files of a section into a folder with the models and runs its commands; what they say."""
    monkeypatch.setenv("CI", "true")  # without it pytest cuts the lines of its summary at the terminal's end

    def run(section: str) -> list[pytest.RunResult]:
        (suite.path / "models").symlink_to(suite.models, target_is_directory=True)
        for block in (block for block in BLOCKS if block.section == section):
            if named := re.search(r"`([\w.]+\.(?:py|jsonl?|quiz))`[^`]*$", block.before):
                (suite.path / named[1]).write_text(block.text, encoding="utf-8")
        commands = [shlex.split(line) for block in blocks(section, "bash") for line in block.text.splitlines()]
        assert commands
        assert all(command[0] == "pytest" for command in commands)
        return [suite.run(*command[1:], models=[]) for command in commands]

    return run


def test_table_lists_every_hook_as_it_is() -> None:
    """Names and arguments of the table are those of the specifications, and no section is missing."""
    listed = re.findall(r"^\| \[`(\w+)\(([^)]*)\)`\]\(#([\w-]+)\)", DOCS, re.MULTILINE)
    found = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("pytest_llmcompare_")}
    assert {name: arguments.split(", ") for name, arguments, _ in listed} == {
        name: list(inspect.signature(hook).parameters) for name, hook in found.items()
    }
    anchors = {heading.lower().replace(" ", "-") for heading in re.findall(r"^## (.+)$", DOCS, re.MULTILINE)}
    assert {anchor for *_, anchor in listed} <= anchors


def test_another_verdict_on_a_model(example: Callable[[str], list[pytest.RunResult]]) -> None:
    """The hook lets a model change."""
    recorded, compared = example("Another verdict on a model")
    recorded.assert_outcomes(passed=1)
    compared.assert_outcomes(passed=1)
    assert blocks("Another verdict on a model", "text")[0].text.strip() in compared.stdout.str()


def test_another_verdict(example: Callable[[str], list[pytest.RunResult]]) -> None:
    """The judge lets one drift pass and says why another is one."""
    recorded, compared = example("Another verdict")
    recorded.assert_outcomes(passed=3)
    compared.assert_outcomes(passed=1, failed=2)
    (shown,) = blocks("Another verdict", "text")
    assert shown.text.splitlines() == [line for line in compared.outlines if line.startswith("FAILED ")]


def test_metrics_for_every_table(example: Callable[[str], list[pytest.RunResult]]) -> None:
    """Both metrics of the hook are in the evaluation."""
    (result,) = example("Metrics for every table")
    result.assert_outcomes(passed=1)


def test_tables_from_elsewhere(example: Callable[[str], list[pytest.RunResult]]) -> None:
    """The rows of the quiz are tests."""
    (result,) = example("Tables from elsewhere")
    result.assert_outcomes(passed=2)


def test_models_of_another_kind(example: Callable[[str], list[pytest.RunResult]], suite: Suite) -> None:
    """The lookup stands beside a model, with baselines and a fingerprint of its own."""
    recorded, compared = example("Models of another kind")
    recorded.assert_outcomes(passed=4)
    compared.assert_outcomes(passed=4)
    text = (suite.path / "__baselines__" / "known" / "standard.baseline").read_text(encoding="utf-8")
    assert re.search(r"^#env e1 mlflow=\S+ weights=[0-9a-f]{12}$", text, re.MULTILINE)
    assert "\n| 2+2 is 4.\n" in text


def test_baselines_from_elsewhere(example: Callable[[str], list[pytest.RunResult]]) -> None:
    """What people wrote is compared with, and the failure is the one that the page shows."""
    (result,) = example("Baselines from elsewhere")
    result.assert_outcomes(passed=1, failed=1)
    (shown,) = blocks("Baselines from elsewhere", "text")
    assert shown.text.splitlines() == [line for line in result.outlines if line.startswith("FAILED ")]


def test_notifications(example: Callable[[str], list[pytest.RunResult]], suite: Suite) -> None:
    """One line per table and model, and the verdicts that the page shows."""
    (result,) = example("Notifications")
    result.assert_outcomes(passed=1)
    progress = (suite.path / "progress.txt").read_text(encoding="utf-8")
    assert re.fullmatch(r"colors, qa: 1 outputs in \d+\.\d s\n", progress)
    (shown,) = blocks("Notifications", "json")
    assert json.loads((suite.path / "verdicts.json").read_text(encoding="utf-8")) == json.loads(shown.text)


def test_message_of_a_judge_that_raises(example: Callable[[str], list[pytest.RunResult]], suite: Suite) -> None:
    """The message that the page shows is the one of its own example, once the column is gone."""
    table = blocks("Another verdict", "json")[0].text
    example("Another verdict")
    (suite.path / "questions.jsonl").write_text(re.sub(r', "kind": "\w+"', "", table), encoding="utf-8")
    result = suite.run(models=["qa=./models/tiny-gpt2"])
    result.assert_outcomes(failed=3)
    shown = blocks("Where hooks are, and what if they fail", "text")[0].text.strip()
    assert sum(line.endswith(f"error: {shown}") for line in result.outlines if line.startswith("FAILED ")) == 3
