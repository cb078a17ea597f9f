"""Prompt tables in files: CSV, TSV, JSON Lines, JSON, YAML and parquet.

Cells stay as the user wrote them: in CSV and TSV everything is text (`007`, `NA`, `None`), elsewhere values keep their
types. Only parquet needs pyarrow and only YAML needs yaml, and both are imported when such a file is read.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import TableError, did_you_mean
from .raw_tables import Fault, Item, RawTable, Record, check_unique, from_items, located, shown

LONGEST_CELL = 2**31 - 1  # csv stops at 128 KiB by default, which a long-context prompt exceeds
QUOTES = 'Inside a cell in double quotes, write a double quote as "".'
JSON_LINES = "Write one JSON object per line."
PANDAS_INDEX = re.compile(r"__index_level_\d+__")  # where pandas keeps an index without a name
COMMAS = "Put cells that hold the separator in double quotes."


def read_file(source: str | os.PathLike[str], base: Path, input_column: str | None) -> RawTable:
    """Read a table file.

    Args:
        source: Path, relative to `base`.
        base: Folder of the test file.
        input_column: Name for the texts of a file that is a plain list of texts.

    Raises:
        TableError: The file is missing, of an unknown kind, or broken as a whole.
    """
    path = Path(os.path.normpath(base / os.fspath(source)))
    name = path_shown(path)
    read = READERS.get(path.suffix.lower())
    if read is None:
        hint = "" if path.suffix else ' A prompt that is not in a file goes into a list: ["..."].'
        raise TableError(f"{name}: unknown kind of table {path.suffix!r}. Known: {', '.join(READERS)}.{hint}")
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise TableError(f"{name}: no such file.{near(path)}") from None
    except OSError as error:
        raise TableError(f"{name}: cannot be read: {error.strerror or error}.") from None
    if not data.strip():
        raise TableError(f"{name}: the file is empty. Write one row per prompt.")
    return read(name, data, input_column)


def path_shown(path: Path) -> str:
    """A path as the user can open it: relative to the current folder where it lies below."""
    try:
        return path.relative_to(Path.cwd()).as_posix()
    except ValueError:
        return path.as_posix()


def near(path: Path) -> str:
    """What may have been meant by a file that is not there."""
    folder = path.parent
    if not folder.is_dir():
        return f" The folder {path_shown(folder)} does not exist; paths are relative to the test file."
    tables = sorted(file.name for file in folder.iterdir() if file.suffix.lower() in READERS)
    close = difflib.get_close_matches(path.name, tables, n=1)
    return did_you_mean(path.name, close or tables[:10]) or " Paths are relative to the test file."


def decode(name: str, data: bytes, separator: str = "") -> str:
    """UTF-8 text, with or without a byte order mark.

    Raises:
        TableError: Another encoding; names the byte, the line and (where cells have a separator) the row.
    """
    body = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        at, found = error.start, body[error.start]
        before = f"{body[:at].decode()}?"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise TableError(f"{name}: the file is UTF-16, expected UTF-8. Convert: iconv -f UTF-16 -t UTF-8 {name}")
    line = before.count("\n") + 1
    row = (
        sum(1 for cells in csv.reader(io.StringIO(before, newline=""), delimiter=separator) if cells)
        if separator
        else 0
    )
    place = f"row {row - 1}, line {line}" if row > 1 else f"line {line}"
    raise TableError(
        f"{name}, {place}: byte {at + len(data) - len(body)} is 0x{found:02x}, which is not UTF-8. "
        f"Save the file as UTF-8, e.g. from Windows-1252: iconv -f CP1252 -t UTF-8 {name}"
    )


def read_csv(name: str, data: bytes, input_column: str | None) -> RawTable:  # noqa: ARG001 - one shape for all readers
    """Cells separated by commas."""
    return read_cells(name, decode(name, data, ","), ",")


def read_tsv(name: str, data: bytes, input_column: str | None) -> RawTable:  # noqa: ARG001 - one shape for all readers
    """Cells separated by tabs, with the quotes of CSV."""
    return read_cells(name, decode(name, data, "\t"), "\t")


def read_cells(name: str, text: str, separator: str) -> RawTable:
    """A header, then one row per prompt; quoted cells may hold line breaks."""
    table = RawTable(name, text_cells=True)
    with long_cells():
        for number, (line, cells, broken) in enumerate(split_rows(text, separator)):
            place = f"row {number}, line {line}" if number else f"line {line}"
            width = len(table.columns)
            if broken:
                table.faults.append(Fault(number, place, broken, QUOTES))
            elif number == 0:
                table.columns = [cell or f"Unnamed: {at}" for at, cell in enumerate(cells)]  # as pandas names them
                check_unique(name, table.columns)
            elif len(cells) != width:
                what = f"{len(cells)} cells, expected {width} ({', '.join(table.columns)})."
                table.faults.append(Fault(number, place, what, COMMAS if len(cells) > width else ""))
            else:
                table.records.append(Record(number, place, dict(zip(table.columns, cells, strict=True))))
    return table


def split_rows(text: str, separator: str) -> Iterator[tuple[int, list[str], str]]:
    """Each row that is not blank: the line where it starts, its cells, or how it is broken, which ends the table."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield line, [], quoting_fault(str(error), reader.line_num)
            return
        if cells is None:
            return
        if cells:
            yield line, cells, ""


