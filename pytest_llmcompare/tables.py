"""Prompt tables: where the rows of a test come from, checked. Every faulty row is named at once."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .cells import GIVE_IDS, WRITE_PROMPT, CellError, answer, examples, prompt, prompt_id, settings
from .errors import TableError, did_you_mean
from .raw_tables import (
    Fault,
    RawTable,
    Record,
    faulty,
    from_frame,
    from_items,
    from_list,
    is_frame,
    located,
    shown,
)
from .records import Row
from .slugs import made_ids
from .table_files import READERS, read_file

if TYPE_CHECKING:
    from .extensions import Given

INPUT_COLUMNS = ("input_text", "prompt", "question", "text", "inputs")
"""Where the prompts are looked for, in this order, unless `input=` says."""

ID, TARGET, EXAMPLES, CONFIG = "id", "target", "few_shot_examples", "config_dict"

RESERVED_COLUMNS = frozenset(
    {
        *("prompt_id", "variant", "seed", "baseline", "outputs", "verdict"),
        *("margin", "likelihood_drift", "token_count"),
    }
)
"""Columns of the results table that no column of the user's may hide."""

Loader = Callable[[Any, Path], "Given | None"]
"""Gives the rows of a source that it knows, from the source and the folder of the test file."""

ONE_EACH = "Remove the repeated rows, or add a column id with an id of its own for each."


NEEDED = {"input": WRITE_PROMPT, "id": GIVE_IDS}
"""What no row may lack, with what to do."""


@dataclass(frozen=True)
class Roles:
    """Which column holds what; None where the table has no such column."""

    input: str
    id: str | None
    target: str | None
    examples: str | None
    config: str | None

    def others(self, cells: Mapping[str, Any]) -> dict[str, Any]:
        """The cells without a role."""
        taken = {self.input, self.id, self.target, self.examples, self.config}
        return {column: value for column, value in cells.items() if column not in taken}


def read_table(
    source: Any,
    *,
    base: Path,
    input: str | None = None,  # noqa: A002 - the marker's public keyword
    target: str | None = None,
    load: Loader | None = None,
) -> tuple[Row, ...]:
    """Read and check a prompt table.

    Args:
        source: Path of a `.csv`, `.tsv`, `.jsonl`, `.json`, `.parquet` or `.yaml` file (a str is always a path), a list
            of texts, a list of dicts, or a pandas DataFrame.
        base: Folder that the path is relative to.
        input: Column of the prompts; None takes the first found of `INPUT_COLUMNS`.
        target: Column of the expected answers; None takes `target` where there is one.
        load: Asked first for the rows.

    Returns:
        The rows in the order of the table, each with an id of its own.

    Raises:
        TableError: A table that cannot be read, or faulty rows, all of them in one message.
    """
    given = load(source, base) if load else None
    table = open_table(source, base, input) if given is None else given_table(source, given, input)
    if not table.records:
        if table.faults:
            raise faulty(table.name, table.faults)
        raise TableError(f"{table.name}: the table has no rows. Write one row per prompt.")
    roles = find_roles(table, input, target)
    rows = [check_row(record, roles, table.text_cells) for record in table.records]
    if roles.id is None:
        name_rows(rows)
    faults = [*table.faults, *(fault for row in rows for fault in row.faults), *repeated(rows, made=roles.id is None)]
    if faults:
        raise faulty(table.name, faults)
    return tuple(Row(**row.values, columns=roles.others(row.record.cells)) for row in rows)


def open_table(source: Any, base: Path, input_column: str | None) -> RawTable:
    """The raw rows of whatever the user calls a table.

    Raises:
        TableError: It is none, or cannot be read.
    """
    if isinstance(source, (str, os.PathLike)):
        return read_file(source, base, input_column)
    if isinstance(source, (list, tuple)):
        return from_list(source, input_column)
    if is_frame(source):
        return from_frame("DataFrame", source, lambda number, index: f"row {number}, index {index!r}")
    raise TableError(
        f"{shown(source)} is no prompt table. Expected the path of a {', '.join(READERS)} file, "
        "a list of texts, a list of dicts, or a pandas DataFrame."
    )


