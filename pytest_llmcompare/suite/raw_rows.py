"""Rows of a prompt table before they are checked, each with its place, and the faults of reading them."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from pytest_llmcompare.errors import TableError

MOST_FAULTS = 20
TEXT_COLUMN = "prompt"  # where the texts of a plain list of prompts go
Item = tuple[int, str, Any]
"""A row not yet looked into: its number, its place, its content."""


class MarkerColumns(NamedTuple):
    """The columns that the marker names: `input=` and `target=`."""

    input: str | None = None
    target: str | None = None


@dataclass(frozen=True)
class Record:
    """One row: its number from 1, its place in words (`row 17, line 18`), and its cells."""

    number: int
    place: str
    cells: Mapping[str, Any]


@dataclass(frozen=True)
class Fault:
    """What is wrong with a row, and what to do about it."""

    number: int
    place: str
    what: str
    advice: str = ""


@dataclass
class RawTable:
    """A table as read.

    Attributes:
        name: What messages call it: the file, `list of prompts` or `DataFrame`.
        records: The rows that could be read.
        faults: The rows that could not.
        columns: All columns, in order of appearance.
        text_cells: Whether every cell is text, so that an empty cell is the only way to leave one out.
        header: Place that names all columns (`line 1`); empty if it has no number, None if each row names its own.
        separator: What separates the cells of text.
    """

    name: str
    records: list[Record] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    text_cells: bool = False
    header: str | None = None
    separator: str = ""

    def place_of(self, column: str) -> str:
        """Where a column is named: in the header, or in the first row that has it."""
        if self.header is not None:
            return self.header
        return next((record.place for record in self.records if column in record.cells), "")


def from_items(name: str, items: Sequence[Item], input_column: str | None) -> RawTable:
    """A table of dicts, or of texts that become `input_column`; the kind of the first item decides."""
    table = RawTable(name)
    texts = bool(items) and isinstance(items[0][2], str)
    for number, place, item in items:
        if texts and isinstance(item, str):
            table.records.append(Record(number, place, {input_column or TEXT_COLUMN: item}))
        elif not texts and isinstance(item, Mapping):
            try:
                table.records.append(
                    Record(number, place, {str(key): plain_value(value) for key, value in item.items()})
                )
            except RecursionError:
                table.faults.append(Fault(number, place, "a value contains itself, or is nested too deeply."))
        else:
            expected = "a text, as in the first row" if texts else 'an object such as {"prompt": "..."}'
            table.faults.append(Fault(number, place, f"{shown_value(item)}, expected {expected}.", as_dict(item)))
    table.columns = list(dict.fromkeys(column for record in table.records for column in record.cells))
    return table


def as_dict(item: object) -> str:
    """How to make a dict of another kind of row, as a sentence."""
    if hasattr(item, "model_dump"):
        return "Give each row as a dict: row.model_dump()."
    if hasattr(item, "__dataclass_fields__"):
        return "Give each row as a dict: dataclasses.asdict(row)."
    return "Give each row as a dict: row._asdict()." if hasattr(item, "_asdict") else ""


def from_list(items: Sequence[Any], input_column: str | None) -> RawTable:
    """A table from a list in the marker."""
    return from_items("list of prompts", located(items, "item"), input_column)


def located(items: Sequence[Any], word: str) -> list[Item]:
    """Items with their places, counted from 1: `item 3`."""
    return [(number, f"{word} {number}", item) for number, item in enumerate(items, 1)]


def from_frame(name: str, frame: Any, place: Callable[[int, Any], str]) -> RawTable:
    """A table from a pandas DataFrame; named indexes count as columns.

    Args:
        name: What messages call the table.
        frame: The DataFrame.
        place: Where the user finds a row, from its number and its index.

    Raises:
        TableError: Two columns of one name.
    """
    indexes = list(frame.index)
    names = list(frame.index.names)
    if None not in names and not set(names) & set(frame.columns):
        frame = frame.reset_index()
    columns = [str(column) for column in frame.columns]
    check_unique_columns(name, columns)
    cells = frame.astype(object).where(frame.notna(), None).to_numpy().tolist()
    records = [
        Record(number, place(number, index), dict(zip(columns, map(plain_value, row), strict=True)))
        for number, (index, row) in enumerate(zip(indexes, cells, strict=True), 1)
    ]
    return RawTable(name, records, columns=columns, header="")


def is_frame(source: object) -> bool:
    """True if a value is a pandas DataFrame; does not import pandas."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(source, pandas.DataFrame)


def check_unique_columns(name: str, columns: Sequence[str]) -> None:
    """Refuse columns of the same name.

    Raises:
        TableError: Two columns of one name.
    """
    twice = next((column for at, column in enumerate(columns) if column in columns[:at]), None)
    if twice is not None:
        raise TableError(f"{name}: two columns are called {twice!r}. Rename one of them.")


def plain_value(value: Any) -> Any:
    """A value as a plain Python object: numpy scalars and arrays unpacked, NaN as None."""
    result: Any
    if isinstance(value, bool):
        result = value
    elif value is None or is_nothing(value):
        result = None
    elif simple := next((kind for kind in SIMPLE if isinstance(value, kind)), None):
        result = value if type(value) is simple else SIMPLE[simple](value)
    elif isinstance(value, Mapping):
        result = {key: plain_value(part) for key, part in value.items()}
    elif isinstance(value, (list, tuple)):
        result = [plain_value(part) for part in value]
    else:
        result = unpacked(value)
    return result


SIMPLE: Mapping[type, Callable[[Any], Any]] = {str: str.__str__, int: int, float: float}
"""Plain kinds, each with what makes one of a subclass, such as a member of an Enum."""


def is_nothing(value: object) -> bool:
    """True if a value is missing: NaN, or pandas' NA or NaT."""
    if isinstance(value, float):
        return math.isnan(value)
    kind = type(value).__name__
    return kind in {"NAType", "NaTType"} or (kind == "Decimal" and cast("Any", value).is_nan())


def unpacked(value: Any) -> Any:
    """The content of a numpy array or scalar; any other value as it is."""
    if not hasattr(value, "tolist") or type(value).__name__ == "datetime64":  # which would become a bare number
        return value
    inner = value.tolist()
    return inner if type(inner) is type(value) else plain_value(inner)


def shown_value(value: object, longest: int = 60) -> str:
    """A value as messages show it, shortened."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # a table may hold any object, and a number may be too long to print
        text = f"<{type(value).__name__}>"
    return text if len(text) <= longest else f"{text[: longest - 4]} ..."


def faulty(name: str, faults: Iterable[Fault]) -> TableError:
    """An error with all faults in the order of the rows, then what to do about them."""
    ordered = sorted(faults, key=lambda fault: fault.number)
    lines = [f"{name}{fault.place and f', {fault.place}'}: {fault.what}" for fault in ordered[:MOST_FAULTS]]
    if len(ordered) > MOST_FAULTS:
        lines.append(f"and {len(ordered) - MOST_FAULTS} more")
    return TableError("\n".join([*lines, *dict.fromkeys(fault.advice for fault in ordered if fault.advice)]))
