"""Files that are replaced as a whole: at any moment, kill -9 included, the old or the new one is there."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from pytest_llmcompare.errors import BaselineError

LOCK_SECONDS = 60.0  # an update takes less than a second


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes on this machine from changing the files in a folder.

    The lock file is in the system's folder for temporary files, one folder per user: nothing is left beside the tests.

    Raises:
        BaselineError: Another process has held it for a minute.
        OSError: There is no place for the lock file.
    """
    from filelock import FileLock, Timeout

    user = os.getuid() if hasattr(os, "getuid") else ""
    place = Path(tempfile.gettempdir(), f"pytest-llmcompare-{user}")
    place.mkdir(mode=0o700, exist_ok=True)
    name = hashlib.sha256(os.fsencode(os.path.normcase(folder.resolve()))).hexdigest()[:16]
    try:
        with FileLock(place / f"{name}.lock", timeout=LOCK_SECONDS):
            yield
    except Timeout as timeout:
        raise BaselineError(
            f"{folder}: another run has been writing baselines here for over {LOCK_SECONDS:.0f} seconds.\n"
            f"Wait for it, or end it (its lock is {timeout.lock_file}), and run again."
        ) from None


def replace(files: Mapping[Path, bytes]) -> None:
    """Replace files, in this order; none of them where one cannot be written.

    A link stays, what it points to is replaced. The file's mode stays.

    Raises:
        OSError: A file could not be written, its `filename` says which; the old ones are as they were.
    """
    drafts: list[tuple[Path, Path]] = []
    try:
        for path, data in files.items():
            target = path.resolve()
            draft = target.with_name(f"{_stem(target)}{secrets.token_hex(4)}.tmp")
            drafts.append((draft, target))
            with _named(target):
                _write(draft, data, target)
        for draft, target in drafts:
            with _named(target):
                draft.replace(target)
    finally:
        for draft, _ in drafts:
            draft.unlink(missing_ok=True)
    for folder in {target.parent for _, target in drafts}:
        _sync(folder)


def remove_leftovers(path: Path) -> None:
    """Remove drafts that killed runs left beside a file. Call it under the lock."""
    target = path.resolve()
    for draft in target.parent.glob(f"{_stem(target)}*.tmp"):
        draft.unlink(missing_ok=True)


@contextlib.contextmanager
def _named(target: Path) -> Iterator[None]:
    """Errors name the file, not its draft, which is gone by the time that somebody reads them."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = str(target), None
        raise


def _stem(target: Path) -> str:
    """How the name of a file's drafts begins; short, so that it fits wherever the file's own name does."""
    return f".{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:8]}-"


def _write(draft: Path, data: bytes, target: Path) -> None:
    with draft.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileNotFoundError):
        draft.chmod(stat.S_IMODE(target.stat().st_mode))


def _sync(folder: Path) -> None:
    """Make a rename last through a power failure, where the system can."""
    with contextlib.suppress(OSError):  # Windows cannot open folders
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
