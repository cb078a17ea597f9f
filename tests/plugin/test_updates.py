"""`--llm-update` and its two siblings: what they write, and what they leave alone."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.platforms import needs_proc

from .suites import TEST, TRIVIA, Suite, said

DISTIL = "tiny-gpt2-distil"
BASELINE = "__baselines__/trivia/m.baseline"
TOKENS = "__baselines__/trivia/m.tokens.jsonl"
NEW = {"id": "new", "prompt": "Q: Is gold a metal?\nA:"}
STALE_SKY = {"id": "sky", "prompt": "Q: What color is grass?\nA:"}

ROWS = [STALE_SKY, TRIVIA[1], TRIVIA[2], NEW]
"""With the baselines of the three questions and the other model: stale, shifted, drifted, missing."""

WRITES = {
    "--llm-update": {"sky", "hamlet", "ice", "new"},
    "--llm-update-missing": {"new"},
    "--llm-update-all": {"sky", "hamlet", "ice", "new"},
}


def tokens(suite: Suite) -> dict[str, str]:
    """The lines of the tokens file, by the case's name and a star."""
    lines = (suite.path / TOKENS).read_text("utf-8").splitlines()
    return {f"{json.loads(line)['id']} *": line for line in lines}


@pytest.mark.parametrize("option", WRITES)
def test_each_option_writes_its_verdicts(suite: Suite, option: str) -> None:
    """Drifted, shifted, missing and stale cases are written and pass; the rest fails, but for the shifted one."""
    suite.trivia(ROWS, recorded=True)
    before, written = suite.cases() | tokens(suite), WRITES[option]
    model = suite.spec("m", DISTIL)
    result = suite.run(option, models=[model])
    result.assert_outcomes(passed=len(written | {"hamlet"}), failed=4 - len(written | {"hamlet"}))
    after = suite.cases()
    assert set(after) == {"sky", "hamlet", "ice", "new"}
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == written - {"hamlet"}  # it keeps its text, and the new environment has the name of the old one
    assert {name for name, line in tokens(suite).items() if line != before.get(name)} == {f"{one} *" for one in written}
    parts = "1 added, 2 changed, 1 refreshed" if "hamlet" in written else "1 added"
    result.stdout.fnmatch_lines([f"{BASELINE}: {parts}"])
    if "hamlet" in written:
        again = suite.run(models=[model])
        again.assert_outcomes(passed=4)


def test_the_file_shows_prompts(suite: Suite) -> None:
    """The first line of each prompt, of a conversation that of the user's last message; escaped."""
    asked = "And at night?\x1b[31m\ncase b"
    talk = [
        {"role": "user", "content": "Hi."},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": asked},
    ]
    suite.write("trivia.jsonl", json.dumps({"id": "talk", "prompt": talk}) + "\n" + json.dumps(NEW))
    suite.write("test_trivia.py", TEST)
    suite.run("--llm-update", models=["m=echo:"]).assert_outcomes(passed=2)
    shown = {name: block.split("\n")[0] for name, block in suite.cases().items()}
    assert shown == {"talk": r"# And at night?\x1b[31m …", "new": "# Q: Is gold a metal? …"}
    before = suite.stored()
    suite.run(models=["m=echo:"]).assert_outcomes(passed=2)
    assert suite.stored() == before


@pytest.mark.parametrize("option", ["--llm-update", "--llm-update-missing", "--llm-update-all"])
def test_equal_outputs_touch_no_file(suite: Suite, option: str) -> None:
    """Where nothing changed no file is written, not even with the same bytes."""
    suite.trivia(recorded=True)
    files = [suite.path / BASELINE, suite.path / TOKENS, suite.path / "__baselines__/.gitattributes"]
    for path in files:
        os.utime(path, ns=(10**18, 10**18))
    before = [(path.read_bytes(), path.stat().st_ino) for path in files]
    result = suite.run(option)
    result.assert_outcomes(passed=3)
    assert [(path.read_bytes(), path.stat().st_ino) for path in files] == before
    assert {path.stat().st_mtime_ns for path in files} == {10**18}
    result.stdout.no_fnmatch_line(f"{BASELINE}: *")


