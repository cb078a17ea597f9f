"""Why a run failed although its tests passed: said last, in red, at every verbosity, in JUnit and in every report."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pytest

from .suites import TEST, Suite

HEADING = "model comparison failed:"
RED = "\x1b[31m"
GATE = "threshold failed: table 'trivia', model 'm': token_count/mean is 6 over 3 cases, wanted <=3"
GATED = TEST.replace("model_type=None", 'model_type=None, thresholds={"token_count/mean": "<=3", "drift_rate": "<=0"}')
RAISES = "def pytest_llmcompare_run_finished(): raise OSError('mail server is down')"
FILES = ("--junitxml=j.xml", "--llm-report=r.json", "--llm-report=r.md", "--llm-report=r.html")


def gated(suite: Suite) -> None:
    suite.trivia(test=GATED, recorded=True)


def recorded(suite: Suite) -> None:
    suite.trivia(recorded=True)


def compares_nothing(suite: Suite) -> None:
    suite.write("test_plain.py", "def test_plain(): ...")


def unwritable(suite: Suite) -> None:
    """A folder comes to be in the place of the baseline file while the tests run."""
    suite.trivia()
    suite.write(
        "test_zoo.py",
        """
        from pathlib import Path

        def test_zoo():
            (Path(__file__).parent / "__baselines__/trivia/m.baseline/in_the_way").mkdir(parents=True)
        """,
    )


def notifying(suite: Suite) -> None:
    suite.trivia(recorded=True)
    suite.write("conftest.py", RAISES)


def report_in_the_way(suite: Suite) -> None:
    suite.trivia(recorded=True)
    suite.write("file", "")


class Fault(NamedTuple):
    """A way to fail.

    Attributes:
        prepare: Writes the suite.
        options: Options of the run.
        reason: How the reason begins.
        case: Name of its test case in JUnit, or its beginning.
        model: The model that is asked.
    """

    prepare: Callable[[Suite], None]
    options: tuple[str, ...]
    reason: str
    case: str
    model: str = "tiny-gpt2"


FAULTS: Mapping[str, Fault] = {
    "threshold": Fault(gated, (), GATE, "threshold[trivia/m: token_count/mean <=3]"),
    "drift budget": Fault(
        *(recorded, ("--llm-drift-budget=5",), "m: 1 of 3 cases drifted, 33.3% (95% interval", "drift_budget[m]"),
        model="tiny-gpt2-distil",
    ),
    "nothing compared": Fault(compares_nothing, (), "no test compared the models m=", "run[no test compared"),
    "baseline": Fault(unwritable, ("--llm-update",), "__baselines__", "run["),
    "notification": Fault(notifying, (), "pytest_llmcompare_run_finished in conftest.py, line 1", "run[pytest_llm"),
    "report": Fault(
        report_in_the_way, ("--llm-report=file/r.html",), "--llm-report=file/r.html was not written", "run[--llm-report"
    ),
}


def last_lines(result: pytest.RunResult) -> list[str]:
    """What stands after the heading, which has to be there once."""
    lines = [line.rstrip() for line in result.outlines if line.strip()]
    (at,) = [at for at, line in enumerate(lines) if HEADING in line]
    return lines[at + 1 :]


def junit_cases(suite: Suite) -> dict[str, str]:
    """Our own test cases by name, each with its failure."""
    (whole,) = ElementTree.parse(suite.path / "j.xml").getroot().iter("testsuite")
    cases = list(whole.iter("testcase"))
    assert whole.get("tests") == str(len(cases))
    assert whole.get("failures") == str(len(list(whole.iter("failure"))))
    ours = [case for case in cases if case.get("classname") == "llmcompare"]
    return {str(case.get("name")): "".join(str(failure.text) for failure in case.iter("failure")) for case in ours}


def report_of(suite: Suite) -> Any:
    return json.loads((suite.path / "r.json").read_text(encoding="ascii"))


@pytest.mark.parametrize("name", FAULTS)
def test_every_reason_is_said_everywhere(suite: Suite, name: str) -> None:
    """After pytest's last line even with `-q`, as a failed case in JUnit, on top of each report."""
    fault = FAULTS[name]
    fault.prepare(suite)
    result = suite.run("-q", *FILES, *fault.options, models=[suite.spec("m", fault.model)])
    assert "failed" not in result.parseoutcomes()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert last_lines(result)[0].startswith(fault.reason)
    (case,) = [text for name, text in junit_cases(suite).items() if name.startswith(fault.case)]
    assert case.startswith(fault.reason)
    document = report_of(suite)
    assert document["outcome"] == "failed"
    assert [text for text in document["faults"] if text.startswith(fault.reason)] == [case]
    page = (suite.path / "r.html").read_text(encoding="utf-8")
    markdown = (suite.path / "r.md").read_text(encoding="utf-8")
    first = case.splitlines()[0]
    assert json.dumps(first)[1:-1].replace("<", "\\u003c").replace(">", "\\u003e") in page
    assert markdown.startswith("## Model comparison: failed\n")
    assert first in markdown.partition("\n| model |")[0]


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-q",),
        ("-qq",),
        ("-qqq",),
        ("-v",),
        ("-vv",),
        ("--no-summary",),
        ("--no-header", "--tb=no", "-rN", "-qq", "--no-summary"),
        ("--tb=line", "-rA"),
    ],
    ids=" ".join,
)
def test_no_verbosity_hides_it(suite: Suite, options: tuple[str, ...]) -> None:
    """It is the last line whatever pytest leaves out or adds."""
    gated(suite)
    result = suite.run(*options)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert last_lines(result) == [GATE]