def given_table(source: Any, given: Given, input_column: str | None) -> RawTable:
    """The raw rows that a plugin has read.

    Raises:
        TableError: Two columns of one name.
    """
    shown_source = os.fspath(source) if isinstance(source, (str, os.PathLike)) else shown(source)
    name = f"{shown_source} ({given.source})"
    if is_frame(given.value):
        return from_frame(name, given.value, lambda number, _: f"row {number}")
    return from_items(name, located(given.value, "row"), input_column)


def find_roles(table: RawTable, given_input: str | None, given_target: str | None) -> Roles:
    """Settle which column holds what.

    Raises:
        TableError: A column that is not there, or one that hides a column of the results.
    """
    for keyword, column in (("input", given_input), ("target", given_target)):
        if column is not None and column not in table.columns:
            near = did_you_mean(column, table.columns)
            raise TableError(f"{table.name}: no column {column!r}, which {keyword}= names.{near}")
    prompts = given_input or next((column for column in INPUT_COLUMNS if column in table.columns), None)
    if prompts is None:
        raise TableError(f"{table.name}: no column of prompts. {input_hint(table)}")
    found = [
        column if column in table.columns and column != prompts else None for column in (ID, TARGET, EXAMPLES, CONFIG)
    ]
    roles = Roles(prompts, found[0], given_target or found[1], found[2], found[3])
    own = roles.others(dict.fromkeys(table.columns))
    hidden = sorted({*RESERVED_COLUMNS, INPUT_COLUMNS[0], TARGET}.intersection(own))
    if hidden:
        raise TableError(f"{table.name}: column {hidden[0]!r} would hide one of the results table. Rename it.")
    return roles


def input_hint(table: RawTable) -> str:
    """What to do about a table in which no column is known to hold the prompts."""
    looked = f"Looked for {', '.join(INPUT_COLUMNS)}; found {', '.join(map(repr, table.columns))}."
    separators = [mark for mark in (";", "\t", "|") if table.text_cells and mark in table.columns[0]]
    if len(table.columns) == 1 and separators:
        return f"{looked} The header is separated by {separators[0]!r}: .csv wants commas, .tsv tabs."
    close = (column for column in table.columns if difflib.get_close_matches(column.casefold(), INPUT_COLUMNS, n=1))
    return f'{looked} Name the column: input="{next(close, "...")}".'


@dataclass(frozen=True)
class CheckedRow:
    """A row with the values of its cells that are good, and the faults of the others."""

    record: Record
    values: dict[str, Any]
    faults: list[Fault]


def check_row(record: Record, roles: Roles, text_cells: bool) -> CheckedRow:
    """Check every cell that has a role."""
    row = CheckedRow(record, {}, [])
    checks: dict[str, tuple[str | None, Callable[[str, object], Any]]] = {
        "input": (roles.input, prompt),
        "id": (roles.id, prompt_id),
        "target": (roles.target, answer),
        "examples": (roles.examples, examples),
        "gen_config": (roles.config, settings),
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
            row.values[role] = check(column, None if text_cells and value == "" else value)
        except CellError as error:
            row.faults.extend(Fault(record.number, record.place, what, error.advice) for what in error.whats)
    return row


def name_rows(rows: list[CheckedRow]) -> None:
    """Give the good rows ids made from their contents."""
    good = [row.values for row in rows if not row.faults]
    contents = [(values["input"], values.get("examples"), values.get("gen_config", {})) for values in good]
    for values, made in zip(good, made_ids(contents), strict=True):
        values["id"] = made


def repeated(rows: list[CheckedRow], *, made: bool) -> list[Fault]:
    """Ids that stand twice; where ids are made from the rows, those are rows that stand twice."""
    first: dict[str, str] = {}
    faults = []
    for row in rows:
        name, (number, place) = row.values.get("id"), (row.record.number, row.record.place)
        if name is None or first.setdefault(name, place) == place:
            continue
        what, advice = f"id {name!r} stands twice (first in {first[name]}).", GIVE_IDS
        if made:
            what, advice = f"the same prompt, examples and settings as in {first[name]}.", ONE_EACH
        faults.append(Fault(number, place, what, advice))
    return faults
