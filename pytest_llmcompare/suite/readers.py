"""Prompt tables in files: CSV, TSV, JSON Lines, JSON, YAML and parquet, also compressed by gzip.

Cells stay as the user wrote them: in CSV and TSV everything is text (`007`, `NA`, `None`), elsewhere values keep their
types. Only parquet needs pyarrow and only YAML needs yaml, and both are imported when such a file is read.
"""

from __future__ import annotations

import difflib
import io
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

from pytest_llmcompare.errors import TableError, did_you_mean

from .csv_text import read_csv, read_tsv
from .json_text import read_json, read_jsonl
from .other_objects import address_shown, is_address
from .raw_rows import MarkerColumns, RawTable, check_unique_columns, from_items, located, shown_value
from .yaml_text import read_yaml

MOST_BYTES = 2**30  # of a file, unpacked: a table is read whenever tests are collected
PANDAS_INDEX = re.compile(r"__index_level_\d+__")  # where pandas keeps an index without a name
KIND = re.compile(r"\.\w{1,12}")  # what can be the kind of a file, and not the end of a prompt
GZIP = ".gz"
GIT_LFS = b"version https://git-lfs.github.com/spec/"
WITH_PANDAS = "read it with pandas in the test file and give the DataFrame"


def read_file(source: str | os.PathLike[str], base: Path, columns: MarkerColumns) -> RawTable:
    """Read a table file.

    Args:
        source: Path, relative to `base`.
        base: Folder of the test file.
        columns: What the marker calls columns.

    Raises:
        TableError: The file is missing, of an unknown kind, or broken as a whole.
    """
    given = os.fspath(source)
    if is_address(given):
        raise TableError(
            f"{address_shown(given)} is an address, and tables are files here: they are read whenever tests are "
            "collected, without a network. Download it beside the test file and give its path."
        )
    path = Path(os.path.normpath(base / given))
    name = path_shown(path)
    suffix = suffix_of(path)
    if suffix not in READERS:
        raise TableError(
            f"{name}: a folder, expected a file. {below(path)}" if path.is_dir() else unknown_kind(name, path)
        )
    data = read_bytes(path, name)
    if path.suffix.lower() == GZIP:
        data = unzipped(name, data)
    if data.startswith(GIT_LFS):
        raise TableError(f"{name}: this is a git-lfs pointer, not the file itself. Fetch it: git lfs pull")
    if not data.removeprefix(b"\xef\xbb\xbf").strip():
        raise TableError(f"{name}: the file is empty. Write one row per prompt.")
    return READERS[suffix](name, data, columns)


def suffix_of(path: Path) -> str:
    """The suffix that decides the kind of a file; without `.gz` if it is compressed."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [GZIP]:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def table_name(source: str | os.PathLike[str]) -> str:
    """The name of a table in a file: the file's name without its suffixes."""
    path = Path(source)
    return Path(path.stem).stem if path.suffix.lower() == GZIP else path.stem


def relative_file(path: Path, root: Path) -> str:
    """A table's file relative to a folder, or as it is if it lies elsewhere; empty if there is no such file."""
    if not os.path.isfile(path):  # noqa: PTH113 - `Path.is_file` raises for names that are too long
        return ""  # a plugin reads the table from elsewhere
    within = Path(os.path.normpath(path))  # `resolve` would follow links, so that names differ between machines
    return (within.relative_to(root) if within.is_relative_to(root) else within).as_posix()


def read_bytes(path: Path, name: str) -> bytes:
    """The bytes of a regular file: a pipe might never end.

    Raises:
        TableError: The file is missing, not a regular file, too large, or cannot be read.
    """
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise TableError(f"{name}: {irregular(facts.st_mode)}, expected a file. {below(path)}")
        if facts.st_size > MOST_BYTES:
            raise too_large(name)
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise TableError(f"{name}: no such file.{near(path)}") from None
    except OSError as error:
        raise TableError(
            f"{name}: cannot be read: {error.strerror or error}. Check the permissions of the file and its folders."
        ) from None
    except ValueError as error:  # a NUL or half a character in the path
        raise TableError(f'{name}: not the path of a file: {error}. A prompt goes into a list: ["..."].') from None


def irregular(mode: int) -> str:
    """What a path is, if it is not a regular file."""
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a named pipe (FIFO)" if stat.S_ISFIFO(mode) else "a device or a socket"


def below(path: Path) -> str:
    """What to do about a path that is not a file."""
    tables = tables_in(path)
    return f"Give one of its files: {', '.join(tables[:10])}." if tables else "Give the path of a table file."


def tables_in(folder: Path) -> list[str]:
    """Names of the table files in a folder; none if it is not a folder or cannot be read."""
    try:
        return sorted(file.name for file in folder.iterdir() if suffix_of(file) in READERS)
    except OSError:
        return []


def too_large(name: str) -> TableError:
    """The error for a file that is too large for a prompt table."""
    return TableError(
        f"{name}: the file has more than {MOST_BYTES // 2**20} MiB. A table is read whenever tests are collected: "
        "keep the prompts that you compare in a separate file."
    )


