"""`llmcompare check` and `rename`: baseline files as they are."""

from __future__ import annotations

import pytest

from pytest_llmcompare.baselines import store
from pytest_llmcompare.records import GroupKey
from tests.unit.baselines.samples import baseline

from .projects import GROUP, Project

OTHER_MODEL = GroupKey("tests", "trivia", "Tiny/2")
OTHER_TABLE = GroupKey("tests", "geo", "tiny")
PATH = "tests/__baselines__/trivia/tiny.baseline"


def test_check_of_sound_files(project: Project) -> None:
    """It counts what it has read."""
    project.record(baseline("sky"), baseline("ice"))
    project.record(baseline("sky"), group=OTHER_MODEL)
    assert project.run("check") == (0, "2 baseline files, 3 cases: no faults.\n", "")


def test_check_lists_all_faults(project: Project) -> None:
    """A damaged line, a case that stands twice, a merge conflict, a file under a wrong name, a second file."""
    for name in ("a", "b", "c", "d", "e"):
        project.record(baseline("sky"), baseline("tea"), group=GroupKey("tests", name, "tiny"))
    at = {name: store.path_of(project.root, GroupKey("tests", name, "tiny")) for name in "abcde"}
    at["a"].write_text(at["a"].read_text().replace(".input", ".inptu", 1))
    text = at["b"].read_text()
    at["b"].write_text(
        text + "\n" + text[text.index("case sky") : text.index("case tea")].replace("Blue", "Red").strip() + "\n"
    )
    block = text[text.index("case sky") : text.index("case tea")].strip()
    red = block.replace("Blue", "Red")
    at["c"].write_text(at["c"].read_text().replace(block, f"<<<<<<< HEAD\n{block}\n=======\n{red}\n>>>>>>> other"))
    at["d"].rename(at["d"].with_name("small.baseline"))
    at["e"].with_name("copy.baseline").write_bytes(at["e"].read_bytes())
    result = project.run("check")
    assert (result.code, result.out) == (1, "5 baseline files, 10 cases: 5 faults.\n")
    faults = [
        line
        for line in result.err.splitlines()
        if line.startswith("tests/__baselines__/") and ".tokens.jsonl" not in line
    ]
    assert faults == [
        "tests/__baselines__/a/tiny.baseline, line 7: there is no fact '.inptu'. Did you mean '.input'?",
        "tests/__baselines__/b/tiny.baseline, lines 6-8, 14-16: a merge left two versions of case 'sky'.",
        "tests/__baselines__/c/tiny.baseline, lines 6-14: a merge left two versions of case 'sky'.",
        (
            "tests/__baselines__/d/small.baseline: the baselines of table 'd' and model 'tiny' belong in "
            "tests/__baselines__/d/tiny.baseline. Move the file there, and its tokens file with it."
        ),
        (
            "tests/__baselines__/e/copy.baseline: the baselines of table 'e' and model 'tiny' exist twice; "
            "those in use are in tests/__baselines__/e/tiny.baseline. Delete one of the two."
        ),
    ]


def test_check_does_not_look_into_hidden_folders(project: Project) -> None:
    """Virtual environments and caches do not belong to the project."""
    project.record(baseline("sky"))
    (project.root / "tests").rename(project.root / ".tox")
    assert project.run("check") == (0, "0 baseline files, 0 cases: no faults.\n", "")


@pytest.mark.parametrize("old", ["sky", "trivia/sky"])
def test_rename_for_all_models(project: Project, old: str) -> None:
    """All variants follow, in both files; their contents stay the same to the byte."""
    for group in (GROUP, OTHER_MODEL):
        project.record(baseline("sky"), baseline("sky", variant="warm"), baseline("tea"), group=group)
    wanted = {
        path: data.replace(b"case sky", b"case air").replace(b'"sky"', b'"air"')
        for path, data in project.stored().items()
    }
    result = project.run("rename", old, "air")
    assert result.code == 0
    assert result.out.splitlines() == [
        f"{store.path_of(project.root, OTHER_MODEL).relative_to(project.root)}: sky, sky@warm renamed",
        f"{PATH}: sky, sky@warm renamed",
    ]
    assert {path: sorted(data.splitlines()) for path, data in project.stored().items()} == {
        path: sorted(data.splitlines()) for path, data in wanted.items()
    }
    assert store.load(project.root, GROUP).warnings == ()
    assert list(project.texts()) == ["air", "air@warm", "tea"]


def test_rename_for_one_model(project: Project) -> None:
    """The name of the model chooses its file."""
    project.record(baseline("sky"))
    project.record(baseline("sky"), group=OTHER_MODEL)
    assert project.run("rename", "trivia/Tiny/2/sky", "air").code == 0
    assert set(project.texts()) == {"sky"}
    assert set(project.texts(OTHER_MODEL)) == {"air"}


def test_rename_of_nothing(project: Project) -> None:
    """The nearest id is suggested."""
    project.record(baseline("sky"))
    assert project.run("rename", "skye", "air") == (
        1,
        "",
        "llmcompare: no baseline has the prompt id 'skye'. Did you mean 'sky'?\n",
    )


def test_rename_in_two_tables(project: Project) -> None:
    """An id that is in two tables is refused, not guessed."""
    project.record(baseline("sky"))
    project.record(baseline("sky"), group=OTHER_TABLE)
    before = project.stored()
    assert project.run("rename", "sky", "air") == (
        2,
        "",
        "llmcompare: 'sky' is in more than one table: tests/geo, tests/trivia. Name one: TABLE/sky\n",
    )
    assert project.stored() == before


def test_rename_to_a_name_that_is_taken(project: Project) -> None:
    """No file is touched, not even that of a model without the new id."""
    project.record(baseline("sky"), group=OTHER_MODEL)
    project.record(baseline("sky"), baseline("tea"))
    before = project.stored()
    assert project.run("rename", "sky", "tea") == (
        1,
        "",
        f"llmcompare: {PATH}: there is a case 'tea' already. Nothing was renamed.\n",
    )
    assert project.stored() == before
