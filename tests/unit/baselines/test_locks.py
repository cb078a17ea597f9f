"""Several processes write baselines at once: none of them is lost, nothing is left beside the files."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_llmcompare.baselines import atomic_write, folder_lock, store
from pytest_llmcompare.baselines.group_file import Contents
from pytest_llmcompare.baselines.pending import PendingFile
from pytest_llmcompare.errors import BaselineError

from .samples import GROUP, baseline, many

posix = pytest.mark.skipif(os.name != "posix", reason="fork, flock on folders")

WRITER = """
import sys
from pathlib import Path
from pytest_llmcompare.baselines import store as files, folder_lock
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.records import Baseline, GroupKey, RowKey

if sys.argv[4] == "file":
    folder_lock.fcntl = None  # as on Windows
for number in range(int(sys.argv[3])):
    row = RowKey(f"{sys.argv[2]}{number}")
    one = Baseline(row, Generation(" x", (number, 7), (-0.5, -0.25), "length", ()), "1", "2")
    files.update(Path(sys.argv[1]), GroupKey("tests", "trivia", "distilgpt2"), [one])
"""


def writers(roots: dict[str, Path], temporary: Path, count: int, kind: str = "folder") -> list[subprocess.Popen[bytes]]:
    """Processes that write so many cases one by one, each with a folder for temporary files of its own."""
    started = []
    for name, root in roots.items():
        (temporary / name).mkdir(parents=True)
        environment = {**os.environ, "TMPDIR": str(temporary / name)}
        command = [sys.executable, "-c", WRITER, str(root), name, str(count), kind]
        started.append(subprocess.Popen(command, env=environment, cwd=temporary / name))
    return started


def names(root: Path) -> set[str]:
    return {row.prompt_id for row in store.load(root, GROUP).baselines}


@pytest.mark.parametrize("kind", [pytest.param("folder", marks=posix), "file"])
def test_folders_for_temporary_files_do_not_matter(tmp_path: Path, kind: str) -> None:
    """Two processes with two of them, as in containers or of two users: every one of 120 updates is there."""
    root = tmp_path / "project"
    root.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=root, check=True, timeout=30)
    for process in writers({"a": root, "b": root}, tmp_path / "temporary", 60, kind):
        assert process.wait(timeout=120) == 0
    assert names(root) == {f"{name}{number}" for name in "ab" for number in range(60)}
    assert store.load(root, GROUP).warnings == ()
    listed = subprocess.run(
        ["git", "status", "--porcelain", "-uall"], cwd=root, check=True, timeout=30, capture_output=True, text=True
    )
    assert [line.rpartition("/")[2] for line in listed.stdout.splitlines()] == [
        ".gitattributes",
        "distilgpt2.baseline",
        "distilgpt2.tokens.jsonl",
    ]


@posix
def test_the_way_to_the_folder_does_not_matter(tmp_path: Path) -> None:
    """By a link to the project, and by a link to the folder of baselines in another one, it is the same lock."""
    real, linked, other = tmp_path / "real", tmp_path / "linked", tmp_path / "other"
    for folder in (real / "tests/__baselines__", other / "tests"):
        folder.mkdir(parents=True)
    linked.symlink_to(real)
    (other / "tests/__baselines__").symlink_to(real / "tests/__baselines__")
    for process in writers({"a": real, "b": linked, "c": other}, tmp_path / "temporary", 20):
        assert process.wait(timeout=120) == 0
    assert names(real) == {f"{name}{number}" for name in "abc" for number in range(20)}


def test_what_a_process_wrote_in_spite_of_the_lock_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks of some network file systems reach one machine only: what was read is compared before it is replaced."""
    store.update(tmp_path, GROUP, many(3))
    monkeypatch.setattr(store, "locked", lambda *_args, **_options: contextlib.nullcontext())
    text = Contents.text
    theirs = [baseline("theirs")]

    def text_while_others_write(self: Contents) -> str:
        if theirs:
            store.update(tmp_path, GROUP, [theirs.pop()])
        return text(self)

    monkeypatch.setattr(Contents, "text", text_while_others_write)
    store.update(tmp_path, GROUP, [baseline("ours")])
    assert names(tmp_path) == {"row_000", "row_001", "row_002", "theirs", "ours"}
    monkeypatch.setattr(Contents, "text", text)


