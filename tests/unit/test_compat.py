"""Private names of pytest: each does what we need of it, in the version that is installed."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

CONFTEST = """
import pytest
from pytest_llmcompare.compat import add_junit_case, columns_of, paint_red

NAME = "threshold[a::b/c.py: x[1] \\x00\\ud800 <&>]"

@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session):
    add_junit_case(session.config, "llmcompare::holds[x]", "tests", "", [("llmcompare.value", "1")])
    add_junit_case(session.config, f"llmcompare::{NAME}", "tests", "too low\\n\\x07<&>\\ud800")
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    paint_red(reporter)
    print(f"columns: {columns_of(reporter)}")
"""
TWO_TESTS = "def test_passes(): pass\ndef test_fails(): assert False"


@pytest.mark.parametrize("family", ["xunit1", "xunit2", "legacy"])
def test_cases_in_a_junit_file(pytester: pytest.Pytester, family: str) -> None:
    """They stand beside the tests, are counted, and hold any name and message; pytest's own outcome is as before."""
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(TWO_TESTS)
    result = pytester.runpytest_inprocess("--junitxml=j.xml", "-o", f"junit_family={family}")
    result.assert_outcomes(passed=1, failed=1)
    (whole,) = ElementTree.parse(pytester.path / "j.xml").getroot().iter("testsuite")
    assert {name: whole.get(name) for name in ("tests", "failures", "errors")} == {
        "tests": "4",
        "failures": "2",
        "errors": "0",
    }
    ours = {str(case.get("name")): case for case in whole.iter("testcase") if case.get("classname") == "llmcompare"}
    assert list(ours) == ["holds[x]", "threshold[a::b/c.py: x[1] #x00#xD800 <&>]"]
    holds, fails = ours.values()
    assert [(p.get("name"), p.get("value")) for p in holds.iter("property")] == [("llmcompare.value", "1")]
    assert holds.find("failure") is None
    assert [failure.text for failure in fails.iter("failure")] == ["too low\n#x07<&>#xD800"]


def test_without_a_junit_file(pytester: pytest.Pytester) -> None:
    """Nothing happens: none is asked for, or the plugin that writes it is off."""
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile("def test_passes(): pass")
    for options in ([], ["-p", "no:junitxml"]):
        assert pytester.runpytest_inprocess(*options).ret == 0


def test_last_line_is_red(pytester: pytest.Pytester) -> None:
    """Although all tests passed, and with the words that pytest has for them."""
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile("def test_passes(): pass")
    result = pytester.runpytest_inprocess("--color=yes")
    (last,) = [line for line in result.outlines if "passed" in line and " in " in line]
    assert last.startswith("\x1b[31m=")
    assert result.ret == 0


def test_columns_of_the_terminal(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The width that pytest draws to."""
    monkeypatch.setenv("COLUMNS", "67")
    pytester.makeconftest(CONFTEST)
    result = pytester.runpytest_inprocess("-s")
    assert "columns: 67" in result.stdout.str()
