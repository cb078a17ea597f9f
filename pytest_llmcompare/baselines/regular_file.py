"""Reading and appending to regular files only: reading a named pipe or a device (git stores links) never ends.

Anything else raises an `OSError`, as other files that cannot be read do.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

LARGEST = 512 * 2**20
"""Bytes beyond which a file is not read. 100,000 long answers take a tenth of that."""

_CHUNK = 2**20
_FLAGS = sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_BINARY"))
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class IrregularFileError(OSError):
    """Not a regular file, or one that is too large to be a baseline or pending file."""


def read(path: Path, largest: int = LARGEST) -> bytes:
    """The content of a regular file; links are followed.

    Raises:
        IrregularFileError: It is not a regular file, or larger than `largest`.
        OSError: It cannot be read.
    """
    _check(_stat(path), path, largest)
    handle = os.open(path, os.O_RDONLY | _FLAGS)
    try:
        _check(os.fstat(handle), path, largest)  # it may be another one by now
        chunks = []
        size = 0
        while chunk := os.read(handle, _CHUNK):  # files below /proc have no size, and some no end
            chunks.append(chunk)
            size += len(chunk)
            if size > largest:
                raise _too_large(path, size, largest)
        return b"".join(chunks)
    finally:
        os.close(handle)


def open_to_append(path: Path) -> BinaryIO:
    """Open a regular file to read and append; create it if needed.

    Raises:
        IrregularFileError: It is not a regular file.
        OSError: It cannot be opened.
    """
    if os.path.lexists(path):
        _check(_stat(path), path)
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | _FLAGS, 0o666)
    try:
        _check(os.fstat(handle), path)
        return os.fdopen(handle, "a+b")
    except BaseException:
        os.close(handle)
        raise


def _check(status: os.stat_result, path: Path, largest: int | None = None) -> None:
    """Raise an error unless a file is a regular one.

    Args:
        status: Its status, as `os.stat` returns it.
        path: Its path, for the error.
        largest: Maximum size in bytes.

    Raises:
        IrregularFileError: It is not a regular file, or too large.
    """
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFDIR:
        raise IrregularFileError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if kind != stat.S_IFREG:
        what = _KINDS.get(kind, "something else")
        raise IrregularFileError(errno.EINVAL, f"it is {what}, expected a regular file", str(path))
    if largest is not None and status.st_size > largest:
        raise _too_large(path, status.st_size, largest)


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise IrregularFileError(errno.ELOOP, "it is a link that leads to itself", str(path)) from None
        raise


def _too_large(path: Path, size: int, largest: int) -> IrregularFileError:
    what = f"it has {size / 2**20:,.0f} MiB or more, expected at most {largest / 2**20:,.0f}"
    return IrregularFileError(errno.EFBIG, what, str(path))
