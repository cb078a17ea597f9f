"""Where the two files of a group are, and how they are read and written as a pair."""

from __future__ import annotations

import contextlib
from pathlib import Path

from pytest_llmcompare.errors import BaselineError
from pytest_llmcompare.records import GroupKey

from . import contents
from .contents import Contents
from .document import restore
from .filenames import TEXT_SUFFIX, TOKENS_SUFFIX, safe_name, without_suffix
from .replacement import replace

FOLDER = "__baselines__"

_GIT_ATTRIBUTES = f"*{TEXT_SUFFIX} text eol=lf\n*{TOKENS_SUFFIX} -diff merge=union text eol=lf\n"


def folder_of(root: Path, group: GroupKey) -> Path:
    """The folder with the baseline files of a group's table, there or not.

    Raises:
        BaselineError: The folder above it cannot be read.
    """
    above = root / group.folder / FOLDER
    return above / safe_name(group.table, _names(above))


class Place:
    """Where the two files of a group are.

    Attributes:
        path: The baseline file.
        tokens: The tokens file.
        attributes: What git is told about both, in the folder above.
        source: What to call the baseline file in messages.
    """

    def __init__(self, root: Path, group: GroupKey) -> None:
        folder = folder_of(root, group)
        name = safe_name(group.model, {without_suffix(name) for name in _names(folder)})
        self.group = group
        self.path = folder / f"{name}{TEXT_SUFFIX}"
        self.tokens = folder / f"{name}{TOKENS_SUFFIX}"
        self.attributes = folder.with_name(".gitattributes")
        self.source = shown_in(self.path, root)
        self.tokens_source = shown_in(self.tokens, root)

    def read(self) -> Contents | None:
        """Both files, or None where there is no baseline file."""
        stored = read_pair(self.path, self.tokens, self.source, self.tokens_source)
        if stored is None:
            return None
        found, wanted = (stored.document.table, stored.document.model), (self.group.table, self.group.model)
        if found != wanted:
            raise BaselineError(
                f"{self.source}: these are the baselines of table {found[0]!r} and model {found[1]!r}, "
                f"expected table {wanted[0]!r} and model {wanted[1]!r}.\n"
                f"Move the file to where it belongs, or restore it: {restore(self.source)}"
            )
        return stored

    def write(self, stored: Contents) -> None:
        """Write both files, the tokens first: where a kill comes between, the text decides which of them count."""
        files: dict[Path, bytes] = {}
        if not self.attributes.exists():
            files[self.attributes] = _GIT_ATTRIBUTES.encode()
        tokens = stored.tokens_text().encode()
        if tokens != (self.tokens.read_bytes() if self.tokens.exists() else b""):
            files[self.tokens] = tokens
        files[self.path] = stored.text().encode()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        replace(files)

    def remove(self) -> None:
        """Remove both files, and their folder where nothing else is in it."""
        for path in (self.path, self.tokens):
            for file in (path.resolve(), path):
                file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # it holds other models' files
            self.path.parent.rmdir()


def read_pair(path: Path, tokens: Path, source: str, tokens_source: str) -> Contents | None:
    """A baseline file and the tokens file beside it, or None where there is no baseline file.

    Raises:
        BaselineError: The baseline file cannot be read.
    """
    data = _read(path, source)
    if data is None:
        return None
    try:
        tokens_text = tokens.read_bytes().decode("utf-8", "replace")
    except OSError:  # not there, or not readable: either way only an aid is lacking
        tokens_text = None
    return contents.read(_decoded(data, source), tokens_text, source, tokens_source)


def _names(folder: Path) -> list[str]:
    """Names in a folder that may not be there."""
    try:
        return [path.name for path in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise BaselineError(f"{folder}: cannot be read: {error.strerror}.") from error


def shown_in(path: Path, root: Path) -> str:
    """What a file is called in messages."""
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def _read(path: Path, source: str) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BaselineError(f"{source}: cannot be read: {error.strerror}.") from error


def _decoded(data: bytes, source: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BaselineError(
            f"{source}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8.\nRestore the file: {restore(source)}"
        ) from error
