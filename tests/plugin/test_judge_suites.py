"""Suites that would compare nothing, or keep a drift quiet, in ways that are seldom thought of."""

from __future__ import annotations

import textwrap

import pytest

from tests.platforms import PYTEST_9

from .suites import TEST, TRIVIA, Suite

BODY = "    assert llm_output == llm_baseline"


def test_a_drift_may_not_be_skipped(suite: Suite) -> None:
    """Skipping when the comparison has failed hides it; an xfail says that it is expected."""
    skipping = TEST.replace(BODY, "    if llm_output != llm_baseline:\n        pytest.skip('drift')")
    suite.trivia(test=skipping, recorded=True)
    distilled = [suite.spec("m", "tiny-gpt2-distil")]
    result = suite.run("-qq", models=distilled)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["1 output drifted, but its test skipped itself: is an assert missing in *:4?"])
    assert suite.run("--llm-drift-budget=50", models=distilled).ret == 0
    assert suite.run().ret == 0
    suite.write("test_trivia.py", skipping.replace("skip(", "xfail("))
    assert suite.run(models=distilled).ret == 0


def test_a_test_of_the_case_alone_has_no_model_asked(suite: Suite) -> None:
    """Looking at the table compares no model."""
    suite.trivia(test=TEST.replace("llm_output, llm_baseline", "llm_case").replace(BODY, "    assert llm_case.prompt"))
    result = suite.run("-qq")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["no test compared the models *", "passed without comparing: 3 tests in *:4"])


CONTESTS = {
    "pass": 1,
    "assert llm_comparison": 1,
    "assert [*llm_comparison] == ['m', 'n']": 1,
    "assert llm_comparison['n']": 1,
    "assert llm_comparison.agreement('m', 'n') >= 0": 0,
    "assert llm_comparison.pair('m', 'n')": 0,
    "pytest.skip('later')": 0,
}
if PYTEST_9:
    CONTESTS |= {"with subtests.test(): pass\n    assert llm_comparison.agreement('m', 'n') >= 0": 0}


def test_a_test_on_all_models_compares_two(suite: Suite) -> None:
    """Listing them is no comparison."""
    head, _, _ = TEST.partition("def ")
    mark = head.replace("import pytest", "")
    asked = "subtests, llm_comparison" if PYTEST_9 else "llm_comparison"
    tests = [f"{mark}def test_{n}({asked}):\n    {body}\n" for n, body in enumerate(CONTESTS)]
    suite.trivia(TRIVIA[:1], "import pytest\n" + "".join(tests))
    result = suite.run(models=[suite.spec(), suite.spec("n", "tiny-gpt2-distil")])
    assert result.parseoutcomes()["failed"] == sum(CONTESTS.values())
    assert "errors" not in result.parseoutcomes()
    result.stdout.fnmatch_lines(["compared nothing: the test asks for llm_comparison *", "test_trivia.py:5: write *"])


HI = '@pytest.mark.llm_prompts(["Hi"], name="hi")\n'
FAULTS = {
    "function of another name": (
        f"{HI}def check_hi(llm_output): ...\ndef test_plain(): ...",
        "test_odd.py:2: check_hi is marked *does not begin with test*test_check_hi*",
    ),
    "method of another name": (
        f"class TestHi:\n    {HI}    def check(self, llm_output): ...\n    def test_plain(self): ...",
        "test_odd.py:3: check is marked *",
    ),
    "class of another name": (
        f"{HI}class HiTests:\n    def test_hi(self, llm_output): ...",
        "test_odd.py:2: HiTests is marked *does not begin with Test*",
    ),
    "class with a constructor": (
        f"class TestHi:\n    def __init__(self): ...\n    {HI}    def test_hi(self, llm_output): ...",
        "test_odd.py:2: TestHi is marked *pytest collects no class with __init__*",
    ),
}
FINE = f"""
import functools
{HI}
def check_hi(llm_output):
    assert llm_output.text
@functools.wraps(check_hi)
def test_wrapped(llm_output):
    check_hi(llm_output)
test_same = check_hi
{HI}
def off(): ...
off.__test__ = False
class Shared:
    {HI}
    def test_hi(self, llm_output):
        assert llm_output.text
class TestShared(Shared): ...
class BaseOfOthers:
    {HI}
    def test_hi(self, llm_output): ...
"""


@pytest.mark.parametrize("what", FAULTS)
def test_marked_and_not_collected(suite: Suite, what: str) -> None:
    """What pytest passes over in silence is an error, beside tests that compare, too."""
    text, line = FAULTS[what]
    suite.trivia(TRIVIA[:1], recorded=True)
    suite.write("test_odd.py", f"import pytest\n{text}\n")
    result = suite.run("-qq")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines([line])


def test_helpers_and_base_classes_are_left_alone(suite: Suite) -> None:
    """Wrapped, renamed or inherited tests do run; `__test__` says that something is none."""
    suite.write("test_fine.py", f"import pytest\n{FINE}")
    assert len(suite.collect("--doctest-modules")) == 3


LATE = {
    "hook": "def pytest_collection_modifyitems(items):\n    for item in items:\n        item.add_marker(MARK)",
    "fixture": "@pytest.fixture(autouse=True)\ndef _mark(request):\n    request.node.add_marker(MARK)",
}


@pytest.mark.parametrize("way", LATE)
def test_a_marker_that_comes_too_late(suite: Suite, way: str) -> None:
    """One that is added to a test after it was collected has no rows run."""
    suite.trivia(TRIVIA[:1], recorded=True)
    mark = textwrap.dedent(LATE[way]).replace("MARK", 'pytest.mark.llm_prompts(["Hi"], name="hi")')
    suite.write("sub/conftest.py", f"import pytest\n{mark}\n".replace("in items:", "in items[1:]:"))
    suite.write("sub/test_z.py", "def test_y(): ...\ndef test_z(): ...\n")
    result = suite.run("-qq", "test_trivia.py", "sub")
    assert result.ret in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.TESTS_FAILED)
    result.stdout.fnmatch_lines(["sub/test_z.py:2: an llm_prompts marker ('hi') was added to test_z after it *"])


@pytest.mark.parametrize("option", ["--fixtures", "--fixtures-per-test", "--cache-show"])
def test_listings_compare_nothing_by_design(suite: Suite, option: str) -> None:
    """What runs no test is not told that none compared."""
    suite.trivia(TRIVIA[:1], recorded=True)
    result = suite.run(option)
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*no test compared*")


ODD = {
    "assert llm_output.strip() == llm_baseline.strip()": "*llm_baseline has no attribute 'strip'. llm_baseline.text.*",
    "assert {llm_output} == {llm_baseline}": "*llm_baseline is not hashable: it cannot be in a set or a key. Write *",
    "assert llm_baseline == llm_baseline": "*llm_baseline compares with the llm_output of the same test, got *",
    "assert llm_output is llm_baseline": "*`is` asks whether both are one object*write `==`*",
}


def test_odd_ways_to_compare_say_what_to_write(suite: Suite) -> None:
    """In words of the user's, even where the output drifted."""
    tests = [TEST.replace(BODY, f"    {body}").replace("trivia(", f"t{n}(") for n, body in enumerate(ODD)]
    suite.trivia(TRIVIA[2:], "\n".join(tests), recorded=True)
    result = suite.run(models=[suite.spec("m", "tiny-gpt2-distil")])
    result.assert_outcomes(failed=len(ODD))
    for line in ODD.values():
        result.stdout.fnmatch_lines([line])
    result.stdout.no_fnmatch_line("*StoredBaseline' *")
