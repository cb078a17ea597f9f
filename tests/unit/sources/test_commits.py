"""`git:REF`: baselines as they are in a commit, read from real repositories; and what is said where that fails."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from pytest_llmcompare.baselines import store
from pytest_llmcompare.baselines.sources import git as repository
from pytest_llmcompare.baselines.sources.git_commit import GitBaselines, open_commit
from pytest_llmcompare.errors import BaselineError, LlmCompareError, SourceError
from pytest_llmcompare.records import GroupKey
from tests.platforms import needs_posix
from tests.repositories import commit, git, init
from tests.unit.baselines.samples import GROUP, baseline, by_row, tokens_of

PATH = "tests/__baselines__/trivia/distilgpt2.baseline"
RECORDED = [baseline("ice", " Cold."), baseline("sky", logprobs=(-0.25, -1.5))]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with two baselines on `main`, and others in the working tree."""
    init(tmp_path / "repo")
    (tmp_path / "repo" / "tests").mkdir()
    store.update(tmp_path / "repo", GROUP, RECORDED)
    commit(tmp_path / "repo")
    store.update(tmp_path / "repo", GROUP, [baseline("sky", " Red."), baseline("tea")])
    return tmp_path / "repo"


def fault(root: Path, ref: str) -> str:
    """What opening a commit that cannot be opened says."""
    with pytest.raises(SourceError) as caught:
        open_commit(root, ref, "")
    return str(caught.value)


def test_the_commit_counts_and_not_the_working_tree(root: Path) -> None:
    """Texts, tokens, log-probabilities, hashes and environments are those of the commit, whatever is edited since."""
    head = git(root, "rev-parse", "HEAD")
    source = open_commit(root, "main", "")
    assert (source.title, source.pinned) == (f"git:main ({head[:8]})", head)
    found = source.load(GROUP, [])
    assert found.baselines == by_row(RECORDED)
    assert (found.path, found.conflicts, found.warnings, found.of_model) == (None, {}, (), "")
    assert found.lacking.startswith(f"git:main ({head[:8]}) has no baseline for this case in {PATH}\n")


@pytest.mark.parametrize("ref", ["main", "HEAD", "v1", "heads/main", "HEAD~0"])
def test_what_a_commit_may_be_called(root: Path, ref: str) -> None:
    """A branch, a tag, an abbreviated or a whole hash, and what git makes of them."""
    git(root, "tag", "-a", "v1", "-m", "first")
    head = git(root, "rev-parse", "HEAD")
    assert open_commit(root, ref, "").pinned == head
    assert open_commit(root, head[:10], "").pinned == head
    assert open_commit(root, head, "").title == f"git:{head}"


def test_a_pinned_commit_stays_while_the_branch_moves(root: Path) -> None:
    """The processes of a run read the same commit, also when somebody commits meanwhile."""
    pinned = open_commit(root, "main", "").pinned
    commit(root)
    assert open_commit(root, "main", pinned).load(GROUP, []).baselines == by_row(RECORDED)
    assert by_row([baseline("tea")]).items() <= open_commit(root, "main", "").load(GROUP, []).baselines.items()


def test_a_file_that_the_commit_does_not_have(root: Path) -> None:
    """Its cases are missing, with the file and what to do, though the working tree has it."""
    other = GroupKey("tests", "geo", "distilgpt2")
    store.update(root, other, [baseline("paris")])
    source = open_commit(root, "main", "")
    found = source.load(other, [])
    assert found.baselines == {}
    assert found.lacking == (
        f"{source.title} has no tests/__baselines__/geo/distilgpt2.baseline\n  Record it, and commit it to main."
    )


@pytest.mark.parametrize("prefix", ["python", "deep/er folder", "tests"])
def test_a_root_folder_below_the_top_of_the_repository(tmp_path: Path, prefix: str) -> None:
    """Paths are those from the repository's top, also through a link to the folder."""
    init(tmp_path / "repo")
    root = tmp_path / "repo" / prefix
    root.mkdir(parents=True)
    store.update(root, GROUP, RECORDED)
    commit(root)
    (tmp_path / "link").symlink_to(root)
    for folder in (root, tmp_path / "link"):
        source = open_commit(folder, "main", "")
        assert source.load(GROUP, []).baselines == by_row(RECORDED)
        assert f"{prefix}/{PATH}" in source.load(GROUP, []).lacking


