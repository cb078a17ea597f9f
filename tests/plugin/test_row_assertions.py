"""Assertions in a table: they fail tests whatever the baselines say, and stand in every report."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .suites import TEST, Suite, says

ECHO = ["m=echo:"]
TABLE = (
    {"id": "sky", "prompt": "The sky is blue.", "expect": "contains: blue"},
    {"id": "ice", "prompt": "Ice is cold.", "expect": ["contains: cold", "json", "regex: ^Ice"]},
    {"id": "free", "prompt": "Nothing is asked."},
)
WITH_MARKER = TEST.replace('"trivia.jsonl",', '"trivia.jsonl", expect="not-contains: sorry",')
ALONE = TEST.replace("llm_output, llm_baseline", "llm_output").replace("llm_output == llm_baseline", "llm_output")


@pytest.mark.parametrize("options", [(), ("-n2",)])
def test_one_that_does_not_hold_fails_its_test_alone(suite: Suite, options: tuple[str, ...]) -> None:
    suite.trivia(TABLE, ALONE)
    run = suite.run_apart if options else suite.run
    result = run(*options, models=ECHO)
    result.assert_outcomes(passed=2, failed=1)
    assert says(result, "expect failed: json")
    assert says(result, "test_trivia[m-ice]: 1 of 3 assertions failed on the output:")
    assert says(result, "failed json (the output is not JSON: Expecting value: line 1 column 1 (char 0))")
    assert says(result, "candidate Ice is cold.")


def test_baselines_do_not_help(suite: Suite) -> None:
    """An output that is identical to its baseline fails, too, and one that fails is not accepted."""
    suite.trivia([{key: value for key, value in row.items() if key != "expect"} for row in TABLE])
    suite.run("--llm-update", models=ECHO).assert_outcomes(passed=3)
    suite.trivia(TABLE)
    result = suite.run(models=ECHO)
    result.assert_outcomes(passed=2, failed=1)
    before = suite.stored()
    suite.trivia([{**row, "prompt": f"{row['prompt']} Or not."} for row in TABLE])
    suite.run("--llm-update", models=ECHO).assert_outcomes(passed=2, failed=1)
    cases = suite.cases()
    assert suite.stored() != before
    assert "Ice is cold." in cases["ice"]
    assert "Or not" not in cases["ice"]
    assert "Or not" in cases["sky"]


def test_they_stand_in_the_message_of_a_comparison_that_fails(suite: Suite) -> None:
    suite.trivia(TABLE, WITH_MARKER)
    result = suite.run(models=ECHO)
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(["*missing: no baseline*", "*failed json (the output is not JSON*", "Record *"])


def test_only_outputs_that_can_be_accepted_are_counted(suite: Suite) -> None:
    """Those that fail an assertion are named apart; an update leaves them, and then they are all that is left."""
    suite.trivia(TABLE)
    result = suite.run(models=ECHO)
    told = "1 output fails assertions of its row: --llm-update does not write it while the test fails"
    assert says(result, "Record 2: pytest")
    assert says(result, told)
    result = suite.run("--llm-update", models=ECHO)
    result.assert_outcomes(passed=2, failed=1)
    assert says(result, told)
    assert not says(result, "Record 1: pytest")


def test_the_end_of_a_run_says_which_failed_and_where(suite: Suite) -> None:
    """Per assertion and model, also for an output that is as its baseline; per model how many outputs pass."""
    suite.trivia([{key: value for key, value in row.items() if key != "expect"} for row in TABLE])
    suite.run("--llm-update", models=ECHO)
    suite.trivia(TABLE, WITH_MARKER.replace("sorry", "cold"))
    result = suite.run(models=ECHO)
    result.stdout.fnmatch_lines(
        [
            "ice * = ✗ Ice is cold.*",
            "and 2 prompts without a difference*",
            "= as its baseline   ✗ fails an assertion",
            "m: 1 output fails json in ice",
            "m: 1 output fails not-contains: cold in ice",
            "model * expect *",
            "m * 2 of 3 *",
            "FAILED * expect failed: json and 1 more",
        ]
    )


def test_a_failed_comparison_names_failed_assertions_in_its_first_line(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that pytest's summary shows, as far as the terminal is wide, and JUnit and CI logs."""
    monkeypatch.setenv("COLUMNS", "150")
    suite.trivia(TABLE)
    result = suite.run(models=ECHO)
    result.stdout.fnmatch_lines(["FAILED *ice* - missing: no baseline is recorded for this case; expect failed: json"])


def test_those_of_the_marker_hold_for_all_rows_and_tests(suite: Suite) -> None:
    """A second test on the same table does not name them, and fails as well."""
    marker = WITH_MARKER.replace("not-contains: sorry", "not-contains: Nothing")
    suite.trivia(TABLE, marker + ALONE.replace("import pytest", "").replace("test_trivia", "test_other"))
    result = suite.run("-k", "free", models=ECHO)
    result.assert_outcomes(failed=2)
    assert says(result, "failed not-contains: Nothing (the output has it at character 1)")


