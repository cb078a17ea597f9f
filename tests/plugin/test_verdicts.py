"""What a test says of its case: which verdicts pass, and what the others print."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

import pytest

from .suites import ICE, SKY, TEST, TRIVIA, Suite, said

DISTIL = "tiny-gpt2-distil"


def test_identical_passes(suite: Suite) -> None:
    """The same output passes, and the summary says so."""
    suite.trivia(recorded=True)
    result = suite.run()
    result.assert_outcomes(passed=3)
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "model  cases  identical  drifted  drift rate  tokens *",
            "m          3          3        0          0%      18 *",
        ]
    )


def test_drift_fails_with_both_texts(suite: Suite) -> None:
    """Another model under the same name: the one case that differs fails, and shows where and how."""
    suite.trivia(recorded=True)
    other = suite.spec("m", DISTIL)
    result = suite.run("-v", models=[other])
    result.assert_outcomes(passed=2, failed=1)
    assert message(result, "test_trivia[m-ice]") == [
        "drift @tok 1/6 ' Yes' -> ' I' margin 4.1",
        "test_trivia[m-ice] drifted at token 1 of 6: ' Yes' -> ' I'",
        "  margin 4.1 nats (tie: up to 0.001)",
        "  likelihood drift 1.9 nats per token (noise: up to 1e-05), worst -4.6 at token 1",
        "  baseline    Yes.",
        r"  baseline   \n",
        "  baseline   Q:",
        "  candidate   Ice is fire",
        f"Accept: pytest {shlex.quote(f'--llm-models={other}')} --llm-update 'test_trivia.py::test_trivia[m-ice]'",
    ]
    result.stdout.fnmatch_lines(
        [
            "m          3          0        2        1       33.3%      18 *",
            "FAILED test_trivia.py::test_trivia[[]m-ice[]] - drift @tok 1/6 ' Yes' -> ' I' margin 4.1",
        ]
    )
    unwrapped = result.stdout.str().replace(" \\\n  ", " ")
    assert f"Accept 3 (1 drifted, 2 shifted): pytest {shlex.quote(f'--llm-models={other}')} --llm-update\n" in unwrapped


def test_verdict_survives_a_narrow_terminal(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """pytest cuts the message in its list of failures, but not where CI is set; what is left says what happened."""
    monkeypatch.setenv("COLUMNS", "80")
    suite.trivia(recorded=True)
    result = suite.run(models=[suite.spec("m", DISTIL)])
    (line,) = [line for line in result.outlines if line.startswith("FAILED ")]
    assert line.startswith("FAILED test_trivia.py::test_trivia[m-ice] - drift @tok 1/6 ' Yes' -> ' I' mar")


@pytest.mark.parametrize("folder", ["", "tests"])
def test_missing_fails_with_the_command_that_records(
    suite: Suite, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a baseline a test fails, and the command it prints makes it pass, from the folder that one is in."""
    suite.write("pytest.ini", "[pytest]\n")
    suite.write(f"{folder or '.'}/test_trivia.py", TEST)
    (suite.path / folder / "trivia.jsonl").write_bytes(suite.table("t", TRIVIA[:2]).read_bytes())
    monkeypatch.chdir(suite.path / folder)
    result = suite.run("-vv")
    result.assert_outcomes(failed=2)
    lines = message(result, "test_trivia[m-sky]")
    assert lines[:3] == [
        "missing: no baseline is recorded for this case",
        "test_trivia[m-sky] has nothing to compare with; today's output:",
        "  candidate   The sky is blue",
    ]
    result.stdout.fnmatch_lines(["llm_baseline = <baseline */m/sky: none is recorded>"])
    program, *arguments = shlex.split(lines[3].removeprefix("Record: "))
    assert program == "pytest"
    assert arguments[-1] == "test_trivia.py::test_trivia[m-sky]"
    accepted = suite.run(*arguments, models=[])
    accepted.assert_outcomes(passed=1)
    (heading,) = (at for at, line in enumerate(accepted.outlines) if " model comparison " in line)
    assert accepted.outlines[heading + 1]  # below the heading, without a blank line
    suite.run().assert_outcomes(passed=1, failed=1)


CHANGES: dict[str, tuple[Sequence[Mapping[str, object]], str, str]] = {
    "prompt": (
        [{"id": "sky", "prompt": "Q: What color is the sea?\nA:"}],
        TEST,
        "the prompt or its examples",
    ),
    "examples": (
        [TRIVIA[0]],
        TEST.replace("gen_config", f"examples={ICE + ' Yes.'!r}, gen_config"),
        "the prompt or its examples",
    ),
    "settings": ([TRIVIA[0]], TEST.replace(": 6", ": 5"), "the decoding settings, the seed or the chat template"),
    "both": (
        [{"id": "sky", "prompt": SKY, "few_shot_examples": "Q: Hi\nA: Ho\n"}],
        TEST.replace(": 6", ": 5"),
        "the prompt or its examples and the decoding settings, the seed or the chat template",
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_stale_fails_and_says_what_changed(suite: Suite, what: str) -> None:
    """A baseline of another question is not compared with: the test fails and says what changed since."""
    rows, test, changed = CHANGES[what]
    suite.trivia(rows, test, recorded=True)
    result = suite.run("-v")
    result.assert_outcomes(failed=1)
    lines = message(result, "test_trivia[m-sky]")
    assert lines[:2] == [
        f"stale: {changed} changed since the baseline was recorded",
        f"test_trivia[m-sky] is not comparable: {changed} changed since the baseline was recorded",
    ]
    _, option, command_end = shlex.split(lines[-1].removeprefix("Accept: "))[:3]
    assert lines[-1].startswith("Accept: ")
    assert (option, command_end) == (f"--llm-models={suite.spec()}", "--llm-update")
    result.stdout.fnmatch_lines(["FAILED test_trivia.py::test_trivia[[]m-sky[]] - stale: *"])


def test_error_names_its_cause(suite: Suite) -> None:
    """A model that cannot be loaded is an error of its own tests; the other model's are compared."""
    suite.trivia(recorded=True)
    (suite.path / "hollow").mkdir()
    result = suite.run(models=["hollow=./hollow", suite.spec()])
    result.assert_outcomes(passed=3, errors=3)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "model 'hollow': */hollow lacks config.json, model.safetensors, tokenizer.json. There is nothing.",
            "Write the whole model there: model.save_pretrained(FOLDER) and tokenizer.save_pretrained(FOLDER).",
        ]
    )
    result.stdout.fnmatch_lines(
        [
            "hollow      3          0        0      3*",
            "m           3          3        0      0*",
            "ERROR test_trivia.py::test_trivia[[]hollow-sky[]] - error: model 'hollow'*",
        ]
    )


