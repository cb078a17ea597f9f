"""With pytest-xdist and without: the same outcomes, files, properties and summary, and each group asked once."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from .suites import Suite

REPORT = "report.xml"


@pytest.fixture
def mixed(suite: Suite) -> Suite:
    """Three cases of a model of which one drifted, and three of a model without baselines."""
    suite.trivia(recorded=True)
    return suite


def models(suite: Suite) -> list[str]:
    return [suite.spec("m", "tiny-gpt2-distil"), suite.spec("b", "tiny-bloom")]


def properties(path: Path) -> dict[str, list[tuple[str | None, str | None]]]:
    """Properties of each test in a JUnit file."""
    cases = ElementTree.parse(path).getroot().iter("testcase")
    return {str(case.get("name")): [(p.get("name"), p.get("value")) for p in case.iter("property")] for case in cases}


def summary(result: pytest.RunResult) -> list[str]:
    """Our part of the output, less times and speeds, from its heading to pytest's list of failures."""
    lines = result.outlines
    start = next(at for at, line in enumerate(lines) if " model comparison " in line)
    end = next(at for at, line in enumerate(lines) if at > start and line.startswith("==="))
    return [re.sub(r"[\d.]+ m?s +[\d.,]+$| +time +tok/s$", "", line).rstrip() for line in lines[start + 1 : end]]


def failures(result: pytest.RunResult) -> list[str]:
    return sorted(line for line in result.outlines if line.startswith(("FAILED ", "ERROR ")))


@pytest.mark.parametrize("dist", [[], ["--dist=loadfile"]])
def test_xdist_changes_nothing(mixed: Suite, dist: list[str]) -> None:
    """Two workers find what one process finds, whatever way tests are handed out, and evaluate each group once."""
    alone = mixed.run("-p", "no:xdist", "--llm-cache=off", f"--junitxml={REPORT}", models=models(mixed))
    alone.assert_outcomes(passed=2, failed=4)
    expected = properties(mixed.path / REPORT)
    runs = len(mixed.mlflow_runs())
    shared = mixed.run_apart("-n2", *dist, "--llm-cache=off", f"--junitxml={REPORT}", models=models(mixed))
    shared.assert_outcomes(passed=2, failed=4)
    assert len(mixed.mlflow_runs()) == 2 * runs == 4
    assert failures(shared) == failures(alone)
    assert properties(mixed.path / REPORT) == expected
    assert summary(shared) == summary(alone)


def test_update_under_xdist(mixed: Suite) -> None:
    """Baselines are written once, by the controller, and are those that a run without xdist writes."""
    before = mixed.stored()
    result = mixed.run_apart("-n2", "--dist=worksteal", "--llm-update", models=models(mixed))
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(
        ["__baselines__/trivia/b.baseline: 3 added", "__baselines__/trivia/m.baseline: 1 changed, 2 refreshed"]
    )
    written = mixed.stored()
    for path in written:
        (mixed.path / path).unlink()
    for path, content in before.items():
        (mixed.path / path).write_bytes(content)
    mixed.run("-p", "no:xdist", "--llm-update", models=models(mixed)).assert_outcomes(passed=6)
    assert mixed.stored() == written


def test_a_group_that_fails_is_tried_once(mixed: Suite) -> None:
    """A model that cannot be loaded fails on all workers with one attempt, and nothing hangs."""
    (mixed.path / "hollow").mkdir()
    mixed.write("test_plain.py", "def test_plain(): ...")
    result = mixed.run_apart("-n2", models=["m=./hollow"])
    result.assert_outcomes(passed=1, errors=3)
    assert len(mixed.mlflow_runs()) == 0
    result.stdout.fnmatch_lines(["m          3          0        0      3*"])
