"""pytest-timeout: the first test of a table, which has all of its cases evaluated, has the time of all of them."""

from __future__ import annotations

import pytest

from .suites import Suite

pytest.importorskip("pytest_timeout")

CONFTEST = """
import time

import pytest


class Slow:
    def predict(self, prompts):
        time.sleep({seconds} * len(prompts))
        return list(prompts)


@pytest.hookimpl(optionalhook=True)
def pytest_llmcompare_load_model(spec):
    return Slow()
"""
TEST = """
import time

import pytest


@pytest.mark.llm_prompts(["one", "two", "three", "four"], name="slow", model_type=None)
def test_slow(llm_case, llm_output, llm_baseline):
    assert llm_output == llm_baseline
    time.sleep(30 if llm_case.id.startswith("{hangs}") else 0)
"""


def test_a_table_may_take_longer_than_a_test(suite: Suite) -> None:
    """Its tests pass with a limit that is less than the table takes."""
    suite.write("conftest.py", CONFTEST.format(seconds=0.6))
    suite.write("test_slow.py", TEST.format(hangs="nothing"))
    suite.run("--llm-update", "--timeout=2", models=["s=slow:x"]).assert_outcomes(passed=4)


def test_a_test_that_hangs_itself_is_still_ended(suite: Suite) -> None:
    """The first one, which the evaluation was counted for, and a later one."""
    suite.write("conftest.py", CONFTEST.format(seconds=0))
    for hangs in ("one", "three"):
        suite.write("test_slow.py", TEST.format(hangs=hangs))
        suite.run("--llm-update", "--timeout=1", models=["s=slow:x"]).assert_outcomes(passed=3, failed=1)


def test_a_model_that_hangs_is_ended_once(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not once per test of its table."""
    monkeypatch.setattr("pytest_llmcompare.run.timeouts.LOADING", 0.0)
    suite.write("conftest.py", CONFTEST.format(seconds=30))
    suite.write("test_slow.py", TEST.format(hangs="nothing"))
    result = suite.run("--timeout=1", models=["s=slow:x"])
    result.assert_outcomes(errors=4)
    assert "its evaluation was ended: Timeout" in result.stdout.str()
