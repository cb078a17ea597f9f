"""No test passes unseen: one whose output differs, or that compares nothing, fails itself or the run."""

from __future__ import annotations

import textwrap

import pytest

from tests.platforms import PYTEST_9, needs_subtests

from .suites import TRIVIA, Suite

HEAD = """
import pytest

@pytest.mark.llm_prompts("trivia.jsonl", gen_config={"max_new_tokens": 6}, model_type=None)
"""
FORGETFUL = {
    "no assert": "llm_output == llm_baseline",
    "inverted": "assert llm_output != llm_baseline or llm_case.id != 'ice'",
    "tuple": "assert (llm_output == llm_baseline, 'drift')",
    "or True": "assert llm_output == llm_baseline or True",
    "caught": """
        try:
            assert llm_output == llm_baseline
        except AssertionError:
            pass
        """,
    "expected": """
        if llm_case.id == "ice":
            with pytest.raises(AssertionError):
                assert llm_output == llm_baseline
        else:
            assert llm_output == llm_baseline
        """,
    "warned": """
        import warnings
        if not llm_output == llm_baseline:
            warnings.warn("drift")
        """,
    "the other way round": "print(llm_baseline == llm_output)",
    "in a list": "assert llm_output in [llm_baseline, llm_output]",
}
SEEN = "1 output drifted, but its test passed: is an assert missing in test_trivia.py:4?"


def body(text: str, marks: str = "") -> str:
    """The suite's test with another body."""
    lines = textwrap.indent(textwrap.dedent(text).strip(), "    ")
    return f"{HEAD}{marks}def test_trivia(llm_case, llm_output, llm_baseline):\n{lines}\n"


@pytest.fixture
def drifting(suite: Suite) -> Suite:
    """Three baselines, of which another model under the same name keeps two."""
    suite.trivia(recorded=True)
    return suite


def run(suite: Suite, *args: str) -> pytest.RunResult:
    return suite.run(*args, models=[suite.spec("m", "tiny-gpt2-distil")])


@pytest.mark.parametrize("what", FORGETFUL)
def test_a_drift_that_its_test_lets_pass_fails_the_run(drifting: Suite, what: str) -> None:
    """It is named with file and line, and what to write."""
    drifting.write("test_trivia.py", body(FORGETFUL[what]))
    result = run(drifting)
    result.assert_outcomes(passed=3)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [SEEN, "*test_trivia.py::test_trivia[[]m-ice[]]", "*assert llm_output == llm_baseline*"]
    )


@pytest.mark.parametrize(
    ("options", "status"),
    [(["--llm-drift-budget=50"], 0), (["--llm-drift-budget=10"], 1), (["--llm-update"], 0), (["-n2"], 1)],
)
def test_budget_and_update_keep_their_meaning(drifting: Suite, options: list[str], status: int) -> None:
    """Drift within a budget, or that becomes the baseline, may pass; over the budget, or on workers, it may not."""
    drifting.write("test_trivia.py", body("llm_output == llm_baseline"))
    start = drifting.run_apart if "-n2" in options else drifting.run
    result = start(*options, models=[drifting.spec("m", "tiny-gpt2-distil")])
    result.assert_outcomes(passed=3)
    assert result.ret == status
    assert (SEEN in result.outlines) == ("-n2" in options)


def test_missing_baselines_are_seen_too(suite: Suite) -> None:
    """Not drift alone: what has no baseline does not pass, either."""
    suite.trivia(test=body("llm_output == llm_baseline"))
    result = suite.run()
    result.assert_outcomes(passed=3)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["3 outputs have no baseline, but their tests passed: is an assert missing in *:4?"])
    assert suite.run("--llm-update-missing").ret == 0
    assert suite.run().ret == 0


@pytest.mark.parametrize("marks", ["@pytest.mark.xfail\n", "@pytest.mark.xfail(strict=True)\n"])
def test_expected_failures_keep_their_meaning(drifting: Suite, marks: str) -> None:
    """A drift that is expected fails nothing, strict or not."""
    drifting.table("trivia.jsonl", TRIVIA[2:])
    drifting.write("test_trivia.py", body("assert llm_output == llm_baseline", marks))
    result = run(drifting)
    result.assert_outcomes(xfailed=1)
    assert result.ret == 0


@needs_subtests
def test_a_drift_in_a_subtest_is_told_once(drifting: Suite) -> None:
    """The failed subtest has failed the test already."""
    text = body("""
        with subtests.test("first"):
            pass
        with subtests.test("second"):
            assert llm_output == llm_baseline
        """)
    drifting.write("test_trivia.py", text.replace("llm_case,", "subtests,"))
    result = run(drifting)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.no_fnmatch_line("*is an assert missing*")
    assert result.parseoutcomes()["passed"] == 2


NOTHING = {
    "pass": "pass",
    "identity": "assert llm_output is not llm_baseline",
    "output alone": "assert llm_output.text",
    "type": "assert isinstance(repr(llm_baseline), str)",
    "unused coroutine": "async def check():\n    assert llm_output == llm_baseline\ncheck().close()",
}


