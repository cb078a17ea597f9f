"""Whatever happens in the middle of an update, the old or the new file is there and can be read."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_llmcompare.baselines import atomic_write, store
from pytest_llmcompare.errors import BaselineError
from pytest_llmcompare.records import RowKey
from tests.disks import full_disk
from tests.platforms import needs_file_limit, needs_proc, needs_signals, needs_symlinks

from .samples import GROUP, baseline, by_row, contents_of, many, tokens_of

FOLDER = "tests/__baselines__/trivia"
AGAIN = "The baselines are unchanged. Fix that, and run the update again."

UPDATES = """
import sys
from pathlib import Path
from pytest_llmcompare.baselines import store as files
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.records import Baseline, GroupKey, RowKey

group = GroupKey("tests", "trivia", "distilgpt2")
names = sys.argv[2].split(",")
rounds = range(int(sys.argv[3]), int(sys.argv[4]))
print("ready", flush=True)
for number in rounds:
    files.update(Path(sys.argv[1]), group, [
        Baseline(RowKey(name), Generation(f" {number}", (number, 7), (-0.5, -0.25), "length", ()), "1", "2")
        for name in names
    ])
"""


def start(root: Path, names: list[str], first: int, last: int) -> subprocess.Popen[str]:
    """A process that writes ` FIRST` to ` LAST - 1` into these cases, one number after the other."""
    command = [sys.executable, "-c", UPDATES, str(root), ",".join(names), str(first), str(last)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.fixture
def names() -> list[str]:
    """Enough cases for a write to take a while."""
    return [f"row_{at:03}" for at in range(200)]


def wait_for_draft(folder: Path) -> None:
    """Return while a draft is being written, so that a signal hits the middle of an update."""
    deadline = time.monotonic() + 30
    while not any(path.suffix == ".tmp" for path in folder.iterdir()):
        assert time.monotonic() < deadline


def wait_for_update(path: Path, before: bytes) -> None:
    """Return once an update is through, so that a slow machine gets to see more than the first one."""
    deadline = time.monotonic() + 60
    while path.read_bytes() == before:
        assert time.monotonic() < deadline
        time.sleep(0.001)


@needs_signals
@pytest.mark.parametrize("sent", ["SIGKILL", "SIGINT"], ids=["kill -9", "Ctrl-C"])
def test_a_signal_leaves_the_old_or_the_new_file(tmp_path: Path, names: list[str], sent: str) -> None:
    """At any moment: all cases of one update, or all of the one before, and never half of a file."""
    store.update(tmp_path, GROUP, [baseline(name, " 0") for name in names])
    path = store.path_of(tmp_path, GROUP)
    number = 0
    for attempt in range(20):
        before = path.read_bytes()
        process = start(tmp_path, names, number + 1, 10**6)
        if attempt % 4 == 2:
            wait_for_update(path, before)
        if attempt % 2:
            wait_for_draft(path.parent)
        time.sleep(0.003 * (attempt % 11))
        process.send_signal(signal.Signals[sent])
        process.communicate(timeout=30)
        stored = store.load(tmp_path, GROUP)
        assert list(stored.baselines) == [RowKey(name) for name in names]
        texts = {one.generation.text for one in stored.baselines.values()}
        assert len(texts) == 1
        assert number <= int(min(texts))
        assert all("does not fit the text" in warning or "more lines" in warning for warning in stored.warnings[:-1])
        number = int(min(texts))
        assert sent == "SIGKILL" or not list(path.parent.glob(".*.tmp"))
    assert number > 0
    store.update(tmp_path, GROUP, [baseline("new")])
    assert sorted(contents_of(path.parent)) == ["distilgpt2.baseline", "distilgpt2.tokens.jsonl"]


def test_updates_of_two_processes_lose_nothing(tmp_path: Path) -> None:
    """Runs that write different cases of one group at the same time wait for each other."""
    sides = [["a", "b"], ["c"], ["b", "d"]]
    for process in [start(tmp_path, names, 0, 40) for names in sides]:
        assert process.wait(timeout=60) == 0
        process.communicate()
    stored = store.load(tmp_path, GROUP)
    assert {row.prompt_id: one.generation.text for row, one in stored.baselines.items()} == dict.fromkeys("abcd", " 39")
    assert stored.warnings == ()
    assert not list(tmp_path.rglob("*.tmp"))
    assert not list(tmp_path.rglob("*.lock"))


@needs_signals
def test_leftovers_of_killed_runs_are_removed(tmp_path: Path) -> None:
    """Drafts go with the next update of their group, even an empty one; a user's own files stay."""
    store.update(tmp_path, GROUP, many(3))
    path = store.path_of(tmp_path, GROUP)
    process = start(tmp_path, ["row_000"], 0, 10**6)
    wait_for_draft(path.parent)
    process.kill()
    process.communicate()
    own = path.parent / ".notes.tmp"
    own.write_text("mine")
    store.update(tmp_path, GROUP, [])
    assert sorted(contents_of(path.parent)) == [".notes.tmp", path.name, tokens_of(path).name]


