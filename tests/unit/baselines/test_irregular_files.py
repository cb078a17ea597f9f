"""What stands in the place of a file and is none: refused by its name, whoever reads or writes; nothing hangs."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_llmcompare.baselines import inventory, regular_file, store
from pytest_llmcompare.baselines.journal import Journal
from pytest_llmcompare.baselines.pending import PendingFile
from pytest_llmcompare.errors import BaselineError
from pytest_llmcompare.generation import Generation
from tests.cli.projects import GROUP as TINY
from tests.cli.projects import Project

from .samples import GROUP, baseline, many, tokens_of

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes, devices, SIGALRM")

SECONDS = 20


@pytest.fixture(autouse=True)
def alarm() -> Iterator[None]:
    """What hangs fails instead."""

    def ring(_number: int, _frame: object) -> None:
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def link_to(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def linked_pipe(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


def socket_at(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the system's limit is some 100 characters
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


KINDS: dict[str, tuple[Callable[[Path], None], str]] = {
    "a named pipe": (pipe, "a named pipe"),
    "a link to a named pipe": (linked_pipe, "a named pipe"),
    "a socket": (socket_at, "a socket"),
    "a link to /dev/zero": (link_to("/dev/zero"), "a device"),
    "a link to /dev/tty": (link_to("/dev/tty"), "a device"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "a link that leads to itself"),
    "a folder": (Path.mkdir, "Is a directory"),
    "a link to a folder": (link_to("."), "Is a directory"),
    "a terabyte": (huge, "MiB"),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> tuple[Callable[[Path], None], str]:
    """How to make it, and what is to be said of it."""
    return KINDS[request.param]


@pytest.mark.parametrize("which", ["baseline", "tokens"])
def test_files_of_a_group(tmp_path: Path, kind: tuple[Callable[[Path], None], str], which: str) -> None:
    """Comparing, updating, pruning, renaming and checking say which file it is; it stays as it is."""
    make, told = kind
    store.update(tmp_path, GROUP, many(3))
    path = store.path_of(tmp_path, GROUP)
    bad = path if which == "baseline" else tokens_of(path)
    bad.unlink()
    try:
        make(bad)
    except OSError as error:
        pytest.skip(f"no such file here: {error}")
    before = sorted(bad.parent.iterdir())
    calls: list[Callable[[], object]] = [
        lambda: store.load(tmp_path, GROUP),
        lambda: store.fingerprints(tmp_path, GROUP),
        lambda: store.update(tmp_path, GROUP, [baseline("a")]),
        lambda: store.prune(tmp_path, GROUP, [], confirmed=True),
        lambda: store.rename(tmp_path, GROUP, {many(1)[0].row: baseline("a").row}),
    ]
    for call in calls:
        with pytest.raises(BaselineError) as caught:
            call()
        assert bad.name in str(caught.value)
        assert told in str(caught.value)
        assert "git checkout -- tests/__baselines__/trivia/" in str(caught.value)
    if not path.is_dir():  # which `check` does not look for
        assert [told in fault and bad.name in fault for fault in inventory.take(tmp_path).faults] == [True]
    assert sorted(bad.parent.iterdir()) == before


@pytest.mark.parametrize("command", ["pending", "accept --all", "reject --all", "review --web --no-browser"])
def test_the_pending_file(project: Project, kind: tuple[Callable[[Path], None], str], command: str) -> None:
    """Each command ends with an error that names it."""
    make, told = kind
    (project.root / ".llmcompare").mkdir()
    make(project.file.path)
    said = project.run(*command.split())
    assert said.code == 1
    assert ".llmcompare/pending.jsonl: cannot be read: " in said.err
    assert told in said.err
    assert "Delete it" in said.err


def test_files_named_on_the_command_line(project: Project, kind: tuple[Callable[[Path], None], str]) -> None:
    """A pending file from CI, and a saved report."""
    make, told = kind
    make(project.root / "from.jsonl")
    (project.root / "saved").mkdir()
    make(project.root / "saved/report.json")
    for arguments in (("accept", "--all", "--from=from.jsonl"), ("report", "saved/report.json", "drawn.html")):
        said = project.run(*arguments)
        assert said.code == 1
        assert told in said.err


def test_an_entry_is_kept_nowhere_else(project: Project, kind: tuple[Callable[[Path], None], str]) -> None:
    """A run that wants to note what waits gets an error instead of an endless wait."""
    make, _ = kind
    project.record(baseline("sky"))
    entry = project.entry(baseline("sky", " Red."))
    (project.root / ".llmcompare").mkdir()
    make(project.file.path)
    if project.file.path.is_file():
        return  # the terabyte can grow, and is refused when it is read
    with pytest.raises(OSError, match=r"pending\.jsonl"):
        PendingFile(project.root).append(entry)


def test_the_journal(tmp_path: Path, kind: tuple[Callable[[Path], None], str]) -> None:
    """A journal that is no file holds nothing, and the run goes on without."""
    make, _ = kind
    journal = Journal(tmp_path, TINY)
    journal.path.parent.mkdir(parents=True)
    make(journal.path)
    assert journal.read() == {}
    if not journal.path.is_file():
        journal.append("key", Generation("text"))
        assert not journal.works


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc")
def test_a_file_without_size_is_read_up_to_the_limit(tmp_path: Path) -> None:
    """Files below /proc say that they have 0 bytes."""
    link = tmp_path / "link"
    link.symlink_to("/proc/self/status")
    assert b"Pid:" in regular_file.read(link)
    with pytest.raises(regular_file.IrregularFileError, match="expected at most"):
        regular_file.read(link, largest=10)


def test_a_pipe_in_the_place_of_the_settings(project: Project) -> None:
    """`llmcompare models` reads pyproject.toml by itself."""
    (project.root / "pyproject.toml").unlink()
    os.mkfifo(project.root / "pyproject.toml")
    said = project.run("models")
    assert said.code == 2
    assert "pyproject.toml" in said.err
    assert "a named pipe" in said.err
