"""Tests that use the marker or our fixtures in a way that would compare nothing are errors at collection."""

from __future__ import annotations

import textwrap

import pytest

from .suites import TRIVIA, Suite

FAULTS: dict[str, tuple[str, list[str]]] = {
    "method of a TestCase": (
        """
        import unittest

        @pytest.mark.llm_prompts(["Hi"], name="u")
        class TestU(unittest.TestCase):
            def test_m(self):
                self.assertTrue(True)
        """,
        ["test_faulty.py:6: test_m: unittest.TestCase cannot be parametrised*plain class*def test_m(self, llm_output*"],
    ),
    "marker on the method of a TestCase, fixtures by autouse": (
        """
        import unittest

        class TestV(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def _o(self, llm_output, llm_baseline):
                self.o, self.b = llm_output, llm_baseline

            @pytest.mark.llm_prompts(["Hi"], name="u2")
            def test_m(self):
                assert self.o == self.b
        """,
        ["test_faulty.py:9: test_m: unittest.TestCase cannot be parametrised*"],
    ),
    "autouse in a TestCase without a marker": (
        """
        import unittest

        @pytest.mark.usefixtures("llm_output")
        class TestV(unittest.IsolatedAsyncioTestCase):
            async def test_m(self): ...
        """,
        ["test_faulty.py:6: test_m: unittest.TestCase cannot be parametrised*"],
    ),
    "marked TestCase of an aliased base class": (
        """
        from unittest import TestCase as Base

        class Common(Base):
            pass

        class TestW(Common):
            @pytest.mark.llm_prompts(["Hi"], name="u3")
            def test_m(self): ...
        """,
        ["test_faulty.py:8: test_m: unittest.TestCase cannot be parametrised*"],
    ),
    "two markers on a function": (
        """
        @pytest.mark.llm_prompts(["Hi"], name="one")
        @pytest.mark.llm_prompts(["Ho"], name="two")
        def test_two(llm_output, llm_baseline):
            assert llm_output == llm_baseline
        """,
        ["test_faulty.py:2: 2 llm_prompts markers on test_two ('two', 'one')*Write a test for each table*variants=*"],
    ),
    "two markers on a class and its base": (
        """
        @pytest.mark.llm_prompts(["Hi"], name="one")
        class Base:
            pass

        @pytest.mark.llm_prompts(["Ho"], name="two")
        class TestTwo(Base):
            def test_two(self, llm_output, llm_baseline):
                assert llm_output == llm_baseline
        """,
        ["test_faulty.py:6: 2 llm_prompts markers on class TestTwo and its base classes ('one', 'two')*"],
    ),
    "two markers on a module": (
        """
        pytestmark = [pytest.mark.llm_prompts(["Hi"], name="one"), pytest.mark.llm_prompts(["Ho"], name="two")]

        def test_two(llm_output, llm_baseline):
            assert llm_output == llm_baseline
        """,
        ["test_faulty.py: 2 llm_prompts markers on module test_faulty.py (pytestmark) ('one', 'two')*"],
    ),
    "marker of a class that none of its tests uses": (
        """
        @pytest.mark.llm_prompts(["Hi"], name="one")
        class TestOne:
            @pytest.mark.llm_prompts(["Ho"], name="two")
            def test_two(self, llm_output, llm_baseline):
                assert llm_output == llm_baseline
        """,
        ["test_faulty.py:2: the llm_prompts marker on class TestOne*('one') is used by none of its tests*"],
    ),
    "marker of a module that none of its tests uses": (
        """
        pytestmark = pytest.mark.llm_prompts(["Hi"], name="one")

        def test_plain(): ...

        class TestPlain:
            def test_plain(self): ...
        """,
        ["test_faulty.py: the llm_prompts marker on module test_faulty.py (pytestmark) ('one') is used by none *"],
    ),
    "marker on a test that asks for nothing": (
        """
        @pytest.mark.llm_prompts(["Hi"])
        def test_nothing():
            pass
        """,
        ["test_faulty.py:2: test_nothing is marked with llm_prompts but asks for none*def test_nothing*"],
    ),
    "near misses": (
        """
        @pytest.mark.llm_prompts(["Hi"])
        def test_near(llmoutput, llm_baselines):
            assert llmoutput == llm_baselines
        """,
        ["test_faulty.py:2: *Did you mean llm_output instead of 'llmoutput'? Did you mean llm_baseline instead of *"],
    ),
    "asked for in the body": (
        """
        @pytest.mark.llm_prompts(["Hi"])
        def test_late(request):
            assert request.getfixturevalue("llm_output") == request.getfixturevalue("llm_baseline")
        """,
        ["test_faulty.py:2: test_late is marked *asks for none of its fixtures*getfixturevalue runs too late*"],
    ),
    "marker in pytest.param": (
        """
        @pytest.mark.parametrize("n", [pytest.param(1, marks=pytest.mark.llm_prompts(["Hi"]))])
        def test_param(n, llm_output, llm_baseline):
            assert llm_output == llm_baseline
        """,
        ["test_faulty.py:2: test_param: llm_prompts cannot be used in pytest.param(*marks=...)*on the test function*"],
    ),
    "marker in pytest.param of a test that asks for nothing": (
        """
        @pytest.mark.parametrize("n", (pytest.param(n, marks=pytest.mark.llm_prompts(["Hi"])) for n in (1, 2)))
        def test_param(n): ...
        """,
        ["test_faulty.py:2: test_param: llm_prompts cannot be used in pytest.param(..., marks=...)*"],
    ),
    "usefixtures": (
        """
        @pytest.mark.usefixtures("llm_output", "llm_baseline")
        @pytest.mark.llm_prompts(["Hi"])
        def test_used(): ...
        """,
        ["test_faulty.py:2: test_used asks for llm_baseline, llm_case, llm_output by usefixtures*never sees*"],
    ),
    "a fixture of the user's in the place of ours": (
        """
        @pytest.fixture
        def llm_baseline():
            return "blue"

        @pytest.mark.llm_prompts(["Hi"])
        def test_own(llm_output, llm_baseline):
            assert llm_baseline
        """,
        ["test_faulty.py:6: test_own gets its llm_baseline from your own fixture at test_faulty.py:2, *my_baseline*"],
    ),
    "all of ours replaced": (
        """
        @pytest.fixture
        def llm_output():
            return "blue"

        @pytest.mark.llm_prompts(["Hi"])
        def test_own(llm_output):
            assert llm_output
        """,
        ["test_faulty.py:6: test_own gets its llm_output from your own fixture at test_faulty.py:2, *my_output*"],
    ),
    "a fixture of the user's around ours": (
        """
        class TestOwn:
            @pytest.fixture
            def llm_output(self, llm_output):
                return str(llm_output)

            @pytest.mark.llm_prompts(["Hi"])
            def test_own(self, llm_output): ...
        """,
        ["test_faulty.py:7: test_own gets its llm_output from your own fixture at test_faulty.py:3, *"],
    ),
    "values of the user's in the place of ours": (
        """
        @pytest.mark.parametrize("llm_baseline", ["blue", "red"])
        @pytest.mark.llm_prompts(["Hi"])
        def test_own(llm_output, llm_baseline): ...
        """,
        ["test_faulty.py:2: parametrize sets llm_baseline itself*"],
    ),
    "no marker": (
        """
        def test_bare(llm_output, llm_baseline): ...

        @pytest.fixture
        def mine(llm_output): return llm_output

        def test_mine(mine): ...
        """,
        [
            "test_faulty.py:2: test_bare asks for llm_baseline, llm_output but has no prompt table. Add @pytest*",
            "test_faulty.py:7: test_mine asks for llm_case, llm_output but has no prompt table. *",
        ],
    ),
}