def test_tests_can_read_them(suite: Suite) -> None:
    suite.trivia(
        TABLE,
        """
        import pytest

        @pytest.mark.llm_prompts("trivia.jsonl", model_type=None)
        def test_trivia(llm_assertions, llm_case):
            assert [one.text for one in llm_assertions] == list(llm_case.row.expect)
            assert [one.text for one in llm_assertions if not one.passed] == ["json"] * (llm_case.id == "ice")
        """,
    )
    result = suite.run(models=ECHO)
    result.assert_outcomes(passed=2, failed=1)
    assert says(result, "expect failed: json")


def test_an_expected_failure_may_be_one_of_these(suite: Suite) -> None:
    suite.trivia(TABLE, ALONE.replace("def test", "@pytest.mark.xfail(strict=True)\ndef test"))
    suite.run("-k", "ice", models=ECHO).assert_outcomes(xfailed=1)


def test_every_sample_is_checked(suite: Suite) -> None:
    marker = ALONE.replace('"max_new_tokens": 6', '"max_new_tokens": 6, "do_sample": True').replace(
        "model_type=None", "model_type=None, samples=4"
    )
    suite.trivia([{"id": "a", "prompt": "Q: Is ice cold?\nA:", "expect": "equals: nothing the model says"}], marker)
    result = suite.run("--llm-report=report.json")
    result.assert_outcomes(failed=1)
    cases = cases_of(suite)
    assert [[one["passed"] for one in case["assertions"]] for case in cases] == [[False]] * 4


def cases_of(suite: Suite, name: str = "report.json") -> list[dict[str, Any]]:
    report = json.loads((suite.path / name).read_text(encoding="utf-8"))
    return [case for table in report["tables"] for row in table["rows"] for case in row["cases"] if case]


def test_reports_have_them(suite: Suite) -> None:
    """Terminal, HTML, Markdown, JSON and JUnit."""
    suite.trivia(TABLE, ALONE)
    reports = [f"--llm-report=report.{kind}" for kind in ("html", "md", "json")]
    result = suite.run(*reports, "--junitxml=junit.xml", models=ECHO)
    count = "1 of 2 outputs pass all assertions of their rows"
    assert count in result.outlines
    failed = "failed json (the output is not JSON"
    for name in ("report.html", "report.md"):
        text = (suite.path / name).read_text(encoding="utf-8")
        assert count in text
        assert failed in text
    ice = next(case for case in cases_of(suite) if case["prompt_id"] == "ice")
    assert ice["assertions"] == [
        {"text": "contains: cold", "passed": True, "why": ""},
        {"text": "json", "passed": False, "why": "the output is not JSON: Expecting value: line 1 column 1 (char 0)"},
        {"text": "regex: ^Ice", "passed": True, "why": ""},
    ]
    junit = (suite.path / "junit.xml").read_text(encoding="utf-8")
    assert '"llmcompare.assertions" value="2 of 3 hold"' in junit
    assert '"llmcompare.expect.2" value="FAILED json (the output is not JSON' in junit


def test_pass_rates_are_metrics_and_can_be_thresholds(suite: Suite) -> None:
    thresholds = '{"expect/pass_rate": ">=0.5", "expect/contains/pass_rate": ">=1", "expect/json/pass_rate": ">=0.5"}'
    suite.trivia(TABLE, ALONE.replace("model_type=None", f"model_type=None, thresholds={thresholds}"))
    result = suite.run(models=ECHO)
    assert says(
        result, "threshold failed: table 'trivia', model 'm': expect/json/pass_rate is 0 over 3 cases, wanted >=0.5"
    )
    (run,) = suite.mlflow_runs()
    rates = {name: value for name, value in run.data.metrics.items() if name.startswith("expect/")}
    assert rates == {
        "expect/pass_rate": 0.5,
        "expect/contains/pass_rate": 1,
        "expect/json/pass_rate": 0,
        "expect/regex/pass_rate": 1,
    }


def test_hostile_output_stays_inert_in_messages(suite: Suite) -> None:
    text = "\x1b[31m\n::error::boo \u202e"
    suite.trivia([{"id": "a", "prompt": text, "expect": [f"equals: {text}!", "json"]}], ALONE)
    result = suite.run(models=ECHO)
    result.assert_outcomes(failed=1)
    shown = result.stdout.str()
    assert "\x1b[31m" not in shown
    assert "\u202e" not in shown
    assert not any(line.strip().startswith("::error::") for line in shown.splitlines())


def test_faults_end_collection_with_all_of_them(suite: Suite) -> None:
    suite.trivia([{"id": "a", "prompt": "a", "expect": ["contain: x", "python: os.system"]}], WITH_MARKER)
    result = suite.run(models=ECHO)
    assert result.ret != 0
    assert says(result, "'contain: x' is not an assertion. Did you mean 'contains'?")
    assert says(result, "'python: os.system': module os is not in")
    suite.trivia(TABLE, WITH_MARKER.replace("not-contains: sorry", "sorry"))
    assert says(suite.run(models=ECHO), "llm_prompts, expect: 'sorry' is not an assertion.")