def test_a_file_that_changes_all_the_time_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The update gives up without having replaced anything."""
    store.update(tmp_path, GROUP, many(3))
    path = store.path_of(tmp_path, GROUP)
    text = Contents.text

    def text_while_others_write(self: Contents) -> str:
        path.write_bytes(path.read_bytes() + b"\n")
        return text(self)

    monkeypatch.setattr(Contents, "text", text_while_others_write)
    with pytest.raises(BaselineError, match=r"distilgpt2\.baseline: other runs keep writing this file"):
        store.update(tmp_path, GROUP, [baseline("ours")])
    assert names(tmp_path) == {"row_000", "row_001", "row_002"}
    assert not list(tmp_path.rglob("*.tmp"))


@posix
def test_a_temporary_file_that_is_being_written_is_left_alone(tmp_path: Path) -> None:
    """What a living process works at is no leftover; what it leaves when it is killed is."""
    store.update(tmp_path, GROUP, many(2))
    path = store.path_of(tmp_path, GROUP)
    temporary = path.with_name(f"{atomic_write._stem(path)}00000000.tmp")
    code = "import sys; from pytest_llmcompare.baselines import folder_lock; file = open(sys.argv[1], 'xb');"
    code += "folder_lock.lock_file(file.fileno()); print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(temporary)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        store.update(tmp_path, GROUP, [baseline("a")])
        assert temporary.exists()
        writer.kill()
    store.update(tmp_path, GROUP, [])
    assert not temporary.exists()


@posix
def test_a_folder_that_is_removed_while_somebody_waits_for_it(tmp_path: Path) -> None:
    """The lock of a folder that is gone keeps nobody out of the one that is made in its place."""
    folder = tmp_path / "folder"
    with folder_lock.folder_lock(folder, 1):
        folder.rmdir()
        with folder_lock.folder_lock(folder, 1), pytest.raises(TimeoutError), folder_lock.folder_lock(folder, 0.05):
            pass
    assert not folder.exists()


def test_nothing_is_made_where_nothing_is_written(tmp_path: Path) -> None:
    """An update of nothing, a prune, and an update that fails leave no folder."""
    (tmp_path / "tests").mkdir()
    store.update(tmp_path, GROUP, [])
    store.prune(tmp_path, GROUP, [], confirmed=True)
    PendingFile(tmp_path).compact()
    assert list((tmp_path / "tests").iterdir()) == []
    (tmp_path / "tests/__baselines__").write_text("mine")
    with pytest.raises(BaselineError, match="Not a directory"):
        store.update(tmp_path, GROUP, many(1))
    assert list(tmp_path.iterdir()) == [tmp_path / "tests"]


def in_child(act: Callable[[], object]) -> int:
    """Exit status of a forked process that does this."""
    child = os.fork()
    if not child:
        code = 1
        with contextlib.suppress(BaseException):
            act()
            code = 0
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs a second user")
@pytest.mark.parametrize("kind", ["folder", "file"])
def test_two_users(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """What one user has written and locked, another one who may write there can lock and update."""
    if kind == "file":
        monkeypatch.setattr(folder_lock, "fcntl", None)
    root = Path(tempfile.mkdtemp(dir="/tmp"))  # pytest's own folders are closed to others
    try:
        store.update(root, GROUP, many(2))
        for folder in (root, root / "tests", *root.glob("tests/__baselines__"), *root.glob("tests/__baselines__/*/")):
            folder.chmod(0o777)

        def as_another() -> None:
            os.setgid(65534)
            os.setuid(65534)
            store.update(root, GROUP, [baseline("theirs")])

        assert in_child(as_another) == 0
        store.update(root, GROUP, [baseline("ours")])
        assert names(root) == {"row_000", "row_001", "theirs", "ours"}
    finally:
        shutil.rmtree(root)
