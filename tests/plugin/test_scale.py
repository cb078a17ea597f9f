"""Long tables: what a run does for each row does not grow with their number, and nothing is summarized twice."""

from __future__ import annotations

import cProfile
import pstats
from typing import Any

import pytest

from pytest_llmcompare.comparison import summary
from pytest_llmcompare.comparison.summary import Summary
from pytest_llmcompare.run import finish

from .suites import Suite

MODEL = "m=echo:?drift=0.1"


def calls(suite: Suite, rows: int, *options: str) -> int:
    """How many functions of ours a run with so many rows calls."""
    suite.trivia([{"id": f"row{number}", "prompt": f"Question {number}?"} for number in range(rows)])
    profile = cProfile.Profile()
    with profile:
        suite.run(*options, "-p", "no:logging", models=[MODEL])
    entries = pstats.Stats(profile).stats.items()  # type: ignore[attr-defined]  # not in the stubs
    return sum(calls for (file, _, _), (_, calls, *_) in entries if "pytest_llmcompare" in file and "tests" not in file)


@pytest.mark.parametrize("options", [("--llm-update",), ("--llm-report=r.json", "--tb=no")])
def test_calls_grow_with_the_rows(suite: Suite, options: tuple[str, ...]) -> None:
    """Four times the rows are at most four times the calls, from collection to the reports."""
    few, many = calls(suite, 100, *options), calls(suite, 400, *options)
    assert many < 4.1 * few


def test_the_summary_is_computed_once(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Terminal, reports, JUnit, annotations and hooks take the same one."""
    summaries: list[Summary] = []

    def summarize(*arguments: Any, **options: Any) -> Summary:
        summaries.append(real(*arguments, **options))
        return summaries[-1]

    real = summary.summarize
    monkeypatch.setattr(finish, "summarize", summarize)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    suite.trivia()
    result = suite.run("--llm-report=r.json", "--llm-report=r.html", "--junitxml=j.xml", models=[MODEL])
    assert result.ret == 1
    assert len(summaries) == 1
