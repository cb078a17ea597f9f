"""A run that names models and compares nothing exits 1 and says why, whatever pytest thinks of its tests."""

from __future__ import annotations

import pytest

from .suites import TEST, Suite

SKIPPED_MARK = TEST.replace("def test", "@pytest.mark.skipif(True, reason='no GPU')\ndef test")
BODY = "    assert llm_output == llm_baseline"

WAYS: dict[str, tuple[str, list[str], str]] = {
    "skipped by a mark": (SKIPPED_MARK, [], "skipped before the model was asked: 3 tests in test_trivia.py:4 (no GPU)"),
    "skipped in the body": (
        TEST.replace(BODY, "    pytest.skip('another day')"),
        [],
        "skipped after the model had answered: 3 tests in test_trivia.py:4 (another day)",
    ),
    "skipped for an import": (
        TEST.replace(BODY, "    pytest.importorskip('no_such_module')\n" + BODY),
        [],
        "skipped after the model had answered: 3 tests in test_trivia.py:4 (could not import*",
    ),
    "skipped in a test of the output alone": (
        TEST.replace(BODY, "    pytest.skip('soon')").replace("llm_output, llm_baseline", "llm_output"),
        [],
        "skipped after the model had answered: 3 tests in test_trivia.py:4 (soon)",
    ),
    "skipped in a test of the table": (
        TEST.replace(BODY, "    pytest.skip('soon')").replace("llm_output, llm_baseline", "llm_evaluation"),
        [],
        "skipped after the model had answered: 1 test in test_trivia.py:4 (soon)",
    ),
    "skipped as a module": (
        f"import pytest\npytest.skip(allow_module_level=True)\n{TEST}",
        [],
        "Mark a test with *",
    ),
    "expected to fail and not run": (
        TEST.replace("def test", "@pytest.mark.xfail(run=False, reason='slow')\ndef test"),
        [],
        "expected to fail, and ended before comparing: 3 tests in test_trivia.py:4 (*slow)",
    ),
    "expected to fail before it compares": (
        TEST.replace("def test", "@pytest.mark.xfail\ndef test").replace(BODY, "    llm_output.nothing\n" + BODY),
        [],
        "expected to fail, and ended before comparing: 3 tests in test_trivia.py:4",
    ),
    "expected to fail, and empty": (
        TEST.replace("def test", "@pytest.mark.xfail\ndef test").replace(BODY, "    pass"),
        [],
        "passed without comparing: 3 tests in test_trivia.py:4",
    ),
    "not selected by -k": (TEST, ["-k", "plain"], "Tests that would compare were not selected *"),
    "deselected": (TEST, ["--deselect=test_trivia.py"], "Tests that would compare were not selected *"),
    "not among the paths": (TEST, ["test_plain.py"], "Mark a test with *"),
    "ignored": (TEST, ["--ignore=test_trivia.py"], "Mark a test with *"),
    "in a class that is no test": (
        "class TestOff:\n    __test__ = False\n    def test_off(self, llm_baseline): ...",
        [],
        "Mark a test with *",
    ),
    "ended by pytest.exit": (
        TEST.replace(BODY, "    pytest.exit('done', returncode=0)"),
        [],
        "The run ended before a test of a prompt table did.",
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_run_that_compares_nothing_fails(suite: Suite, way: str) -> None:
    """Beside a test that has nothing to do with us and passes."""
    test, options, why = WAYS[way]
    suite.trivia(test=test, recorded=True)
    suite.write("test_plain.py", "def test_plain(): ...")
    result = suite.run(*options)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([f"no test compared the models {suite.spec()} (command line).", why])


def test_the_same_on_workers(suite: Suite) -> None:
    """The controller decides from what the workers' tests report."""
    suite.trivia(test=WAYS["skipped in the body"][0], recorded=True)
    result = suite.run_apart("-n2")
    result.assert_outcomes(skipped=3)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [f"no test compared the models {suite.spec()} (command line).", WAYS["skipped in the body"][2]]
    )


def test_some_may_skip(suite: Suite) -> None:
    """Where others compare, a skipped test fails nothing, and a note says that it was not compared."""
    suite.trivia(
        test=TEST.replace("llm_output, llm", "llm_case, llm_output, llm").replace(
            BODY, "    if llm_case.id == 'ice':\n        pytest.skip('too cold')\n" + BODY
        ),
        recorded=True,
    )
    result = suite.run()
    result.assert_outcomes(passed=2, skipped=1)
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["not compared, skipped after the model had answered: 1 test in test_trivia.py:4 (too cold)"]
    )


@pytest.mark.parametrize(
    ("way", "options", "status"),
    [
        ("not selected by -k", ["-k", "plain"], 0),
        ("not among the paths", ["test_plain.py"], 0),
        ("skipped by a mark", [], 0),
        ("skipped in the body", [], 1),
        ("skipped in the body", ["-k", "plain"], 0),
    ],
)
def test_models_of_the_file(suite: Suite, way: str, options: list[str], status: int) -> None:
    """They may go unused; but tests that had a model answer and then compared nothing fail the run."""
    suite.trivia(test=WAYS[way][0], recorded=True)
    suite.write("test_plain.py", "def test_plain(): ...")
    suite.write("pyproject.toml", f'[tool.llmcompare]\ndefault_models = ["{suite.spec()}"]\n')
    result = suite.run(*options, models=[])
    assert result.ret == status
    assert ("no test compared" in result.stdout.str()) == bool(status)