def test_a_case_that_cannot_be_asked_fails_alone(suite: Suite) -> None:
    """A prompt beyond the model's context is an error of its case, with the reason; the others are compared."""
    suite.trivia([*TRIVIA, {"id": "long", "prompt": "word " * 3000}], recorded=True)
    result = suite.run()
    result.assert_outcomes(passed=3, errors=1)
    assert said(result, "model 'm', case 'long': ")


@pytest.mark.parametrize("option", ["-v", "-vv", "--tb=short"])
def test_every_failure_is_told_in_full(suite: Suite, option: str) -> None:
    """Also the twenty-first: no text is left out without a word."""
    rows = [{"id": f"n{number}", "prompt": f"Q: What is {number}?\nA:"} for number in range(23)]
    suite.trivia(rows, TEST.replace(": 6", ": 2"))
    result = suite.run(option)
    result.assert_outcomes(failed=23)
    text = result.stdout.str()
    assert text.count("Record: pytest") == 23
    assert text.count(" has nothing to compare with; today's output:") == 23


WRONG = {
    "llm_output.text == llm_baseline": "str",
    "llm_baseline == None": "NoneType",
    "llm_baseline == llm_baseline": "StoredBaseline",
}


@pytest.mark.parametrize("comparison", WRONG)
def test_a_baseline_compares_with_its_output_only(suite: Suite, comparison: str) -> None:
    """Anything else is a TypeError that shows what to write, not a quiet false."""
    suite.trivia(TRIVIA[:1], TEST.replace("llm_output == llm_baseline", comparison), recorded=True)
    result = suite.run()
    result.assert_outcomes(failed=1)
    assert said(result, "TypeError: ") == (
        f"TypeError: llm_baseline compares with the llm_output of the same test, got {WRONG[comparison]}. Write "
        "`assert llm_output == llm_baseline`; to look at the texts use llm_baseline.text."
    )
    result.stdout.no_fnmatch_line("*def __eq__*")


def test_a_test_may_look_at_the_output_alone(suite: Suite) -> None:
    """A test that asks for no baseline passes or fails by what it asserts, and is listed as not compared."""
    suite.trivia(
        TRIVIA[:2],
        """
        import pytest

        @pytest.mark.llm_prompts("trivia.jsonl", gen_config={"max_new_tokens": 6}, model_type=None)
        def test_trivia(llm_output):
            assert "blue" in str(llm_output)
        """,
    )
    result = suite.run("--llm-update")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["model  cases  identical  drifted  not compared  *", "m          2 *  2 *"])
    result.stdout.fnmatch_lines(
        ["FAILED test_trivia.py::test_trivia[[]m-hamlet[]] - *assert 'blue' in ' Hamlet is a'*"]
    )
    assert suite.stored() == {}


def test_another_failure_keeps_its_own_words(suite: Suite) -> None:
    """A test that fails for another reason says that; a message of the user's stands below the verdict."""
    suite.trivia(
        [TRIVIA[0], TRIVIA[2]],
        """
        import pytest

        @pytest.mark.llm_prompts("trivia.jsonl", gen_config={"max_new_tokens": 6}, model_type=None)
        def test_trivia(llm_case, llm_output, llm_baseline):
            assert llm_output == llm_baseline, "ask the chemists first"
            assert "green" in llm_output.text
        """,
        recorded=True,
    )
    result = suite.run(models=[suite.spec("m", DISTIL)])
    result.assert_outcomes(failed=2)
    assert message(result, "test_trivia[m-sky]")[0] == "assert 'green' in ' The sky is blue'"
    lines = message(result, "test_trivia[m-ice]")
    assert lines[0] == "drift @tok 1/6 ' Yes' -> ' I' margin 4.1 (tie: up to 0.001 nats)"
    assert lines[-1] == "ask the chemists first"
    result.stdout.fnmatch_lines(
        [
            "m          2          0        1        1 *",
            "FAILED test_trivia.py::test_trivia[[]m-sky[]] - *assert 'green' in *",
            "FAILED test_trivia.py::test_trivia[[]m-ice[]] - drift @tok 1/6 ' Yes' -> ' I' margin 4.1",
        ]
    )


def message(result: pytest.RunResult, test: str) -> list[str]:
    """The lines that are printed for a failed test's assertion, whether pytest shows its source or not."""
    start = next(at for at, line in enumerate(result.outlines) if line.strip("_ ") == test)
    rest = result.outlines[start + 1 :]
    lines = rest[: next(at for at, line in enumerate(rest) if line.startswith(("___", "===", "---")))]
    of_source = [line[8:].removeprefix("AssertionError: ") for line in lines if line.startswith("E  ")]
    return of_source or lines