def test_git_sees_only_what_changed(suite: Suite) -> None:
    """After an update with equal outputs `git diff` is empty; after a drift it shows that case, and no tokens."""
    suite.trivia(recorded=True)
    git(suite.path, "init", "-q")
    git(suite.path, "add", "__baselines__")
    git(suite.path, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "baselines")
    suite.run("--llm-update").assert_outcomes(passed=3)
    assert git(suite.path, "status", "--porcelain", "__baselines__") == ""
    suite.run("--llm-update", models=[suite.spec("m", DISTIL)]).assert_outcomes(passed=3)
    diff = git(suite.path, "diff", "-U0", "--", "__baselines__")
    lines = [line for line in diff.splitlines() if line.startswith(("+", "-")) and "case" not in line]
    texts = [line for line in lines if line.startswith(("-|", "+|"))]
    assert texts == ["-| Yes.", "-|", "-|Q:", "+| Ice is fire"]
    heads = [line.split()[0] for line in lines if line.startswith("+#")]
    assert heads == ["+#env", "+#noise"]
    assert "Binary files" in diff  # which is how git shows a file marked -diff


SELECTIONS = {
    "-k": (["-k", "ice"], {"ice"}),
    "--deselect": (["--deselect", "test_trivia.py::test_trivia[m-sky]"], {"hamlet", "ice", "new"}),
    "node id": (["test_trivia.py::test_trivia[m-new]"], {"new"}),
}


@pytest.mark.parametrize("how", SELECTIONS)
def test_a_selection_writes_what_ran(suite: Suite, how: str) -> None:
    """Under a selection only its cases are written; all others keep their lines, and none is called obsolete."""
    options, written = SELECTIONS[how]
    suite.trivia(ROWS, recorded=True)
    before = suite.cases()
    result = suite.run("--llm-update", *options, models=[suite.spec("m", DISTIL)])
    assert result.ret == 0
    after = suite.cases()
    assert {name for name in after if after[name] != before.get(name)} == written
    assert set(before) <= set(after)
    result.stdout.no_fnmatch_line("trivia/?: *obsolete*")


def test_last_failed_can_be_accepted(suite: Suite) -> None:
    """`--lf --llm-update` accepts what failed, and touches nothing else."""
    suite.trivia(recorded=True)
    before, model = suite.cases(), suite.spec("m", DISTIL)
    suite.run(models=[model]).assert_outcomes(passed=2, failed=1)
    suite.run("--lf", "--llm-update", models=[model]).assert_outcomes(passed=1)
    after = suite.cases()
    assert {name for name in after if after[name] != before[name]} == {"ice"}
    suite.run(models=[model]).assert_outcomes(passed=3)


def test_a_run_that_stops_writes_what_ran(suite: Suite) -> None:
    """`-x` writes the cases before the failure; nothing is lost."""
    suite.trivia(
        [STALE_SKY, TRIVIA[2], TRIVIA[1]],
        TEST + '    assert llm_output.text != " Ice is fire", "never accept that"\n',
        recorded=True,
    )
    before = suite.cases()
    result = suite.run("-x", "--llm-update", models=[suite.spec("m", DISTIL)])
    result.assert_outcomes(passed=1, failed=1)
    after = suite.cases()
    assert {name for name in after if after[name] != before[name]} == {"sky"}
    assert set(after) == {"sky", "hamlet", "ice"}


OTHER_FAULTS = {
    "assertion": ("", "    assert len(llm_output.text) > 99\n", "failed"),
    "error at the end": (
        "@pytest.fixture\ndef resource():\n    yield\n    raise OSError('gone')\n",
        "",
        "errors",
    ),
    "skip": ("", "    pytest.skip('not today')\n", "skipped"),
    "expected failure": ("", "    pytest.xfail('known')\n", "xfailed"),
}


@pytest.mark.parametrize("what", OTHER_FAULTS)
def test_a_case_whose_test_fails_otherwise_is_not_written(suite: Suite, what: str) -> None:
    """An output that does not get through its whole test is no baseline."""
    fixture, line, outcome = OTHER_FAULTS[what]
    test = TEST.replace("@pytest.mark", f"{fixture}\n@pytest.mark") + line
    if fixture:
        test = test.replace("(llm_output", "(resource, llm_output")
    suite.trivia(TRIVIA[:1], test)
    result = suite.run("--llm-update")
    assert result.parseoutcomes()[outcome] == 1
    assert suite.stored() == {}


def test_one_failing_test_holds_back_the_case(suite: Suite) -> None:
    """Of two tests on a case, both have to pass before its output is written."""
    test = TEST + '\n@pytest.mark.llm_prompts("trivia.jsonl", gen_config={"max_new_tokens": 6}, model_type=None)\n'
    suite.trivia(TRIVIA[:2], test + 'def test_blue(llm_output):\n    assert "blue" in llm_output.text\n')
    result = suite.run("--llm-update")
    result.assert_outcomes(passed=3, failed=1)
    assert set(suite.cases()) == {"sky"}


