"""Decode the bytes of a table file. Only UTF-8 is read: a wrong guess would silently change prompts."""

from __future__ import annotations

import codecs
import re
import shlex
from collections.abc import Callable

from pytest_llmcompare.errors import TableError

LINE_END = re.compile(r"\r\n|\r|\n")
MARKS = {  # the long ones first: UTF-16 LE begins like UTF-32 LE
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
WIDE = ("UTF-32LE", "UTF-32BE", "UTF-16LE", "UTF-16BE")
OTHER_FILES = {
    b"PK\x03\x04": "a zip archive, perhaps an Excel workbook. Save the table as CSV UTF-8",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook. Save the table as CSV UTF-8",
    b"\x1f\x8b": "compressed by gzip. Add .gz to its name, or unpack it with gunzip",
    b"PAR1": "parquet. Name it .parquet",
    b"%PDF": "a PDF. Write the prompts as CSV",
    b"BZh": "compressed by bzip2. Unpack it",
    b"\xfd7zXZ": "compressed by xz. Unpack it",
    b"\x28\xb5\x2f\xfd": "compressed by zstd. Unpack it",
}
"""First bytes of files that are not text, with their kinds and what to do."""


def decode(name: str, data: bytes, rows: Callable[[str], int] | None = None) -> str:
    """UTF-8 text, with or without a byte order mark.

    Args:
        name: What messages call the file.
        data: Its bytes.
        rows: Counts the rows below the header that begin in a text, where there are rows of cells.

    Raises:
        TableError: Another encoding, or no text; names the byte, the line and (where there are cells) the row.
    """
    for mark, encoding in MARKS.items():
        if data.startswith(mark):
            raise TableError(f"{name}: the file is {encoding}, expected UTF-8. {converted(name, encoding)}")
    body = data.removeprefix(codecs.BOM_UTF8)
    at = body.find(b"\0")
    if at >= 0 and (encoding := wide_encoding(body)):
        raise TableError(
            f"{name}: the file is {encoding} without a byte order mark, expected UTF-8. {converted(name, encoding)}"
        )
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        at, text = error.start if at < 0 else min(at, error.start), ""
    if at < 0:
        return text
    for start, kind in OTHER_FILES.items():
        if data.startswith(start):
            raise TableError(f"{name}: the file is not text but {kind}.")
    before = f"{body[:at].decode()}?"
    row = rows(before) if rows else 0
    line = len(LINE_END.findall(before)) + 1
    where = f"{name}, {f'row {row}, ' if row > 0 else ''}line {line}: byte {at + len(data) - len(body)} is "
    if body[at] == 0:
        raise TableError(f"{where}NUL, which no text holds. Remove it, or write the file again.")
    raise TableError(
        f"{where}0x{body[at]:02x}, which is not UTF-8. Save the file as UTF-8 where it was written (in Excel: "
        f"'CSV UTF-8'). Otherwise find out its encoding: `file {shlex.quote(name)}` guesses it, and with the right one "
        f"all letters look right. {converted(name, 'ENCODING')}"
    )


def converted(name: str, encoding: str) -> str:
    """How to convert a file to UTF-8, as a sentence."""
    return f"Convert: iconv -f {encoding} -t UTF-8 {shlex.quote(name)} > utf-8.txt, and put that in its place."


def wide_encoding(data: bytes) -> str:
    """The encoding of two or four bytes a character that the bytes are in; empty if they are in none of these.

    Line ends, separators and Latin letters have zeros in fixed places there, and nothing but text decodes into text.
    A few zeros in UTF-8 are a damaged file, not another encoding.
    """
    if data.count(0) * 10 < len(data) and is_utf8(data.replace(b"\0", b"")):
        return ""
    for encoding in WIDE:
        width = 4 if "32" in encoding else 2
        if len(data) % width:
            continue
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        odd = sum(not (char.isprintable() or char.isspace()) for char in text)
        latin = sum(char.isascii() for char in text)
        if not odd and latin:
            return encoding
    return ""


def is_utf8(data: bytes) -> bool:
    """True if the bytes are UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
