"""Detects pickles by their content, not by the file's name: reading one can run any code.

Files with the usual names of pickles are refused even if they are empty or damaged.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import pickletools
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

NAMES = (
    "*.pt",
    "*.pth",
    "*.pkl",
    "*.pickle",
    "*.p",
    "*.cloudpickle",
    "*.ckpt",
    "*.joblib",
    "*.dill",
    "pytorch_model*.bin",
    "adapter_model*.bin",
)
HEAD = 1 << 16  # bytes of a file that are searched
MOST = 1 << 26  # bytes of a file that are unpacked
DEPTH = 3  # archives within archives

RUNNING = frozenset({"REDUCE", "BUILD", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"})
IMPORTING = frozenset({"GLOBAL", "STACK_GLOBAL"})

OPENERS: Mapping[bytes, Callable[[BinaryIO], Any]] = {
    b"\x1f\x8b": lambda data: gzip.GzipFile(fileobj=data),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
    b"]\x00\x00": lzma.LZMAFile,
}
"""First bytes of the formats in which joblib and MLflow compress pickles, and their readers."""

LZ4 = b"\x04\x22\x4d\x18"  # also used by joblib; the standard library cannot read it


def is_pickle(path: Path) -> bool:
    """True if a file is a pickle, or a zip or compressed file with one inside; False if it cannot be read."""
    try:
        if not path.is_file():  # a pipe would never end
            return False
        if zipfile.is_zipfile(path):
            return _in_zip(path)
        with path.open("rb") as file:
            if _holds_pickle(file.read(HEAD)):
                return True
            file.seek(0)
            return _runs_late(file)
    except OSError:
        return False


def _runs_late(file: BinaryIO, depth: int = DEPTH) -> bool:
    """True if a file, maybe compressed, is a pickle of protocol 0 or 1, recognized by reading its instructions.

    Such pickles have no magic bytes and may begin with long texts. Other files fail at their first bytes.
    """
    start = file.read(8)
    file.seek(0)
    if depth:
        for magic, opener in OPENERS.items():
            if start.startswith(magic):
                try:
                    return _runs_late(BytesIO(opener(file).read(MOST)), depth - 1)
                except (OSError, EOFError, zlib.error, lzma.LZMAError):
                    return False
        if _is_zlib(start):
            try:
                return _runs_late(BytesIO(zlib.decompressobj().decompress(file.read(), MOST)), depth - 1)
            except zlib.error:
                return False
    return _runs(file)


def _holds_pickle(data: bytes, depth: int = DEPTH) -> bool:
    """True if bytes are the beginning of a pickle or of a compressed one."""
    if data[:1] == b"\x80" and data[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return True
    if data.startswith(LZ4):
        return True
    if depth:
        inner = _decompressed(data)
        if inner and _holds_pickle(inner, depth - 1):
            return True
    return (data.startswith(b"\x93NUMPY") and b"'|O'" in data[:256]) or _runs(data)


def _in_zip(path: Path) -> bool:
    """True if a member of an archive is a pickle: torch's `data.pkl`, numpy's arrays of objects."""
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                with archive.open(member) as file:
                    if member.filename.endswith((".pkl", ".pickle")) or _holds_pickle(file.read(HEAD)):
                        return True
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError):
        return True  # it is unknown
    return False


def _decompressed(data: bytes) -> bytes:
    """The first bytes of compressed data, decompressed; empty for other data."""
    for magic, opener in OPENERS.items():
        if data.startswith(magic):
            return b"".join(_pieces(opener(BytesIO(data))))
    if _is_zlib(data):
        try:
            return zlib.decompressobj().decompress(data, HEAD)
        except zlib.error:
            return b""
    return b""


def _is_zlib(data: bytes) -> bool:
    """True if bytes have a valid zlib header."""
    return data[:1] == b"\x78" and len(data) > 1 and (data[0] * 256 + data[1]) % 31 == 0


def _pieces(file: Any) -> Iterator[bytes]:
    """The readable pieces of a compressed file, which may be cut off."""
    try:
        for _ in range(HEAD // 4096):
            if not (piece := file.read(4096)):
                return
            yield piece
    except (OSError, EOFError, zlib.error, lzma.LZMAError):
        return


def _runs(data: bytes | BinaryIO) -> bool:
    """True if bytes, read as a pickle of protocol 0 or 1, import something and run it."""
    stack: list[bool] = []  # True stands for a mark
    imported = False
    try:
        for opcode, _, _ in pickletools.genops(data):
            if not _step(opcode, stack):
                return False
            imported = imported or opcode.name in IMPORTING
            if opcode.name == "INST" or (imported and opcode.name in RUNNING):
                return True
    except Exception:  # pickletools raises any error for other data
        return False
    return False


def _step(opcode: pickletools.OpcodeInfo, stack: list[bool]) -> bool:
    """Apply an instruction to the stack; False if the stack lacks its operands."""
    taken = list(opcode.stack_before)
    if pickletools.markobject in taken:
        if True not in stack:
            return False
        while not stack.pop():
            pass
        taken = taken[: taken.index(pickletools.markobject)]
    if len(taken) > len(stack) or any(stack[len(stack) - len(taken) :]):
        return False
    del stack[len(stack) - len(taken) :]
    stack.extend(kind is pickletools.markobject for kind in opcode.stack_after)
    return True