def test_it_is_red(suite: Suite) -> None:
    """The reason is, and so is the line with the number of tests that passed."""
    gated(suite)
    result = suite.run("--color=yes")
    assert last_lines(result) == [f"{RED}{GATE}\x1b[0m"]
    (passed,) = [line for line in result.outlines if "3 passed" in line]
    assert passed.startswith(RED)


def test_a_run_without_a_fault_says_nothing(suite: Suite) -> None:
    """Its last line is pytest's, in green, and thresholds that hold are passed cases in JUnit."""
    suite.trivia(test=GATED.replace("<=3", "<=40"), recorded=True)
    result = suite.run("--color=yes", *FILES)
    assert result.ret == 0
    assert HEADING not in result.stdout.str()
    assert result.outlines[-1].startswith("\x1b[32m=")
    assert junit_cases(suite) == {
        "threshold[trivia/m: token_count/mean <=40]": "",
        "threshold[trivia/m: drift_rate <=0]": "",
        "model_verdict[trivia/m]": "",
    }
    assert report_of(suite)["faults"] == []


def test_thresholds_are_shown_with_their_values(suite: Suite) -> None:
    """Those that hold, too; a quiet run says only which failed. Reports have all of them."""
    gated(suite)
    result = suite.run(*FILES)
    result.stdout.fnmatch_lines(
        [
            "thresholds of trivia/m, over 3 cases:",
            "  FAILED  token_count/mean  6  <=3",
            "  ok      drift_rate        0  <=0",
        ]
    )
    found = {(gate["metric"], gate["value"], gate["wanted"], gate["passed"]) for gate in report_of(suite)["gates"]}
    assert found == {("token_count/mean", 6.0, "<=3", False), ("drift_rate", 0.0, "<=0", True)}
    assert "| ok | `drift_rate` | `0` |" in (suite.path / "r.md").read_text(encoding="utf-8")
    suite.run("-q").stdout.no_fnmatch_line("*drift_rate*")


def test_failed_tests_hide_no_reason(suite: Suite) -> None:
    """It stands after pytest's own list of failures; pytest counts only its own tests."""
    gated(suite)
    suite.write("test_other.py", "def test_other(): assert False")
    result = suite.run(*FILES)
    result.assert_outcomes(passed=3, failed=1)
    assert last_lines(result) == [GATE]
    assert result.stdout.str().index("FAILED test_other.py") < result.stdout.str().index(HEADING)


def test_all_reasons_together(suite: Suite) -> None:
    """Each on lines of its own, once."""
    gated(suite)
    suite.write("conftest.py", RAISES)
    suite.write("file", "")
    result = suite.run("--llm-drift-budget=0", "--llm-report=file/r.md", models=[suite.spec("m", "tiny-gpt2-distil")])
    begins = [line[:20] for line in last_lines(result)]
    assert begins == [reason[:20] for reason in (
        GATE,
        "threshold failed: table 'trivia', model 'm': drift_rate",
        "m: 1 of 3 cases drifted",
        "pytest_llmcompare_run_finished",
        "--llm-report=file/r.md was not written",
        "The rest of the run is complete. Name a path",
    )]  # fmt: skip


def test_pruning_that_was_refused(suite: Suite) -> None:
    """After a run that was cut short, next to pytest's own reason."""
    recorded(suite)
    suite.write("test_broken.py", "import nothing_of_the_kind")
    result = suite.run("-qq", "--llm-prune=yes", *FILES)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert last_lines(result)[0].startswith("--llm-prune deleted nothing")
    assert [name for name in junit_cases(suite) if name.startswith("run[--llm-prune deleted nothing")]


def test_workers_change_nothing(suite: Suite) -> None:
    """With `-n2` the reason is last, red, in JUnit once, and in the reports."""
    gated(suite)
    result = suite.run_apart("-n2", "-q", "--color=yes", *FILES)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert last_lines(result) == [f"{RED}{GATE}\x1b[0m"]
    assert junit_cases(suite) == {
        "threshold[trivia/m: token_count/mean <=3]": GATE,
        "threshold[trivia/m: drift_rate <=0]": "",
        "model_verdict[trivia/m]": "",
    }
    assert report_of(suite)["faults"] == [GATE]


def test_the_step_summary_names_reports_that_failed(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is appended to once, when all reasons are known, wherever it stands on the command line."""
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(suite.path / "step.md"))
    report_in_the_way(suite)
    suite.run("--llm-report=github", "--llm-report=file/r.html")
    text = (suite.path / "step.md").read_text(encoding="utf-8")
    assert text.count("## Model comparison: failed") == 1
    assert "--llm-report=file/r.html was not written" in text