def unzipped(name: str, data: bytes) -> bytes:
    """Unpack a gzip file.

    Raises:
        TableError: It is not a gzip file, or a broken one.
    """
    import gzip
    import zlib

    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            content = stream.read(MOST_BYTES + 1)
    except gzip.BadGzipFile as error:
        hint = "Take .gz off its name if it is not compressed."
        raise TableError(f"{name}: gzip cannot read the file: {error}. {hint}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise TableError(f"{name}: the gzip file is broken: {error}. Write it again.") from None
    if len(content) > MOST_BYTES:
        raise too_large(name)
    return content


def unknown_kind(name: str, path: Path) -> str:
    """The fault of a file with an unknown suffix, and what to do."""
    suffix = path.suffix.lower()
    known = ", ".join(READERS)
    nearest = difflib.get_close_matches(suffix, READERS, n=1, cutoff=0.7)
    packed = f"{suffix_of(path)}{GZIP}" if suffix == GZIP else suffix
    if hint := WAYS_ON.get(packed) or WAYS_ON.get(suffix_of(path)):
        hint = f" {hint[0].upper()}{hint[1:]}."
    elif not suffix and path.exists():
        hint = " Give the file the suffix of its format."
    elif not KIND.fullmatch(suffix):
        hint = ' A prompt that is not in a file goes into a list: ["..."].'
    elif nearest:
        hint = f" Did you mean {nearest[0]!r}?"
    else:
        hint = f" {WITH_PANDAS[0].upper()}{WITH_PANDAS[1:]}, or write a hook (docs/hooks.md)."
    return f"{name}: unknown kind of table {path.suffix!r}. Known: {known}.{hint}"


WAYS_ON = {
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".ods"), f"save the sheet as CSV UTF-8, or {WITH_PANDAS}"),
    **dict.fromkeys(
        (".txt", ".text", ".md"),
        "write prompts as a column: .csv with a first line `prompt`; or give them as a list: "
        'pathlib.Path("...").read_text(encoding="utf-8").splitlines()',
    ),
    **dict.fromkeys((".bz2", ".xz", ".zst", ".zip", ".tar", ".7z", ".tgz"), "unpack it, or compress it with gzip"),
    **dict.fromkeys((".jl", ".jsonlines", ".ldjson"), "name it .jsonl"),
    **dict.fromkeys((".pq", ".parq"), "name it .parquet"),
    **dict.fromkeys((".tab", ".psv", ".dat"), "name it .csv: tabs, semicolons and pipes are recognised"),
}
"""What to do with files of other kinds."""


def path_shown(path: Path) -> str:
    """A path as the user can open it: relative to the current folder if it lies below."""
    try:
        text = path.relative_to(Path.cwd()).as_posix()
    except ValueError:
        text = path.as_posix()
    return text if text.isprintable() else repr(text)


def near(path: Path) -> str:
    """Files that may be meant by a path that does not exist, as a sentence."""
    folder = path.parent
    if not folder.is_dir():
        return f" The folder {path_shown(folder)} does not exist; paths are relative to the test file."
    tables = tables_in(folder)
    close = difflib.get_close_matches(path.name, tables, n=1)
    return did_you_mean(path.name, close or tables[:10]) or " Paths are relative to the test file."


def read_parquet(name: str, data: bytes, columns: MarkerColumns) -> RawTable:
    """Read a parquet file, not through pandas, which turns whole numbers beside a null into floats.

    Raises:
        TableError: Broken, or pyarrow is not installed.
    """
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise TableError(f"{name}: reading parquet needs pyarrow: pip install pyarrow") from None
    try:
        table = parquet.read_table(io.BytesIO(data))
        check_unique_columns(name, table.column_names)
        rows = table.to_pylist()
    except (ArrowException, ValueError, OSError, NotImplementedError, KeyError) as error:
        what = shown_value((str(error).splitlines() or [type(error).__name__])[0].rstrip("."), 200).strip("'\"")
        raise TableError(f"{name}: broken parquet: {what}. Write it again, e.g. by DataFrame.to_parquet.") from None
    items = [
        {column: without_nulls(cell) for column, cell in row.items() if not PANDAS_INDEX.fullmatch(column)}
        for row in rows
    ]
    raw = from_items(name, located(items, "row"), columns.input)
    raw.header = ""
    return raw


def without_nulls(cell: object) -> object:
    """An object without its nulls: in parquet each row's object has the keys of all others."""
    return {key: part for key, part in cell.items() if part is not None} if isinstance(cell, dict) else cell


READERS: dict[str, Callable[[str, bytes, MarkerColumns], RawTable]] = {
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".json": read_json,
    ".parquet": read_parquet,
    ".yaml": read_yaml,
    ".yml": read_yaml,
}
"""How each kind of file is read: from its shown name, its bytes and the columns that the marker names."""
