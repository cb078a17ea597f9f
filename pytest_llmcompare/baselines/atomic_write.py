"""Files that are replaced as a whole: at any moment, kill -9 included, the old or the new one is there."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pytest_llmcompare.errors import BaselineError

from . import folder_lock

LOCK_SECONDS = 60.0  # an update takes less than a second


@contextlib.contextmanager
def locked(folder: Path, *, make: bool = True) -> Iterator[None]:
    """Keep other processes from changing the files in a folder.

    Args:
        folder: The folder.
        make: Create the folder if it does not exist. If False and it does not exist, nothing is locked.

    Raises:
        BaselineError: Another process has held it for a minute.
        OSError: The folder cannot be made or opened.
    """
    if not make and not folder.is_dir():
        yield
        return
    try:
        with folder_lock.folder_lock(folder, LOCK_SECONDS):
            yield
    except TimeoutError:
        raise BaselineError(
            f"{folder}: another run has been writing here for over {LOCK_SECONDS:.0f} seconds.\n"
            "Wait for it, or end it, and run again."
        ) from None


def replace(files: Mapping[Path, bytes], last_look: Callable[[], None] = lambda: None) -> None:
    """Replace files in this order; none of them if one cannot be written.

    The target of a link is replaced, and the link stays. Files keep their mode.

    Args:
        files: New content by path.
        last_look: Called between writing and renaming the temporary files; if it raises, the old files stay.

    Raises:
        OSError: A file could not be written, its `filename` says which; all files are unchanged.
    """
    temporaries: list[tuple[Path, Path]] = []
    with contextlib.ExitStack() as cleaning:
        for path, data in files.items():
            target = _target(path)
            temporary = target.with_name(f"{_stem(target)}{secrets.token_hex(4)}.tmp")
            temporaries.append((temporary, target))
            with _named(target):
                _write(temporary, data, target, cleaning)
        last_look()
        for temporary, target in temporaries:
            with _named(target):
                temporary.replace(target)
    for folder in {target.parent for _, target in temporaries}:
        _sync(folder)


def remove_leftovers(path: Path) -> None:
    """Remove temporary files that killed runs left, but none that is being written. Call it under the lock."""
    target = _target(path)
    for temporary in target.parent.glob(f"{_stem(target)}*.tmp"):
        with contextlib.suppress(OSError):  # on any error the next update tries again
            if stat.S_ISREG(temporary.lstat().st_mode) and not folder_lock.is_locked(temporary):
                temporary.unlink()


def _target(path: Path) -> Path:
    """The target of a link; one of them for links that point to each other."""
    return Path(os.path.realpath(path))


@contextlib.contextmanager
def _named(target: Path) -> Iterator[None]:
    """Let errors name the file, not its temporary file, which will be gone."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = str(target), None
        raise


def _stem(target: Path) -> str:
    """Prefix of the names of a file's temporary files; short, so that they fit wherever the file's own name does."""
    return f".{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:8]}-"


def _write(temporary: Path, data: bytes, target: Path, cleaning: contextlib.ExitStack) -> None:
    """Write a temporary file. It stays locked until the rename, so that no process takes it for a leftover."""
    cleaning.callback(temporary.unlink, missing_ok=True)  # before it is there: Ctrl-C may come at any moment
    file = temporary.open("xb", buffering=0)
    cleaning.enter_context(file)
    folder_lock.lock_file(file.fileno())
    _write_all(file, data)
    os.fsync(file.fileno())
    if os.name == "nt":
        file.close()  # Windows renames no file that is open
    with contextlib.suppress(FileNotFoundError):
        temporary.chmod(stat.S_IMODE(target.stat().st_mode))


def _write_all(file: io.FileIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) or 0 :]


def _sync(folder: Path) -> None:
    """Make a rename survive a power failure, if the system can."""
    with contextlib.suppress(OSError):  # Windows cannot open folders
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