def test_names_that_need_a_file_name_of_their_own(root: Path) -> None:
    """The file of a name that differs in case, or holds what no file name may, is found as on the disk."""
    groups = [GroupKey("tests", "trivia", name) for name in ("Distilgpt2", "org/model:7b", "-x")]
    for at, group in enumerate(groups):
        store.update(root, group, [baseline("sky", f" {at}.")])
    commit(root)
    source = open_commit(root, "main", "")
    for at, group in enumerate(groups):
        assert source.load(group, []).baselines == by_row([baseline("sky", f" {at}.")])


def test_tokens_are_those_of_the_commit(root: Path) -> None:
    """A commit without the tokens file gives texts, and a warning with nothing in it that could not be done."""
    path = tokens_of(store.path_of(root, GROUP))
    path.unlink()
    commit(root)
    found = open_commit(root, "main", "").load(GROUP, [])
    assert {one.generation.token_ids for one in found.baselines.values()} == {None}
    tokens = "main:tests/__baselines__/trivia/distilgpt2.tokens.jsonl"
    assert found.warnings == (
        f"{tokens}: not there or not readable, so 3 cases are without their tokens.",
        "Cases without tokens are compared by their text.",
    )


def test_a_file_that_is_damaged_in_the_commit(root: Path) -> None:
    """The error names commit, file and line, and no command for the working tree."""
    path = store.path_of(root, GROUP)
    path.write_text(path.read_text().replace(".input", ".inptu", 1))
    commit(root)
    with pytest.raises(BaselineError) as caught:
        open_commit(root, "main", "").load(GROUP, [])
    assert str(caught.value) == (
        f"main:{PATH}, line 7: there is no fact '.inptu'. Did you mean '.input'?\n"
        "Fix it there, or compare with another commit: git:REF"
    )


def test_a_file_of_a_newer_version_in_the_commit(root: Path) -> None:
    """What to do about that is the same everywhere."""
    path = store.path_of(root, GROUP)
    path.write_text(path.read_text().replace("#llmcompare-baseline 1", "#llmcompare-baseline 2", 1))
    commit(root)
    with pytest.raises(BaselineError) as caught:
        open_commit(root, "main", "").load(GROUP, [])
    assert str(caught.value).startswith(f"main:{PATH}, line 1: ")
    assert str(caught.value).endswith("\nUpgrade: pip install --upgrade pytest-llmcompare")


def test_a_conflict_that_was_committed(root: Path) -> None:
    """Only the case between the markers cannot be compared; it says in which lines of which commit."""
    path = store.path_of(root, GROUP)
    text = path.read_text()
    block = text[text.index("case sky") : text.index("case tea")].strip()
    merged = f"<<<<<<< HEAD\n{block}\n=======\n{block.replace('Red', 'Green')}\n>>>>>>> other"
    path.write_text(text.replace(block, merged))
    commit(root)
    found = open_commit(root, "main", "").load(GROUP, [])
    assert set(found.conflicts.values()) == {f"main:{PATH}, lines 10-18"}
    assert set(found.baselines) == set(by_row([baseline("ice"), baseline("tea")]))


def test_tests_outside_of_the_repository(root: Path, tmp_path: Path) -> None:
    """A test file that lies elsewhere has no baselines in any commit."""
    with pytest.raises(SourceError, match="is outside of the git repository of"):
        open_commit(root, "main", "").load(GroupKey(str(tmp_path / "else"), "trivia", "m"), [])


def test_an_unknown_name(root: Path) -> None:
    """The nearest one there is, and how to see all; there is nowhere to fetch from."""
    assert fault(root, "mian") == (
        f"there is no branch, tag or commit 'mian' in the repository of {root}. Did you mean 'main'?\n"
        "See what there is: git branch --all; git tag"
    )
    assert "Did you mean" not in fault(root, "release-2024")


@pytest.mark.parametrize("ref", ["-h", "--all", "", "main\nx", "main\0"])
def test_names_that_would_be_something_else(root: Path, ref: str) -> None:
    """No name becomes an option of git's, nor does one reach it that no commit can have."""
    expected = f"{ref!r} cannot name a commit. Name a branch, a tag or a commit: git:origin/main"
    assert fault(root, ref) == expected


@pytest.mark.parametrize("ref", ["main:tests", "main^{tree}", "main..HEAD", "^main"])
def test_what_is_no_commit(root: Path, ref: str) -> None:
    """A file, a tree, a range and an exclusion are none."""
    assert fault(root, ref).startswith(f"there is no branch, tag or commit {ref!r} in the repository of")