def conflicting(text: str) -> str:
    """The baseline file as a merge leaves it where two branches accepted different answers for `ice`."""
    other = text.replace("| Yes.\n|\n|Q:", "| No, fire is hot.")
    ours, theirs = (part.partition("case ice\n")[2].partition("\n\ncase")[0] for part in (text, other))
    return text.replace(ours, f"<<<<<<< HEAD\n{ours}\n=======\n{theirs}\n>>>>>>> other")


@pytest.mark.parametrize(("option", "resolved"), [("--llm-update", True), ("--llm-update-missing", False), ("", False)])
def test_merge_conflict(suite: Suite, option: str, resolved: bool) -> None:
    """Only the case between the markers fails, with their lines; `--llm-update` resolves it."""
    suite.trivia(recorded=True)
    path = suite.path / BASELINE
    clean = path.read_bytes()
    path.write_text(conflicting(clean.decode()))
    damaged = path.read_bytes()
    result = suite.run(*filter(None, [option]))
    result.assert_outcomes(passed=3 if resolved else 2, failed=0 if resolved else 1)
    if resolved:
        assert b"<<<<" not in path.read_bytes()
        assert suite.cases()["ice"].endswith("| Yes.\n|\n|Q:")
        suite.run().assert_outcomes(passed=3)
    else:
        assert said(result, "stale: a merge left two versions") == (
            f"stale: a merge left two versions of the baseline ({BASELINE}, lines 13-23)"
        )
        assert path.read_bytes() == damaged


UNREADABLE = {
    "0 bytes": (b"", f"{BASELINE}, line 1: the file is empty*", f"*git checkout -- {BASELINE}"),
    "newer format": (
        b"#llmcompare-baseline 2\n#table trivia\n",
        f"{BASELINE}, line 1: the file has format 2; this version of pytest-llmcompare reads format 1.*",
        "Upgrade: pip install --upgrade pytest-llmcompare",
    ),
    "damaged line": (None, f"{BASELINE}, line 9: *'.inptu*", f"*git checkout -- {BASELINE}"),
}


@pytest.mark.parametrize("option", ["", "--llm-update-all", "--llm-prune=yes"])
@pytest.mark.parametrize("what", UNREADABLE)
def test_a_file_that_cannot_be_read_is_never_overwritten(suite: Suite, what: str, option: str) -> None:
    """Its cases fail with the line and the way out, whatever is asked; the bytes stay."""
    content, message, way_out = UNREADABLE[what]
    suite.trivia(recorded=True)
    path = suite.path / BASELINE
    path.write_bytes(path.read_bytes().replace(b".input", b".inptu", 1) if content is None else content)
    before = suite.stored()
    result = suite.run("-vv", *filter(None, [option]))
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines([f"E*error: {message}"])
    result.stdout.no_fnmatch_line("*missing*")
    result.stdout.fnmatch_lines([f"E*{way_out}"])
    assert suite.stored() == before


@needs_proc
def test_a_place_that_cannot_be_written_fails_the_run(suite: Suite) -> None:
    """What could not be written is said, and the run fails; the other model's file is written."""
    suite.trivia()
    path = suite.path / "__baselines__/trivia/m.baseline"
    path.parent.mkdir(parents=True)
    path.symlink_to("/proc/none.baseline")
    result = suite.run("--llm-update", models=[suite.spec(), suite.spec("n")])
    result.assert_outcomes(passed=6)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "__baselines__/trivia/n.baseline: 3 added",
            "/proc/none.baseline: cannot be written: *",
            "The baselines are unchanged. Fix that, and run the update again.",
        ]
    )
    assert [found.name for found in path.parent.glob("*.baseline") if found.exists()] == ["n.baseline"]


def test_update_needs_no_cache(suite: Suite) -> None:
    """`-p no:cacheprovider` changes nothing about it."""
    suite.trivia(recorded=True)
    model = suite.spec("m", DISTIL)
    suite.run("-p", "no:cacheprovider", "--llm-update", models=[model]).assert_outcomes(passed=3)
    suite.run("-p", "no:cacheprovider", models=[model]).assert_outcomes(passed=3)


def test_recording_from_nothing(suite: Suite) -> None:
    """On a machine without baselines everything fails, `--llm-update` records, and then it passes."""
    suite.trivia()
    suite.run().assert_outcomes(failed=3)
    result = suite.run("--llm-update")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines([f"{BASELINE}: 3 added"])
    assert suite.stored() == {
        f"__baselines__/{path.relative_to(suite.prepared.baselines).as_posix()}": path.read_bytes()
        for path in suite.prepared.baselines.rglob("*")
        if path.is_file()
    }
    suite.run().assert_outcomes(passed=3)


def git(folder: Path, *arguments: str) -> str:
    """What git says in a folder."""
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout
