"""A lock on a folder, held on the folder itself.

All processes that write there share one lock, also if they have different temporary folders, users, containers or
paths. It leaves no file behind, and the system releases it when a process is killed. If folders cannot be locked
(Windows, NFS), a lock file inside the folder is used instead, next to a `.gitignore` that hides it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK_FOLDER = ".lock"

_SHORTEST, _LONGEST = 0.005, 0.1  # seconds between two attempts
_MODE = 0o666  # other users of a shared folder wait for the same file


@contextlib.contextmanager
def folder_lock(folder: Path, seconds: float) -> Iterator[None]:
    """Hold the lock of a folder, which is created if needed.

    Raises:
        TimeoutError: Another process has held it for that long.
        OSError: The folder cannot be created or opened.
    """
    made = not folder.is_dir()
    until = time.monotonic() + seconds
    handle = _locked_folder(folder, until) if fcntl else None
    try:
        with contextlib.nullcontext() if handle is not None else _lock_file(folder, until):
            yield
    finally:
        if made:
            with contextlib.suppress(OSError):  # something was written
                folder.rmdir()
        if handle is not None:
            os.close(handle)


def is_locked(path: Path) -> bool:
    """True if a living process has the file open and locked, as writers of temporary files do."""
    if fcntl is None:
        return False  # Windows does not remove files that are open
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def lock_file(handle: int) -> None:
    """Lock a new file until it is closed or the process ends."""
    if fcntl is not None:
        with contextlib.suppress(OSError):  # some file systems have no locks
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _locked_folder(folder: Path, until: float) -> int | None:
    """The open folder, locked; None if the file system cannot lock folders."""
    pause = _SHORTEST
    while True:
        _make(folder)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(handle), folder.stat()):  # else it was removed, and made anew, meanwhile
                return handle
        except (BlockingIOError, PermissionError):  # some file systems say the latter
            if time.monotonic() > until:
                os.close(handle)
                raise TimeoutError from None
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST)
        except FileNotFoundError:
            pass
        except OSError:
            os.close(handle)
            return None
        os.close(handle)


@contextlib.contextmanager
def _lock_file(folder: Path, until: float) -> Iterator[None]:
    """Lock a file in the folder. If not even that is possible, only the check before each rename protects the files."""
    from filelock import FileLock, Timeout

    _make(folder)
    place = folder / LOCK_FOLDER
    place.mkdir(exist_ok=True)
    ignore = place / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="ascii")
    lock = FileLock(place / "lock", timeout=max(until - time.monotonic(), 0), mode=_MODE)
    try:
        lock.acquire()
    except Timeout:
        raise TimeoutError from None
    except NotImplementedError:  # a file system without locks
        yield
        return
    try:
        yield
    finally:
        lock.release()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(error.errno, "Not a directory", str(folder)) from None