@pytest.mark.parametrize("what", NOTHING)
@pytest.mark.parametrize("options", [[], ["--llm-update"], ["--llm-drift-budget=100"]])
def test_a_test_that_compares_nothing_fails(drifting: Suite, what: str, options: list[str]) -> None:
    """Asking for the baseline is a promise to compare it, whatever options the run has."""
    drifting.table("trivia.jsonl", TRIVIA[:1])
    drifting.write("test_trivia.py", body(NOTHING[what]))
    result = drifting.run(*options)
    result.assert_outcomes(failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "compared nothing: the test asks for llm_baseline and ends without comparing it.",
            "test_trivia.py:4: write `assert llm_output == llm_baseline`. *",
            "FAILED test_trivia.py::test_trivia[[]m-sky[]]" + (" - compared nothing: *" if PYTEST_9 else ""),
        ]
    )


OWN = {
    "text": "assert llm_output.text == llm_baseline.text",
    "tokens": "assert llm_output.token_ids == llm_baseline.token_ids != None",
    "str": "assert str(llm_output) == str(llm_baseline)",
    "format": "assert f'{llm_output}' == f'{llm_baseline}' and f'{llm_baseline:>99}'.startswith(' ')",
    "judgement": "assert llm_baseline.judgement.verdict != 'drifted'",
}


@pytest.mark.parametrize("what", OWN)
def test_a_comparison_of_the_users_own_counts(drifting: Suite, what: str) -> None:
    """By text, tokens or verdict; the summary counts such tests apart."""
    drifting.write("test_trivia.py", body(OWN[what]))
    result = drifting.run()
    result.assert_outcomes(passed=3)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["3 tests compared by reading llm_baseline: no verdict*"])
    run(drifting).assert_outcomes(passed=2, failed=1)


def test_nothing_to_look_at_is_no_comparison(suite: Suite) -> None:
    """Two things that are both None are not equal outputs."""
    suite.trivia(TRIVIA[:1], body("assert llm_baseline.text is None and llm_baseline.token_ids is None"))
    result = suite.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["compared nothing: *"])


def test_a_dry_run_fails_no_test(drifting: Suite) -> None:
    """`--setup-plan` runs no body; the run itself fails because models were named and nothing compared."""
    result = drifting.run("--setup-plan")
    assert result.parseoutcomes() == {}
    result.stdout.fnmatch_lines(["The run ended before a test of a prompt table did."])


def test_a_fixture_may_compare(drifting: Suite) -> None:
    """Before the test or after it: that is a comparison, and what it finds is recorded."""
    fixture = """
        import pytest

        @pytest.fixture(autouse=True)
        def same(llm_output, llm_baseline):
            yield
            assert llm_output == llm_baseline

        @pytest.mark.llm_prompts("trivia.jsonl", gen_config={"max_new_tokens": 6}, model_type=None)
        def test_trivia(llm_output):
            assert llm_output.text
        """
    drifting.write("test_trivia.py", fixture)
    result = run(drifting)
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["m          3          0        2        1 *"])
    drifting.write("test_trivia.py", fixture.replace("assert llm_output == llm_baseline", "pass"))
    result = run(drifting)
    result.assert_outcomes(passed=3, errors=3)
    result.stdout.fnmatch_lines(["compared nothing: *"])


TRUTH = {
    "assert llm_baseline": "TypeError: llm_baseline has no truth value*Write `assert llm_output == llm_baseline`*",
    "assert not llm_baseline": "TypeError: llm_baseline has no truth value*",
    "assert llm_output and llm_baseline": "TypeError: llm_baseline has no truth value*",
    "assert len(llm_baseline)": "TypeError: llm_baseline has no length*llm_baseline.text*",
    "assert 'blue' in llm_baseline": "TypeError: `in llm_baseline` does not look into its text*",
}


def test_a_baseline_is_neither_true_nor_false(suite: Suite) -> None:
    """`assert llm_baseline` would pass always; its length and its parts are those of its text."""
    suite.trivia(
        TRIVIA[:1], "\n".join(body(text).replace("trivia(", f"t{n}(") for n, text in enumerate(TRUTH)), recorded=True
    )
    result = suite.run()
    result.assert_outcomes(failed=len(TRUTH))
    result.stdout.fnmatch_lines([f"E*{line}" for line in TRUTH.values()])


LATE = """
import pytest

def test_bare(request):
    request.getfixturevalue("llm_baseline")

@pytest.mark.llm_prompts("trivia.jsonl", gen_config={"max_new_tokens": 6}, model_type=None)
def test_case(request, llm_case):
    assert request.getfixturevalue("llm_output") == request.getfixturevalue("llm_baseline")

@pytest.mark.llm_prompts("trivia.jsonl", gen_config={"max_new_tokens": 6}, model_type=None)
def test_table(request, llm_evaluation):
    request.getfixturevalue("llm_output")

@pytest.mark.llm_prompts("trivia.jsonl", gen_config={"max_new_tokens": 6}, model_type=None)
def test_all(request, llm_case):
    request.getfixturevalue("llm_comparison")
"""


def test_fixtures_that_are_asked_for_in_the_body(suite: Suite) -> None:
    """They work where the test has a row; else a message says what to write, without a traceback into ours."""
    suite.trivia(TRIVIA[:1], LATE, recorded=True)
    result = suite.run()
    result.assert_outcomes(passed=1, failed=3)
    result.stdout.fnmatch_lines(
        [
            "test_trivia.py:4: test_bare asks for a fixture of pytest-llmcompare only while it runs *",
            "Name the fixture in the test's arguments. *Mark it with @pytest.mark.llm_prompts*",
            "test_trivia.py:11: test_table asks for a fixture of pytest-llmcompare *",
            "test_trivia.py:15: test_all asks for a fixture of pytest-llmcompare *",
        ]
    )
    result.stdout.no_fnmatch_line("*fixtures.py*")
