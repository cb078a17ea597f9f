"""`--llm-drift-budget`: drifted cases do not fail their tests, but too many of them the run."""

from __future__ import annotations

import pytest

from .suites import TEST, TRIVIA, Suite

DISTIL = "tiny-gpt2-distil"
USAGE = pytest.ExitCode.USAGE_ERROR
SEEN = "m: 1 of 3 cases drifted, 33.3% (95% interval 6.1% to 79.2%)"
ICE_DRIFTED = "  trivia/ice: drift @tok 1/6 ' Yes' -> ' I' margin 4.1"


@pytest.fixture
def drifting(suite: Suite) -> Suite:
    """Three baselines, of which another model under the same name keeps two."""
    suite.trivia(recorded=True)
    return suite


@pytest.mark.parametrize(
    ("budget", "status", "options"),
    [("33.4%", 0, ()), ("33", 1, ()), ("33.4", 0, ("-q",)), ("33", 1, ("-q",)), ("0", 1, ("-v",)), ("33", 1, ("-n2",))],
)
def test_the_run_decides(drifting: Suite, budget: str, status: int, options: tuple[str, ...]) -> None:
    """All tests pass; the run passes within the budget and fails over it, with rate, interval, budget and cases."""
    run = drifting.run_apart if "-n2" in options else drifting.run
    result = run(f"--llm-drift-budget={budget}", *options, models=[drifting.spec("m", DISTIL)])
    result.assert_outcomes(passed=3)
    assert result.ret == status
    where = "over" if status else "within"
    at = result.outlines.index(f"{SEEN}, {where} the drift budget of {float(budget.strip('%')):g}%")
    assert result.outlines[at + 1] == ICE_DRIFTED


def test_without_a_budget_drift_fails_its_test(drifting: Suite) -> None:
    """As ever, and nothing is said of a budget."""
    result = drifting.run(models=[drifting.spec("m", DISTIL)])
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.no_fnmatch_line("*drift budget*")


def test_nothing_drifted(drifting: Suite) -> None:
    """The line is there, too: nought is a rate."""
    result = drifting.run("--llm-drift-budget=0")
    assert result.ret == 0
    line = "m: 0 of 3 cases drifted, 0% (95% interval 0% to 56.1%), within the drift budget of 0%"
    assert line in result.outlines


def test_the_budget_excuses_drift_only(drifting: Suite) -> None:
    """Missing and stale cases and what else a test asserts fail as always."""
    drifting.trivia(
        [*TRIVIA[1:], {"id": "sky", "prompt": "Q: Another?\nA:"}, {"id": "new", "prompt": "Q: New?\nA:"}],
        TEST + '    assert "fire" not in llm_output.text\n',
    )
    result = drifting.run("--llm-drift-budget=100", models=[drifting.spec("m", DISTIL)])
    result.assert_outcomes(passed=1, failed=3)
    assert result.ret == 1
    line = "m: 1 of 2 cases drifted, 50.0% (95% interval 9.5% to 90.5%), within the drift budget of 100%"
    assert line in result.outlines
    assert {line.partition(" - ")[0].partition("::")[2] for line in result.outlines if line.startswith("FAILED")} == {
        *("test_trivia[m-new]", "test_trivia[m-sky]", "test_trivia[m-ice]"),
    }


def test_models_have_budgets_of_their_own(drifting: Suite) -> None:
    """One model over the budget fails the run; the lines stand in the order of the models, the reason last."""
    both = [drifting.spec("z"), drifting.spec("m", DISTIL)]
    drifting.run("--llm-update", models=both[:1])
    result = drifting.run("--llm-drift-budget=10%", models=both)
    result.assert_outcomes(passed=6)
    assert result.ret == 1
    lines = [line for line in result.outlines if "the drift budget of 10%" in line]
    assert lines == [
        "z: 0 of 3 cases drifted, 0% (95% interval 0% to 56.1%), within the drift budget of 10%",
        f"{SEEN}, over the drift budget of 10%",
        f"{SEEN}, over the drift budget of 10%",  # last of all once more
    ]


