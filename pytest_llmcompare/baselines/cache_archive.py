"""The answer cache as a zip archive, to carry it to another machine. What comes from there is checked line by line."""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path

from pytest_llmcompare.errors import BaselineError

from . import regular_file
from .answer_cache import LARGEST_FILE, LARGEST_FOLDER, append_to, files_in, folder_of
from .cache_lines import FORMAT, parse_line

NAME = re.compile(r"[0-9a-f]{16}\.jsonl")
MOST_FILES = 10_000
_BROKEN = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError)
"""What `zipfile` raises for damaged, encrypted and unusual archives."""


def export_answers(root: Path, target: Path) -> int:
    """Write all files of the cache into an archive; return how many.

    Raises:
        BaselineError: There are none.
        OSError: The archive cannot be written.
    """
    paths = files_in(root)
    if not paths:
        raise BaselineError(f"{folder_of(root)} holds no answers, so there is nothing to export.")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            archive.writestr(path.name, regular_file.read(path, 2 * LARGEST_FILE))
    return len(paths)


def import_answers(root: Path, source: Path) -> tuple[int, int]:
    """Add the answers in an archive to the cache.

    Args:
        root: pytest's root folder.
        source: What `export_answers` wrote.

    Returns:
        Number of lines added, and of lines that were left out because they are damaged or of another version.

    Raises:
        BaselineError: It is no such archive, holds other files, or is too large. Nothing is added.
        TimeoutError: Another run keeps the folder locked.
        OSError: It cannot be read, or the cache cannot be written.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            _check(archive, source)
            contents = {member.filename: archive.read(member) for member in archive.infolist()}
    except _BROKEN as error:
        raise BaselineError(f"{source} cannot be read as an archive of `llmcompare cache export`: {error}.") from None
    added = left_out = 0
    for name, data in contents.items():
        path = folder_of(root) / name
        present = set(regular_file.read(path, 2 * LARGEST_FILE).split(b"\n")) if path.is_file() else set()
        lines = [line for line in data.split(b"\n") if line and line not in present]
        sound = [line for line in lines if (parsed := parse_line(line)) is not None and parsed["v"] == FORMAT]
        if sound:
            append_to(root, path, b"".join(line + b"\n" for line in sound))
        added, left_out = added + len(sound), left_out + len(lines) - len(sound)
    return added, left_out


def _check(archive: zipfile.ZipFile, source: Path) -> None:
    """Check names and sizes before anything is unpacked.

    Raises:
        BaselineError: A file that the cache cannot have, or too many bytes.
    """
    members = archive.infolist()
    if strange := next((member.filename for member in members if not NAME.fullmatch(member.filename)), ""):
        raise BaselineError(
            f"{source} holds {strange[:80]!r}, which is not a file of an answer cache. Nothing was imported.\n"
            "Import what `llmcompare cache export` wrote."
        )
    sizes = [member.file_size for member in members]  # `read` stops at these, whatever is packed
    if len(sizes) > MOST_FILES or max(sizes, default=0) > 2 * LARGEST_FILE or sum(sizes) > LARGEST_FOLDER:
        raise BaselineError(
            f"{source} holds {len(sizes):,} files with {sum(sizes) / 2**20:,.0f} MiB, expected at most {MOST_FILES:,} "
            f"with {LARGEST_FOLDER / 2**20:,.0f} MiB. Nothing was imported."
        )
