"""SHA-256 of files, each read once per process, and large ones ahead of time in a thread. Standard library only."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterable
from pathlib import Path

Stamp = tuple[int, ...]
"""What changes with a file's content: size, times of change (ns), device and inode."""

known_digests: dict[str, tuple[Stamp, str]] = {}
"""Digests of large files by their paths; a digest holds while the file's stamp is the same."""

LARGE = 1 << 20
"""Bytes from which on the digest of a file is saved for later runs."""

CHUNK = 1 << 22
"""Bytes read at once: between two pieces a thread may wait for Python's lock, and larger ones leave the cache."""

_readers: dict[str, threading.Thread] = {}
"""Threads that read files ahead, by path."""


def stamp_of(path: Path) -> Stamp:
    """The stamp of a file; a link's is that of its target.

    Raises:
        OSError: There is no such file.
    """
    facts = path.stat()
    return (facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_dev, facts.st_ino)


def content_digest(path: Path) -> str:
    """SHA-256 of a file's content, which is read only if the file may have changed since it was read last."""
    place = str(path.resolve())
    if reader := _readers.pop(place, None):
        reader.join()
    return _digest(path, place)


def read_ahead(paths: Iterable[Path]) -> None:
    """Start to read large files in a thread, so that `content_digest` need not wait for all of it.

    Hashing holds no lock of Python's, so it goes on beside imports and whatever else the process does. An error is left
    to `content_digest`, which reads the file itself then.
    """
    unread = [path for path in paths if _is_unread(path)]
    if not unread:
        return

    def read() -> None:
        for path in unread:
            with contextlib.suppress(OSError):
                _digest(path, str(path.resolve()))

    reader = threading.Thread(target=read, name="llmcompare-fingerprint", daemon=True)  # nobody waits for it at the end
    _readers.update(dict.fromkeys((str(path.resolve()) for path in unread), reader))
    reader.start()


def _is_unread(path: Path) -> bool:
    """True for a large file whose digest is not known, and which no thread reads."""
    try:
        stamp, place = stamp_of(path), str(path.resolve())
    except OSError:
        return False
    return stamp[0] >= LARGE and place not in _readers and known_digests.get(place, ((), ""))[0] != stamp


def _digest(path: Path, place: str) -> str:
    """The digest that is known of a file, or else that of its content, which is saved if the file is large."""
    stamp = stamp_of(path)
    known, digest = known_digests.get(place, ((), ""))
    if known == stamp:
        return digest
    digest = _read_digest(path)
    if stamp[0] >= LARGE and stamp_of(path) == stamp:
        known_digests[place] = (stamp, digest)
    return digest


def _read_digest(path: Path) -> str:
    """SHA-256 of a file's content, read in pieces."""
    content = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        piece = memoryview(bytearray(min(CHUNK, max(1, path.stat().st_size))))
        while length := file.readinto(piece):
            content.update(piece[:length])
    return content.hexdigest()