@needs_file_limit
@pytest.mark.parametrize(("token_ids", "name"), [((1, 2), "distilgpt2.tokens.jsonl"), (None, "distilgpt2.baseline")])
def test_a_full_disk_is_an_error_and_the_old_files_stay(
    tmp_path: Path, token_ids: tuple[int, ...] | None, name: str
) -> None:
    """Neither file is replaced, no draft is left, and the message names the file."""
    store.update(tmp_path, GROUP, many(20, token_ids=token_ids))
    before = contents_of(tmp_path)
    with full_disk(), pytest.raises(BaselineError) as caught:
        store.update(tmp_path, GROUP, many(200, token_ids=token_ids))
    assert str(caught.value) == f"{tmp_path / FOLDER / name}: cannot be written: File too large.\n{AGAIN}"
    assert contents_of(tmp_path) == before


@pytest.mark.parametrize("where", ["tests", "tests/__baselines__", FOLDER])
def test_a_file_where_a_folder_should_be(tmp_path: Path, where: str) -> None:
    """What the system says is passed on, and nothing is written."""
    (tmp_path / where).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / where).write_text("mine")
    with pytest.raises(BaselineError) as caught:
        store.update(tmp_path, GROUP, many(2))
    inner = f"{FOLDER}/distilgpt2.baseline: cannot be read: Not a directory."
    outer = f"{tmp_path / 'tests/__baselines__'}: cannot be written: Not a directory.\n{AGAIN}"
    assert str(caught.value) == (inner if where == FOLDER else outer)
    assert list(contents_of(tmp_path)) == [where]


@needs_proc
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """Even root cannot make files in /proc, which stands for any such place."""
    (tmp_path / "tests").symlink_to("/proc")
    assert store.load(tmp_path, GROUP).baselines == {}
    with pytest.raises(BaselineError) as caught:
        store.update(tmp_path, GROUP, many(2))
    where = tmp_path / "tests/__baselines__"
    assert str(caught.value) == f"{where}: cannot be written: No such file or directory.\n{AGAIN}"


def test_a_run_that_waits_too_long_says_for_whom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that another run holds is waited for, not broken; the message says what to do."""
    store.update(tmp_path, GROUP, many(2))
    before = contents_of(tmp_path)
    monkeypatch.setattr(atomic_write, "LOCK_SECONDS", 0.1)
    folder = tmp_path / "tests/__baselines__"
    with atomic_write.locked(folder), pytest.raises(BaselineError) as caught:
        store.update(tmp_path, GROUP, [baseline("new")])
    first, second = str(caught.value).split("\n")
    assert first == f"{folder}: another run has been writing here for over 0 seconds."
    assert second == "Wait for it, or end it, and run again."
    assert contents_of(tmp_path) == before
    assert store.update(tmp_path, GROUP, [baseline("new")]).written


@needs_symlinks
def test_a_linked_file_stays_a_link(tmp_path: Path) -> None:
    """What it points to is replaced, and keeps its mode; drafts are beside the target, not beside the link."""
    store.update(tmp_path, GROUP, many(2))
    path, elsewhere = store.path_of(tmp_path, GROUP), tmp_path / "elsewhere"
    elsewhere.mkdir()
    for file in (path, tokens_of(path)):
        file.rename(elsewhere / file.name).chmod(0o640)
        file.symlink_to(elsewhere / file.name)
    store.update(tmp_path, GROUP, [baseline("new")])
    assert path.is_symlink()
    assert tokens_of(path).is_symlink()
    assert sorted(contents_of(elsewhere)) == [path.name, tokens_of(path).name]
    assert {file.stat().st_mode & 0o777 for file in elsewhere.iterdir()} == {0o640}
    assert store.load(tmp_path, GROUP).baselines == by_row([*many(2), baseline("new")])
    store.prune(tmp_path, GROUP, [], confirmed=True)
    assert not path.is_symlink()
    assert list(elsewhere.iterdir()) == []
