"""Paths of the two files of a group, and reading and writing them as a pair.

They are read from a shelf: the disk or a git commit. They are only written to the disk.
"""

from __future__ import annotations

import codecs
import contextlib
import hashlib
import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Protocol

from pytest_llmcompare.errors import BaselineError
from pytest_llmcompare.records import GroupKey

from . import group_file, regular_file
from .atomic_write import replace
from .document import DamagedFileError
from .group_file import Contents
from .regular_file import IrregularFileError

TEXT_SUFFIX = ".baseline"
TOKENS_SUFFIX = ".tokens.jsonl"

_LONGEST = 255 - len(TOKENS_SUFFIX)  # bytes, which are characters here
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|$)", re.IGNORECASE)  # on Windows


def safe_name(true_name: str, taken: Collection[str] = ()) -> str:
    """The name of a file (without suffix) or folder for a table or model; safe on every file system.

    It is the name itself if possible, else a cleaned one with `~` and 6 hex digits of the true name's SHA-256.
    It depends on the name alone, with one exception: of two names that differ only in case (`Qa`, `qa`) the first one
    has the plain file and the other one gets digits. An existing file always keeps its name, so adding or removing
    others never hides it.

    Args:
        true_name: The name.
        taken: Names that already exist in the folder, without suffix.
    """
    plain = _cleaned(true_name)
    digits = hashlib.sha256(true_name.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    marked = f"{plain[: _LONGEST - len(digits) - 1]}~{digits}"
    if plain != true_name or len(plain) > _LONGEST or plain.endswith(".") or marked in taken:
        return marked
    twins = {name for name in taken if name.casefold() == plain.casefold()}
    return marked if twins and plain not in twins else plain


def without_suffix(file_name: str) -> str:
    """The file name without the suffix of a baseline or tokens file."""
    return next((file_name[: -len(end)] for end in (TEXT_SUFFIX, TOKENS_SUFFIX) if file_name.endswith(end)), file_name)


def _cleaned(name: str) -> str:
    name = _UNSAFE.sub("_", name) or "_"
    if name.startswith("."):
        name = "_" + name[1:]
    return "_" + name if _RESERVED.match(name) else name


FOLDER = "__baselines__"

_GIT_ATTRIBUTES = f"*{TEXT_SUFFIX} text eol=lf\n*{TOKENS_SUFFIX} -diff merge=union text eol=lf\n"

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # some editors, and PowerShell, save files so


class Shelf(Protocol):
    """A place to read files from, by the paths they have on the disk."""

    def names(self, folder: Path) -> Sequence[str]:
        """Names in a folder that may not be there."""

    def content(self, path: Path) -> bytes | None:
        """Content of a file; None if there is none."""

    def shown(self, path: Path, root: Path) -> str:
        """Name of a file for messages."""


class Disk:
    """The files on the disk."""

    def names(self, folder: Path) -> list[str]:
        """Names in a folder that may not be there."""
        try:
            return [path.name for path in folder.iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise BaselineError(f"{folder}: cannot be read: {error.strerror}.") from error

    def content(self, path: Path) -> bytes | None:
        """Content of a file; None if there is none."""
        try:
            return regular_file.read(path)
        except FileNotFoundError:
            return None

    def shown(self, path: Path, root: Path) -> str:
        """Name of a file for messages."""
        return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


DISK = Disk()


class OvertakenError(Exception):
    """Another process has changed a file since it was read, although this one holds the lock."""


class Observed(Disk):
    """The files on the disk, remembered as read, so that a change by another process is noticed."""

    def __init__(self) -> None:
        self.read: dict[Path, bytes | None] = {}

    def content(self, path: Path) -> bytes | None:
        """Content of a file; None if there is none."""
        self.read[path] = super().content(path)
        return self.read[path]

    def check(self) -> None:
        """Check that no file has changed since it was read.

        Raises:
            OvertakenError: A file has changed.
            OSError: A file cannot be read.
        """
        if any(DISK.content(path) != data for path, data in self.read.items()):
            raise OvertakenError


class GroupFiles:
    """The two files of a group.

    Attributes:
        path: The baseline file.
        tokens: The tokens file.
        attributes: The `.gitattributes` file for both, in the folder above.
        source: Name of the baseline file for messages.

    Raises:
        BaselineError: A folder cannot be read.
    """

    def __init__(self, root: Path, group: GroupKey, shelf: Shelf = DISK) -> None:
        above = root / group.folder / FOLDER
        folder = above / safe_name(group.table, shelf.names(above))
        name = safe_name(group.model, {without_suffix(name) for name in shelf.names(folder)})
        self.group = group
        self.shelf = shelf
        self.path = folder / f"{name}{TEXT_SUFFIX}"
        self.tokens = folder / f"{name}{TOKENS_SUFFIX}"
        self.attributes = folder.with_name(".gitattributes")
        self.source = shelf.shown(self.path, root)
        self.tokens_source = shelf.shown(self.tokens, root)

    def read(self) -> Contents | None:
        """Read both files; None if there is no baseline file."""
        stored = read_pair(self.path, self.tokens, self.source, self.tokens_source, self.shelf)
        if stored is None:
            return None
        own, wanted = (stored.document.table, stored.document.model), (self.group.table, self.group.model)
        if own != wanted:
            raise DamagedFileError(
                f"{self.source}: these are the baselines of table {own[0]!r} and model {own[1]!r}, "
                f"expected table {wanted[0]!r} and model {wanted[1]!r}.",
                "Move the file to where it belongs, or restore it",
                self.source,
            )
        return stored


class WritableGroupFiles(GroupFiles):
    """The two files of a group on the disk, to be written."""

    def __init__(self, root: Path, group: GroupKey) -> None:
        self.observed = Observed()
        super().__init__(root, group, self.observed)

    def write(self, stored: Contents) -> None:
        """Write both files, the tokens first: after a kill in between, lines that do not fit the texts are ignored.

        Raises:
            OvertakenError: They have changed since they were read.
            OSError: They cannot be written.
        """
        files: dict[Path, bytes] = {}
        if not os.path.lexists(self.attributes):
            files[self.attributes] = _GIT_ATTRIBUTES.encode()
        tokens = stored.tokens_text().encode()
        if tokens != (DISK.content(self.tokens) or b""):
            files[self.tokens] = tokens
        files[self.path] = stored.text().encode()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        replace(files, last_look=self.observed.check)

    def remove(self) -> None:
        """Remove both files, and their folder if it is empty then. Raises as `write` does."""
        self.observed.check()
        for path in (self.path, self.tokens):
            for file in (path.resolve(), path):
                file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # it holds other models' files
            self.path.parent.rmdir()


def read_pair(path: Path, tokens: Path, source: str, tokens_source: str, shelf: Shelf = DISK) -> Contents | None:
    """Read a baseline file and its tokens file; None if there is no baseline file.

    Raises:
        BaselineError: The baseline file cannot be read, or the tokens file is not a regular file.
    """
    try:
        data = shelf.content(path)
    except IrregularFileError as error:
        raise _irregular(source, error) from error
    except OSError as error:
        raise BaselineError(f"{source}: cannot be read: {error.strerror}.") from error
    if data is None:
        return None
    try:
        tokens_data = shelf.content(tokens)
    except IrregularFileError as error:
        raise _irregular(tokens_source, error) from error
    except OSError:  # as where it is not there, only an aid is lacking
        tokens_data = None
    encoding = "utf-16" if (tokens_data or b"").startswith(_UTF_16) else "utf-8"
    tokens_text = None if tokens_data is None else tokens_data.decode(encoding, "replace")
    return group_file.read(_decoded(data, source), tokens_text, source, tokens_source)


def _irregular(source: str, error: IrregularFileError) -> BaselineError:
    return DamagedFileError(f"{source}: cannot be read: {error.strerror}.", "Restore the file", source)


def _decoded(data: bytes, source: str) -> str:
    try:
        return data.decode("utf-16" if data.startswith(_UTF_16) else "utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DamagedFileError(
            f"{source}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8. An editor may have saved the file "
            "in another encoding.",
            "Save it as UTF-8, or restore it",
            source,
        ) from error
