"""`llmcompare pending`, `accept` and `reject`: pending outputs are decided about without a model."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys

import pytest

from pytest_llmcompare.baselines import store
from pytest_llmcompare.judgement import Judgement, Likelihood, Verdict
from pytest_llmcompare.records import GroupKey
from tests.unit.baselines.samples import GPU, baseline

from .projects import GROUP, MISSING, Project

OTHER = GroupKey("tests", "geo", "tiny")
SHIFTED = Judgement(Verdict.SHIFTED, likelihood=Likelihood(0.01, 0.0, 0.01, 0, 1e-5))
MOVED = (
    "trivia/tiny/sky: its baseline is no longer the one that this output was compared with, so it stays as it is. "
    "Run pytest again and look at what is pending then.\n"
)


def test_pending_lists_what_waits(project: Project) -> None:
    """A line per case with its verdict, and how to go on."""
    project.drift("sky", "ice")
    project.pend(project.entry(baseline("new"), MISSING))
    assert project.run("pending") == (
        0,
        """\
trivia/tiny/sky  drift @tok 2/2 ' Blue' -> ' Red' margin 1.5
trivia/tiny/ice  drift @tok 2/2 ' Blue' -> ' Red' margin 1.5
trivia/tiny/new  missing: no baseline is recorded for this case