@pytest.mark.parametrize("ref", ["origin/main", "origin/release/1", "v1", "HASH"])
def test_the_command_that_fetches_what_a_shallow_clone_lacks(root: Path, tmp_path: Path, ref: str) -> None:
    """It is run as it is told, in a clone of one branch and one commit as CI makes it, and then the name is known."""
    first = commit(root)
    git(root, "tag", "v1")
    git(root, "branch", "release/1")
    git(root, "checkout", "-q", "-b", "topic")
    commit(root)
    commit(root)
    git(root, "config", "uploadpack.allowAnySHA1InWant", "true")
    git(tmp_path, "clone", "-q", "--depth=1", "--branch=topic", root.as_uri(), "clone")
    wanted = first if ref == "HASH" else ref
    said = fault(tmp_path / "clone", wanted)
    command = said.partition("\nFetch it: ")[2]
    git(tmp_path / "clone", *shlex.split(command)[1:])
    assert open_commit(tmp_path / "clone", wanted, "").pinned == first


def test_the_command_in_a_whole_clone(root: Path, tmp_path: Path) -> None:
    """What is fetched there does not make the clone a shallow one, and a name without its remote finds it."""
    git(tmp_path, "clone", "-q", root.as_uri(), "clone")
    git(root, "branch", "later")
    clone = tmp_path / "clone"
    assert fault(clone, "origin/later").endswith("\nFetch it: git fetch origin later:refs/remotes/origin/later")
    assert fault(clone, "later").endswith("\nFetch it: git fetch --tags origin")
    git(clone, "checkout", "-q", "--detach")
    git(clone, "branch", "-D", "main")
    assert "Did you mean 'origin/main'?" in fault(clone, "main")


def test_no_repository(tmp_path: Path) -> None:
    """It says so in git's own words, and what can be done."""
    assert fault(tmp_path, "main") == (
        f"{tmp_path} is in no git repository that can be read: not a git repository (or any of the parent "
        "directories): .git\nRun in a clone, or compare with files: --llm-baseline=files"
    )


def test_a_repository_of_another_user(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where git does not trust the folder, as in containers of CI services, its own command to allow it is shown."""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    assert fault(root, "main") == (
        f"{root} is in no git repository that can be read: detected dubious ownership in repository at '{root}'\n"
        f"Allow it: git config --global --add safe.directory {root}"
    )


def test_no_git(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without git is told apart from one without a repository."""
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert fault(root, "main") == ("git is not installed. Install it, or compare with files: --llm-baseline=files")


@needs_posix
def test_git_that_does_not_end(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up."""
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:/usr/bin:/bin")
    monkeypatch.setattr(repository, "SECONDS", 0.2)
    assert fault(root, "main") == (
        "git rev-parse has not ended within 0 seconds. See why: git rev-parse --show-toplevel --show-prefix"
    )


def test_the_repository_of_a_git_hook_does_not_count(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one around the root folder does, whatever git told its hook."""
    init(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    assert open_commit(root, "main", "").load(GROUP, []).baselines == by_row(RECORDED)


def test_a_commit_that_has_gone(root: Path) -> None:
    """Reading what is not there any more is an error, and no missing baseline."""
    source = GitBaselines(repository.repository_of(root), "main", "0" * 40)
    with pytest.raises(LlmCompareError, match="commit 00000000 cannot be read: "):
        source.load(GROUP, [])


@pytest.mark.parametrize("below", ["", "python"])
def test_the_command_that_copies(tmp_path: Path, below: str) -> None:
    """It makes all baselines below the root folder those of the commit, from any folder, and touches nothing else."""
    init(tmp_path)
    root = tmp_path / below
    for folder in (root, tmp_path / "elsewhere"):
        (folder / "tests").mkdir(parents=True)
        store.update(folder, GROUP, RECORDED)
    commit(tmp_path)
    for folder in (root, tmp_path / "elsewhere"):
        store.update(folder, GROUP, [baseline("sky", " Red.")])
    subprocess.run(open_commit(root, "main", "").copying, shell=True, check=True, cwd=root / "tests")
    assert store.load(root, GROUP).baselines == by_row(RECORDED)
    texts = {one.generation.text for one in store.load(tmp_path / "elsewhere", GROUP).baselines.values()}
    assert (" Red." in texts) is bool(below)
