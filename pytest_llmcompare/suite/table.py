"""Read and check a prompt table; one error names every faulty row."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_llmcompare.errors import TableError, did_you_mean
from pytest_llmcompare.models.conversation import Conversation
from pytest_llmcompare.records import Row

from .assertion_kinds import Place
from .cells import GIVE_IDS, WRITE_PROMPT, CellError, examples, prompt_id, settings, target
from .column_names import column_label
from .column_roles import Roles, find_roles
from .conversation import NO_EXAMPLES, question, tools
from .other_objects import FOUR_KINDS, object_advice
from .prompt_ids import made_ids
from .raw_rows import (
    Fault,
    MarkerColumns,
    RawTable,
    Record,
    faulty,
    from_frame,
    from_items,
    from_list,
    is_frame,
    located,
    shown_value,
)
from .readers import READERS, read_file
from .row_assertions import AssertionReader

if TYPE_CHECKING:
    from .extensions import Given

Loader = Callable[[Any, Path], "Given | None"]
"""Returns the rows of a source, given the source and the folder of the test file; None if it is unknown."""

ONE_EACH = "Remove the repeated rows, or add a column id with a different id for each."


NEEDED = {"input": WRITE_PROMPT, "id": GIVE_IDS}
"""Roles that every row must have, with what to do if one is missing."""


def read_table(
    source: Any,
    *,
    base: Path,
    input: str | None = None,  # noqa: A002 - the marker's public keyword
    target: str | None = None,
    load: Loader | None = None,
    assertions: AssertionReader | None = None,
) -> tuple[Row, ...]:
    """Read and check a prompt table.

    Args:
        source: Path of a `.csv`, `.tsv`, `.jsonl`, `.json`, `.parquet` or `.yaml` file (a str is always a path), a list
            of texts, a list of dicts, or a pandas DataFrame.
        base: Folder that the path is relative to.
        input: Column of the prompts; None takes the first found of `INPUT_COLUMNS`.
        target: Column of the expected answers; None takes `target` where there is one.
        load: The plugins' hook, asked for the rows first; None without plugins.
        assertions: Reads the assertions of the rows; None reads only those that need nothing but `base`.

    Returns:
        The rows in the order of the table, each with a unique id.

    Raises:
        TableError: A table that cannot be read, or faulty rows, all of them in one message.
    """
    wanted = MarkerColumns(input, target)
    given = load(source, base) if load else None
    table = open_table(source, base, wanted) if given is None else given_table(source, given, wanted)
    if not table.records and not table.faults:
        raise TableError(no_rows(table))
    if not table.columns:
        raise faulty(table.name, table.faults)
    roles, name_faults = find_roles(table, wanted)
    table.faults.extend(name_faults)
    if roles is None:
        raise faulty(table.name, table.faults)
    reader = assertions or AssertionReader(Place(base, base))
    rows = [check_row(record, roles, table.text_cells, reader, named=input is not None) for record in table.records]
    if roles.id is None:
        name_rows(rows)
    faults = [*table.faults, *(fault for row in rows for fault in row.faults), *repeated(rows, made=roles.id is None)]
    if faults:
        raise faulty(table.name, faults)
    return tuple(Row(**row.values, columns=roles.others(row.record.cells)) for row in rows)


def no_rows(table: RawTable) -> str:
    """The fault of a table without rows."""
    if not table.columns or not table.text_cells:
        return f"{table.name}: the table has no rows. Write one row per prompt."
    header = ", ".join(map(shown_value, table.columns[:10]))
    return (
        f"{table.name}, {table.header}: the table has no rows, only the names of its columns ({header}). "
        "Write one row per prompt below them."
    )


def open_table(source: Any, base: Path, columns: MarkerColumns) -> RawTable:
    """The raw rows of a file, a list or a DataFrame.

    Raises:
        TableError: Any other object, or a file that cannot be read.
    """
    if isinstance(source, (str, os.PathLike)):
        return read_file(source, base, columns)
    if isinstance(source, (list, tuple)):
        return from_list(source, columns.input)
    if is_frame(source):
        return from_frame("DataFrame", source, lambda number, index: f"row {number}, index {index!r}")
    hint = object_advice(source)
    raise TableError(
        f"{shown_value(source)} is not a prompt table. Expected the path of a {', '.join(READERS)} file, "
        f"{FOUR_KINDS}.{hint and f' {hint}'}"
    )


def given_table(source: Any, given: Given, columns: MarkerColumns) -> RawTable:
    """The raw rows from a plugin.

    Raises:
        TableError: Two columns of one name.
    """
    shown_source = os.fspath(source) if isinstance(source, (str, os.PathLike)) else shown_value(source)
    name = f"{shown_source} ({given.source})"
    if is_frame(given.value):
        return from_frame(name, given.value, lambda number, _: f"row {number}")
    return from_items(name, located(given.value, "row"), columns.input)


@dataclass(frozen=True)
class CheckedRow:
    """A row with the values of its correct cells and the faults of the others."""

    record: Record
    values: dict[str, Any]
    faults: list[Fault]


def check_row(record: Record, roles: Roles, text_cells: bool, reader: AssertionReader, *, named: bool) -> CheckedRow:
    """Check every cell of a row that has a role."""
    row = CheckedRow(record, {}, [])
    checks: dict[str, tuple[str | None, Callable[[str, object], Any]]] = {
        "input": (roles.input, partial(question, named=named)),
        "id": (roles.id, prompt_id),
        "target": (roles.target, target),
        "examples": (roles.examples, examples),
        "gen_config": (roles.config, settings),
        "tools": (roles.tools, tools),
        "expect": (roles.expect, reader.cell),
    }
    for role, (column, check) in checks.items():
        if column is None:
            continue
        if column not in record.cells and role in NEEDED:
            what = f"no {column!r}.{did_you_mean(column, record.cells)}"
            row.faults.append(Fault(record.number, record.place, what, NEEDED[role]))
            continue
        value = record.cells.get(column)
        try:
            row.values[role] = check(column_label(column), None if text_cells and value == "" else value)
        except CellError as error:
            row.faults.extend(Fault(record.number, record.place, what, error.advice) for what in error.whats)
    return with_conversation(row)


def with_conversation(row: CheckedRow) -> CheckedRow:
    """The row with its messages and tools as one conversation, and its last user message as the prompt to show."""
    given, offered = row.values.get("input"), row.values.pop("tools", ())
    if isinstance(given, str) and offered:
        given = Conversation.of_text(given)
    if isinstance(given, Conversation):
        asked = Conversation(given.messages, offered)
        row.values.update(input=asked.last_user_text, conversation=asked.as_json())
        if row.values.get("examples"):
            row.faults.append(Fault(row.record.number, row.record.place, NO_EXAMPLES))
    return row


def name_rows(rows: list[CheckedRow]) -> None:
    """Make ids for the rows without faults, from their contents."""
    good = [row.values for row in rows if not row.faults]
    contents = [
        (values["input"], values.get("conversation") or values.get("examples"), values.get("gen_config", {}))
        for values in good
    ]
    for values, made in zip(good, made_ids(contents), strict=True):
        values["id"] = made


def repeated(rows: list[CheckedRow], *, made: bool) -> list[Fault]:
    """The faults of repeated ids; if ids are made from the rows, of repeated rows."""
    first: dict[str, str] = {}
    faults = []
    for row in rows:
        name, (number, place) = row.values.get("id"), (row.record.number, row.record.place)
        if name is None or first.setdefault(name, place) == place:
            continue
        what, advice = f"id {name!r} occurs twice (first in {first[name]}).", GIVE_IDS
        if made:
            what, advice = f"the same prompt, examples and settings as in {first[name]}.", ONE_EACH
        faults.append(Fault(number, place, what, advice))
    return faults