3 pending. Look: llmcompare review   Accept: llmcompare accept GLOB   Reject: llmcompare reject GLOB
""",
        "",
    )


def test_pending_as_json(project: Project) -> None:
    """Programs get the texts and a schema number; hostile text stays ASCII."""
    project.record(baseline("sky"))
    project.pend(project.entry(baseline("sky", "\x1b[31m\ud800")))
    result = project.run("pending", "--json")
    assert result.out.isascii()
    printed = json.loads(result.out)
    assert printed["schema"] == 1
    assert [(one["case"], one["baseline"], one["candidate"]) for one in printed["pending"]] == [
        ("trivia/tiny/sky", " Blue.", "\x1b[31m\ud800")
    ]


def test_accepted_cases_show_their_prompts(project: Project) -> None:
    """The pending file knows them; cases that nobody decided about keep their lines."""
    project.drift("sky", "ice")
    assert project.run("accept", "trivia/tiny/sky").code == 0
    text = store.path_of(project.root, GROUP).read_text("utf-8")
    assert "case sky\n# Q: What color is the sky? …\n.input" in text
    assert "case ice\n.input" in text


@pytest.mark.parametrize("command", [("pending",), ("accept", "--all"), ("reject", "--all")])
def test_nothing_is_pending(project: Project, command: tuple[str, ...]) -> None:
    """That is no error, and makes no folder."""
    assert project.run(*command) == (0, "Nothing is pending.\n", "")
    assert not project.file.folder.exists()


def test_accept_writes_what_an_update_would_have(project: Project) -> None:
    """The same bytes as `files.update` with the same outputs: drifted, missing, shifted, of another environment."""
    project.record(baseline("sky"), baseline("ice"), baseline("far"))
    changed = baseline("sky", " Red.", environment=GPU)
    added, shifted = baseline("new", " New."), baseline("ice", logprobs=(-0.5, -0.75))
    twin = Project(project.root.with_name("twin"))
    shutil.copytree(project.root, twin.root)
    prompt = project.entry(changed).prompt
    outputs = [dataclasses.replace(one, input=prompt) for one in (shifted, added, changed)]
    store.update(twin.root, GROUP, outputs, shifted={shifted.row})
    project.pend(project.entry(changed), project.entry(added, MISSING), project.entry(shifted, SHIFTED))
    assert project.run("accept", "--all") == (
        0,
        "tests/__baselines__/trivia/tiny.baseline: 1 added, 1 changed, 1 refreshed\n3 accepted.\n",
        "",
    )
    assert project.stored() == twin.stored()
    assert not project.file.folder.exists()


SELECTIONS = {
    "a case": (["trivia/tiny/ice"], {"ice"}),
    "a pattern": (["trivia/*/?ce", "*/new"], {"ice", "new"}),
    "a test": (["tests/test_trivia.py::test_trivia[tiny-sky]"], {"sky"}),
    "tests": (["tests/test_trivia.py::*[tiny-*ce]"], {"ice"}),
    "a variant": (["trivia/tiny/sky@warm"], {"sky@warm"}),
    "with the folder": (["tests/trivia/tiny/sky"], {"sky"}),
    "all": (["--all"], {"ice", "new", "sky", "sky@warm"}),
}


@pytest.mark.parametrize("how", SELECTIONS)
@pytest.mark.parametrize("command", ["accept", "reject"])
def test_selections(project: Project, command: str, how: str) -> None:
    """Cases and tests by name or pattern, brackets stand for themselves; the others stay pending."""
    arguments, meant = SELECTIONS[how]
    project.drift("sky", "ice")
    project.pend(
        project.entry(baseline("new", " Red."), MISSING),
        project.entry(baseline("sky", " Red.", variant="warm"), MISSING),
    )
    assert project.run(command, *arguments).code == 0
    left = {"ice", "new", "sky", "sky@warm"} - meant
    assert project.pending() == {f"trivia/tiny/{row}" for row in left}
    red = {row for row, text in project.texts().items() if text == " Red."}
    assert red == (meant if command == "accept" else set())


@pytest.mark.parametrize("command", ["accept", "reject"])
def test_a_pattern_that_matches_nothing(project: Project, command: str) -> None:
    """The nearest names are suggested, and nothing is done, not even for the other patterns."""
    project.drift("sky", "ice")
    before = project.stored()
    assert project.run(command, "trivia/tiny/sky", "trivia/tiny/icy") == (
        1,
        "",
        (
            "llmcompare: 'trivia/tiny/icy' matches no pending output. Nearest: 'trivia/tiny/ice', 'trivia/tiny/sky'. "
            "All: llmcompare pending\n"
        ),
    )
    assert project.stored() == before
    assert project.pending() == {"trivia/tiny/sky", "trivia/tiny/ice"}


@pytest.mark.parametrize("arguments", [(), ("--all", "trivia/*")])
def test_which_ones_has_to_be_said(project: Project, arguments: tuple[str, ...]) -> None:
    """Neither nothing nor everything is selected by accident."""
    project.drift("sky")
    assert project.run("accept", *arguments) == (
        2,
        "",
        "llmcompare: say which: llmcompare accept 'trivia/*', or llmcompare accept --all\n",
    )


def test_a_baseline_that_moved_since_stays(project: Project) -> None:
    """It is refused and stays pending; the others are accepted."""
    project.drift("sky", "ice")
    project.record(baseline("sky", " Green."))
    result = project.run("accept", "--all")
    assert result == (1, "tests/__baselines__/trivia/tiny.baseline: 1 changed\n1 accepted.\n", MOVED)
    assert project.texts() == {"sky": " Green.", "ice": " Red."}
    assert project.pending() == {"trivia/tiny/sky"}


def test_a_baseline_that_was_recorded_since_stays(project: Project) -> None:
    """A baseline that was missing and has come from elsewhere is not overwritten."""
    project.pend(project.entry(baseline("sky", " Red."), MISSING))
    project.record(baseline("sky", " Green."))
    assert project.run("accept", "--all") == (1, "0 accepted.\n", MOVED)
    assert project.texts() == {"sky": " Green."}


def test_what_somebody_else_accepted_is_done(project: Project) -> None:
    """A baseline that equals the pending output by now is no conflict."""
    project.drift("sky")
    project.record(baseline("sky", " Red."))
    before = project.stored()
    assert project.run("accept", "--all") == (0, "1 accepted.\n", "")
    assert project.stored() == before
    assert project.pending() == set()


def test_a_damaged_baseline_file_does_not_hold_up_the_others(project: Project) -> None:
    """The file stays as it is to the byte; the message names the line."""
    project.drift("sky")
    project.drift("paris", group=OTHER)
    path = store.path_of(project.root, GROUP)
    path.write_bytes(path.read_bytes().replace(b".input", b".inptu"))
    damaged = path.read_bytes()
    result = project.run("accept", "--all")
    assert result.code == 1
    assert result.out == "tests/__baselines__/geo/tiny.baseline: 1 changed\n1 accepted.\n"
    assert result.err.startswith("tests/__baselines__/trivia/tiny.baseline, line 7: there is no fact '.inptu'.")
    assert path.read_bytes() == damaged
    assert project.pending() == {"trivia/tiny/sky"}


def test_accepting_from_elsewhere(project: Project) -> None:
    """A file that CI kept: the same baselines are written, the file stays, and nothing is pending here any more."""
    project.drift("sky", "ice")
    artifact = project.root / "artifact.jsonl"
    project.file.path.rename(artifact)
    kept = artifact.read_bytes()
    project.pend(project.entry(baseline("sky", " Yellow.")))
    assert project.run("accept", "--from", "artifact.jsonl", "--all").code == 0
    assert project.texts() == {"sky": " Red.", "ice": " Red."}
    assert artifact.read_bytes() == kept
    assert project.pending() == set()
    assert project.run("accept", "--from", "nowhere.jsonl", "--all") == (
        1,
        "",
        "llmcompare: nowhere.jsonl: cannot be read: No such file or directory.\n",
    )


@pytest.mark.parametrize("folder", ["../other", "/etc", "tests/../../other"])
def test_a_file_from_elsewhere_writes_nothing_outside(project: Project, folder: str) -> None:
    """A folder outside of the root is refused."""
    project.root.with_name("other").mkdir()
    project.pend(project.entry(baseline("sky"), MISSING, GroupKey(folder, "trivia", "tiny"), old=""))
    result = project.run("accept", "--all")
    assert result == (
        1,
        "0 accepted.\n",
        f"trivia/tiny: folder {folder!r} is not below {project.root}. Accept with pytest --llm-update.\n",
    )
    assert [*project.root.with_name("other").iterdir()] == []


def test_another_root_is_noticed(project: Project) -> None:
    """A folder of tests that does not exist is not made."""
    project.pend(project.entry(baseline("sky"), MISSING, GroupKey("qa", "trivia", "tiny")))
    assert project.run("accept", "--all").err == (
        f"trivia/tiny: there is no folder 'qa' in {project.root}. Name pytest's root folder: --root=FOLDER\n"
    )
    assert not (project.root / "qa").exists()


def test_another_version(project: Project) -> None:
    """Exit code 1 with a way out; the file stays."""
    project.file.folder.mkdir()
    project.file.path.write_text('{"pending": 7}\n')
    assert project.run("accept", "--all") == (
        1,
        "",
        (
            "llmcompare: .llmcompare/pending.jsonl, line 1: the line has format 7; this version of pytest-llmcompare "
            "reads format 1.\n"
            "Upgrade (pip install --upgrade pytest-llmcompare), or delete the file and run pytest again.\n"
        ),
    )
    assert project.file.path.read_text() == '{"pending": 7}\n'


def test_half_a_line(project: Project) -> None:
    """A line that a kill cut off is reported; the next one is on a line of its own."""
    project.record(baseline("sky"))
    project.file.folder.mkdir()
    project.file.path.write_text('{"pending": 1, "key')
    project.pend(project.entry(baseline("sky", " Red.")))
    result = project.run("accept", "--all")
    assert (result.code, result.err) == (0, ".llmcompare/pending.jsonl, line 1: broken, so it is not used.\n")
    assert project.texts() == {"sky": " Red."}


def test_it_is_found_from_a_folder_below(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearest pending file upwards is used; paths are shown relative to the working folder."""
    project.drift("sky")
    monkeypatch.chdir(project.root / "tests")
    assert project.run("accept", "--all").out == "__baselines__/trivia/tiny.baseline: 1 changed\n1 accepted.\n"


def test_a_root_that_is_not_there(project: Project) -> None:
    """A wrong option is exit code 2."""
    assert project.run("pending", "--root", "nowhere") == (
        2,
        "",
        "llmcompare: --root 'nowhere': there is no such folder. Name pytest's root folder.\n",
    )


CODE = """
import sys
from pytest_llmcompare.cli.main import main
for arguments in (["pending"], ["accept", "--all"], ["reject", "--all"], ["check"], ["rename", "ice", "fire"],
                  ["review"]):
    main(arguments)
print(sorted({"torch", "transformers", "mlflow", "pandas", "pytest"} & set(sys.modules)))
"""


def test_no_command_imports_anything_heavy(project: Project) -> None:
    """The commands work where no model could run."""
    project.drift("sky", "ice")
    ended = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, timeout=60)
    assert ended.stdout.splitlines()[-1] == "[]"
    assert project.texts() == {"sky": " Red.", "fire": " Red."}