@pytest.mark.parametrize("what", FAULTS)
def test_what_would_compare_nothing(suite: Suite, what: str) -> None:
    """File, line and what to write; no other file suffers, and nothing of our insides is shown."""
    text, lines = FAULTS[what]
    suite.trivia(TRIVIA[:1], recorded=True)
    suite.write("test_faulty.py", f"import pytest{textwrap.dedent(text)}")
    result = suite.run("--collect-only")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines([line.replace("[", "[[]") for line in ["*ERROR collecting test_faulty.py*", *lines]])
    result.stdout.fnmatch_lines(["*test_trivia?m-sky?*", "*ERROR collecting test_faulty.py*"])
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*pytest_llmcompare*")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("two markers on a function", ": 2 llm_prompts markers on test_two"),
        ("marker of a module that none of its tests uses", "is used by none of its tests"),
    ],
)
def test_the_same_on_workers(suite: Suite, name: str, said: str) -> None:
    """The fault is told once, and the run fails."""
    suite.trivia(TRIVIA[:1], recorded=True)
    suite.write("test_faulty.py", f"import pytest{textwrap.dedent(FAULTS[name][0])}")
    result = suite.run_apart("-n2")
    assert result.ret in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.TESTS_FAILED)
    full = [line for line in result.outlines if not line.startswith("ERROR ")]  # pytest's short summary repeats it
    assert sum(said in line for line in full) == 1


SHARED = """
import pytest

pytestmark = pytest.mark.llm_prompts("trivia.jsonl", gen_config={"max_new_tokens": 6}, model_type=None)

def test_plain(): ...

class TestTrivia:
    def test_plain(self): ...

    def test_trivia(self, llm_output, llm_baseline):
        assert llm_output == llm_baseline

    @pytest.mark.llm_prompts(["Hi"], name="hi", gen_config={"max_new_tokens": 1}, model_type=None)
    def test_other(self, llm_output):
        assert llm_output.text
"""


@pytest.mark.parametrize(
    "options",
    [[], ["test_trivia.py::test_plain"], ["-k", "plain"], ["--lf"], ["--deselect=test_trivia.py::TestTrivia"]],
)
def test_a_marker_of_a_module_is_for_those_that_use_it(suite: Suite, options: list[str]) -> None:
    """A nearer marker stands in for it, other tests are left alone, and choosing some of them is no fault."""
    suite.trivia(TRIVIA[:1], SHARED, recorded=True)
    suite.write(".pytest_cache/v/cache/lastfailed", '{"test_trivia.py::test_plain": true}')
    result = suite.run(*options, "--collect-only")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*<Function test_plain>"])


def test_suites_that_are_not_ours_are_left_alone(suite: Suite) -> None:
    """Fixtures that happen to have a name of ours, and have nothing to do with us, work as without the plugin."""
    suite.write(
        "test_theirs.py",
        """
        import pytest, unittest

        @pytest.fixture
        def llm_output():
            return "blue"

        @pytest.fixture
        def llm_table():
            return [1]

        def test_theirs(llm_output, llm_table):
            assert llm_output == "blue" and llm_table

        class TestTheirs(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def _output(self, llm_output):
                self.output = llm_output

            def test_method(self):
                assert self.output == "blue"
        """,
    )
    result = suite.run(models=[])
    result.assert_outcomes(passed=2)
    assert result.ret == 0