def quoting_fault(message: str, line: int) -> str:
    """What csv could not read, in the user's words."""
    if "end of data" in message:
        return "a double quote is opened and never closed."
    return f"text follows a closing double quote (line {line})." if "expected after" in message else f"{message}."


@contextmanager
def long_cells() -> Iterator[None]:
    """Let csv read cells of any length; its limit is global, so it is put back."""
    limit = csv.field_size_limit(LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def read_jsonl(name: str, data: bytes, input_column: str | None) -> RawTable:
    """One JSON object (or text) per line; blank lines are skipped."""
    items: list[Item] = []
    faults: list[Fault] = []
    for number, line in enumerate(decode(name, data).split("\n"), 1):
        if not line.strip():
            continue
        try:
            items.append((number, f"line {number}", json.loads(line)))
        except (ValueError, RecursionError) as error:
            what = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
            faults.append(Fault(number, f"line {number}", f"broken JSON: {what}.", JSON_LINES))
    table = from_items(name, items, input_column)
    table.faults.extend(faults)
    return table


def read_json(name: str, data: bytes, input_column: str | None) -> RawTable:
    """A list of objects (or texts).

    Raises:
        TableError: Broken JSON, or something else than a list.
    """
    try:
        found = json.loads(decode(name, data))
    except json.JSONDecodeError as error:
        hint = " For one object per line, name the file .jsonl." if error.msg == "Extra data" else ""
        raise TableError(
            f"{name}, line {error.lineno}, column {error.colno}: broken JSON: {error.msg}.{hint}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise TableError(f"{name}: broken JSON: {error}.") from None
    return from_items(name, located(listed(name, found), "row"), input_column)


def read_yaml(name: str, data: bytes, input_column: str | None) -> RawTable:
    """A list of mappings (or texts), read by the safe loader.

    Raises:
        TableError: Broken YAML, or something else than a list.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C is ten times faster, where it was built
    try:
        found = yaml.load(decode(name, data), Loader=loader)  # noqa: S506 - both are safe loaders
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise TableError(
            f"{name}{place}: broken YAML: {getattr(error, 'problem', None) or ' '.join(str(error).split())}."
        ) from None
    return from_items(name, located(listed(name, found), "row"), input_column)


def listed(name: str, found: object) -> list[Any]:
    """The rows of a file that should be a list.

    Raises:
        TableError: It is something else.
    """
    if not isinstance(found, list):
        raise TableError(f'{name}: {shown(found)}, expected a list of objects such as [{{"prompt": "..."}}].')
    return found


def read_parquet(name: str, data: bytes, input_column: str | None) -> RawTable:
    """A parquet file. Not through pandas, which turns a whole number beside a null into a float, in objects too.

    Raises:
        TableError: Broken, or pyarrow is not installed.
    """
    try:
        from pyarrow import parquet
    except ImportError:
        raise TableError(f"{name}: reading parquet needs pyarrow: pip install pyarrow") from None
    try:
        table = parquet.read_table(io.BytesIO(data))
        check_unique(name, table.column_names)
        rows = table.to_pylist()
    except (ValueError, OSError, NotImplementedError, KeyError) as error:
        raise TableError(f"{name}: broken parquet: {str(error).splitlines()[0]}") from None
    items = [
        {column: without_nulls(cell) for column, cell in row.items() if not PANDAS_INDEX.fullmatch(column)}
        for row in rows
    ]
    return from_items(name, located(items, "row"), input_column)


def without_nulls(cell: object) -> object:
    """An object without its nulls: parquet gives every row's object the keys of all the others."""
    return {key: part for key, part in cell.items() if part is not None} if isinstance(cell, dict) else cell


READERS: dict[str, Callable[[str, bytes, str | None], RawTable]] = {
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".jsonl": read_jsonl,
    ".json": read_json,
    ".parquet": read_parquet,
    ".yaml": read_yaml,
    ".yml": read_yaml,
}
"""How each kind of file is read: from its shown name, its bytes and the column for plain texts."""