def test_an_update_settles_it(drifting: Suite) -> None:
    """What the run accepts has not drifted, and is written."""
    model = [drifting.spec("m", DISTIL)]
    result = drifting.run("--llm-drift-budget=0", "--llm-update", models=model)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["__baselines__/trivia/m.baseline: 1 changed, 2 refreshed"])
    drifting.run(models=model).assert_outcomes(passed=3)


def test_a_budget_writes_nothing(drifting: Suite) -> None:
    """A drift within the budget leaves its baseline as it is."""
    before = drifting.stored()
    assert drifting.run("--llm-drift-budget=50", models=[drifting.spec("m", DISTIL)]).ret == 0
    assert drifting.stored() == before


NOT_CHECKED = "no case was compared with a baseline, so the drift budget of 5% ({}) was not checked"
LOOK_ONLY = TEST.replace("llm_output, llm_baseline", "llm_output").replace(
    "llm_output == llm_baseline", "llm_output.text"
)


@pytest.mark.parametrize("quiet", [[], ["-q"]])
def test_a_budget_with_no_cases_fails(suite: Suite, quiet: list[str]) -> None:
    """Tests that compare with no baseline pass, and the run that was given a budget fails and says why."""
    suite.trivia(test=LOOK_ONLY)
    result = suite.run("--llm-drift-budget=5", *quiet)
    result.assert_outcomes(passed=3)
    assert result.ret == 1
    assert NOT_CHECKED.format("command line") in result.outlines


def test_a_budget_of_the_file_is_for_suites_that_compare(suite: Suite) -> None:
    """It is no failure that there is nothing to hold it against, but it is said where models were asked."""
    suite.write("pyproject.toml", '[tool.llmcompare]\ndrift_budget = "5%"\n')
    suite.trivia(test=LOOK_ONLY)
    result = suite.run()
    assert result.ret == 0
    assert NOT_CHECKED.format("pyproject.toml") in result.outlines
    suite.write("test_plain.py", "def test_plain(): ...")
    result = suite.run("test_plain.py", models=[])
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*was not checked*")


def test_where_a_budget_comes_from(drifting: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Command line before environment before file; the header says which."""
    model = [drifting.spec("m", DISTIL)]
    drifting.write("pyproject.toml", "[tool.llmcompare]\ndrift_budget = 33.5\n")
    assert drifting.run(models=model).ret == 0
    monkeypatch.setenv("LLMCOMPARE_DRIFT_BUDGET", "7%")
    from_variable = drifting.run(models=model)
    assert from_variable.ret == 1
    from_variable.stdout.fnmatch_lines(["llmcompare: *; drift budget: 7% (LLMCOMPARE_DRIFT_BUDGET)"])
    from_command = drifting.run("--llm-drift-budget=0", models=model)
    assert from_command.ret == 1
    from_command.stdout.fnmatch_lines(["llmcompare: *; drift budget: 0% (command line)"])


@pytest.mark.parametrize("value", ["-1", "100.5%", "five", "nan", ""])
def test_what_is_no_budget(suite: Suite, value: str) -> None:
    """A wrong one is a usage error, before anything is collected."""
    suite.trivia()
    result = suite.run(f"--llm-drift-budget={value}", models=[])
    assert result.ret == USAGE
    assert result.errlines == [
        f"ERROR: drift budget {value!r} (command line) must be a percentage from 0 to 100, such as 5 or 5%.",
        "",
    ]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("-0.5", "drift budget -0.5 (pyproject.toml) must be a percentage from 0 to 100, such as 5 or 5%."),
        ("true", "[tool.llmcompare] in {}: drift_budget = True, expected a percentage such as 5 or '5%'."),
    ],
)
def test_what_is_no_budget_in_the_file(suite: Suite, value: str, message: str) -> None:
    """The same of the file's."""
    path = suite.write("pyproject.toml", f"[tool.llmcompare]\ndrift_budget = {value}\n")
    result = suite.run(models=[])
    assert result.ret == USAGE
    assert result.errlines == [f"ERROR: {message.format(path)}", ""]
