"""Obsolete baselines: told, and deleted only where that is asked for and safe."""

from __future__ import annotations

import shlex

import pytest

from .suites import TEST, Suite, says

ROWS = [{"id": f"n{number}", "prompt": f"Q: What is {number}?\nA:"} for number in range(5)]
SHORT = TEST.replace(": 6", ": 2")
FILE = "__baselines__/trivia/m.baseline"


@pytest.fixture
def five(suite: Suite) -> Suite:
    """A suite with five baselines of model `m`."""
    suite.recorded(ROWS, SHORT)
    return suite


@pytest.mark.parametrize("options", [[], ["--llm-update-all"], ["-k", "n0", "--llm-update"]])
def test_obsolete_baselines_are_told_and_kept(five: Suite, options: list[str]) -> None:
    """A baseline without a row is named with the command that deletes it; no update deletes it."""
    before = five.cases()
    five.trivia(ROWS[:3], SHORT)
    result = five.run(*options)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["trivia/m: 2 obsolete baselines (n3, n4), no longer in the table"])
    selected = "-k n0 " if "-k" in options else ""
    command = shlex.join(["pytest", f"--llm-models={five.spec()}"])
    assert says(result, f"Delete 2: {command} {selected}--llm-prune")
    assert five.cases() == before


def test_prune_deletes_what_is_obsolete(five: Suite) -> None:
    """`--llm-prune` deletes a fifth of a file at once; what it deletes is named, all else keeps its lines."""
    before = five.cases()
    five.trivia(ROWS[:4], SHORT)
    result = five.run("--llm-prune", "test_trivia.py")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines([f"{FILE}: 1 deleted: n4"])
    assert five.cases() == {name: lines for name, lines in before.items() if name != "n4"}
    five.run().stdout.no_fnmatch_line("trivia/m: *obsolete*")


def test_more_than_a_fifth_wants_a_second_word(five: Suite) -> None:
    """Beyond 20 % of a file `--llm-prune` deletes nothing, fails the run and names `--llm-prune=yes`, which does."""
    before = five.stored()
    five.trivia(ROWS[:3], SHORT)
    result = five.run("--llm-prune")
    result.assert_outcomes(passed=3)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    text = " ".join(result.stdout.str().split())
    assert f"{FILE}: the table no longer has 2 of its 5 rows: 'n3', 'n4'. More than 20% of a file are not" in text
    assert "Nothing was deleted from this file. To delete them: pytest --llm-prune=yes" in text
    assert five.stored() == before
    result = five.run("--llm-prune=yes")
    assert result.ret == 0
    result.stdout.fnmatch_lines([f"{FILE}: 2 deleted: n3, n4"])
    assert set(five.cases()) == {"n0", "n1", "n2"}


def test_a_selection_makes_nothing_obsolete(five: Suite) -> None:
    """Rows that are not selected are still in the table: they are neither told nor deleted."""
    before = five.stored()
    result = five.run("--llm-prune=yes", "-k", "n1")
    result.assert_outcomes(passed=1, deselected=4)
    result.stdout.no_fnmatch_line("trivia/m: *obsolete*")
    assert five.stored() == before


def test_other_models_are_left_alone(five: Suite) -> None:
    """Only the files of the models that the run names are looked at."""
    five.run("--llm-update", models=[five.spec("n")]).assert_outcomes(passed=5)
    five.trivia(ROWS[:4], SHORT)
    result = five.run("--llm-prune", models=[five.spec("n")])
    result.stdout.fnmatch_lines(["__baselines__/trivia/n.baseline: 1 deleted: n4"])
    assert set(five.cases()) == {"n0", "n1", "n2", "n3", "n4"}
    assert set(five.cases("__baselines__/trivia/n.baseline")) == {"n0", "n1", "n2", "n3"}


def test_variants_that_are_gone_are_obsolete(five: Suite) -> None:
    """A row of the same id is another case where it has a variant."""
    five.trivia(ROWS, SHORT.replace("model_type", 'variants={"greedy": {}}, model_type'))
    result = five.run("--llm-update", "--llm-prune=yes")
    result.assert_outcomes(passed=5)
    assert set(five.cases()) == {f"n{number} @greedy" for number in range(5)}


UNSAFE = {
    "collection error": ("test_broken.py", "import nothing_of_the_kind", ["--continue-on-collection-errors"], 1),
    "collection error that ends the run": ("test_broken.py", "import nothing_of_the_kind", [], 2),
    "interruption": ("test_zoo.py", "def test_late(): raise KeyboardInterrupt", [], 2),
    "-x": ("test_a.py", "def test_early(): assert 0", ["-x"], 1),
    "exit": ("test_zoo.py", "import pytest\ndef test_late(): pytest.exit('enough')", [], 2),
}


@pytest.mark.parametrize("what", UNSAFE)
def test_nothing_is_deleted_after_a_run_that_was_cut_short(five: Suite, what: str) -> None:
    """A run that did not see everything deletes nothing and says so."""
    name, content, options, code = UNSAFE[what]
    before = five.stored()
    five.trivia(ROWS[:4], SHORT)
    five.write(name, content)
    result = five.run("--llm-prune=yes", *options)
    assert result.ret == code
    assert five.stored() == before
    result.stdout.fnmatch_lines(["--llm-prune deleted nothing: the run was cut short, or a test file could not be*"])


def test_collecting_deletes_nothing(five: Suite) -> None:
    """`--collect-only` looks, whatever else is asked for."""
    before = five.stored()
    five.trivia(ROWS[:1], SHORT)
    assert five.run("--collect-only", "--llm-prune=yes").ret == 0
    assert five.stored() == before
