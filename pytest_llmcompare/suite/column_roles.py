"""Which column of a table holds what, and every fault in the names of its columns."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_llmcompare.cells import CHAT, is_chat
from pytest_llmcompare.errors import did_you_mean
from pytest_llmcompare.raw_tables import Fault, MarkerColumns, RawTable, Record, shown

from .column_names import (
    CONFIG,
    EXAMPLES,
    ID,
    INPUT_COLUMNS,
    TARGET,
    compact,
    folded,
    near_miss,
    nearest,
    refusal,
    spellings,
)

PROMPT_NAMES = (
    *("instruction", "query", "user", "problem", "sentence", "content", "message", "request", "utterance", "frage"),
    *("user_input", "user_prompt", "context", "article", "document", "goal", "task", "input"),
)
"""What prompts are called elsewhere; proposed, never taken."""

NUMBER = re.compile(r"\s*[-+]?[\d.,]+\s*%?\s*")
LOOKED = f"Looked for {', '.join(INPUT_COLUMNS)}"


@dataclass(frozen=True)
class Roles:
    """Which column holds what; None where the table has no such column."""

    input: str
    id: str | None
    target: str | None
    examples: str | None
    config: str | None

    @property
    def taken(self) -> set[str | None]:
        """The columns that have a role."""
        return {self.input, self.id, self.target, self.examples, self.config}

    def others(self, cells: Mapping[str, Any]) -> dict[str, Any]:
        """The cells without a role."""
        return {column: value for column, value in cells.items() if column not in self.taken}


def find_roles(table: RawTable, given: MarkerColumns) -> tuple[Roles | None, list[Fault]]:
    """Settle which column holds what. Rows that spell a role another way than the first row are rewritten.

    Returns:
        The roles, None where no column holds the prompts; and the faults in the names of columns.
    """
    faults: list[Fault] = []
    named = {keyword: named_column(table, keyword, name, faults) for keyword, name in given._asdict().items()}
    prompts = named["input"]
    if prompts is None and given.input is None:
        prompts = next((one for name in INPUT_COLUMNS if (one := role_column(table, name, faults))), None)
    free = [name for name in (ID, TARGET, EXAMPLES, CONFIG) if not (name == TARGET and given.target is not None)]
    found = {name: role_column(table, name, faults) for name in free if not prompts or folded(prompts) != name}
    target = named["target"] or found.get(TARGET)
    roles = Roles(prompts or "", found.get(ID), target, found.get(EXAMPLES), found.get(CONFIG))
    missing = [name for name in free if found.get(name) is None]
    if given.input is None:
        missing += earlier(prompts)
    explained = bool(prompts) or given.input is not None
    for column in roles.others(dict.fromkeys(table.columns)):
        role = nearest(column, missing)
        if role in INPUT_COLUMNS and not holds_text(values(table, column)):
            role = None
        if fault := refusal(column) or (near_miss(column, role) if role else None):
            faults.append(Fault(0, table.place_of(column), *fault))
            explained = explained or role in INPUT_COLUMNS
    if not explained:
        faults.append(Fault(0, table.header or "", *no_prompts(table)))
    return (roles if prompts else None), faults


def earlier(prompts: str | None) -> list[str]:
    """The names of prompt columns that would have been taken before this one."""
    if prompts is None:
        return list(INPUT_COLUMNS)
    return list(INPUT_COLUMNS[: INPUT_COLUMNS.index(folded(prompts))])


def named_column(table: RawTable, keyword: str, name: str | None, faults: list[Fault]) -> str | None:
    """The column that `input=` or `target=` names: to the letter, or else but for case and blanks."""
    if name is None or name in table.columns:
        return name
    same = spellings(name, table.columns)
    if len(same) == 1:
        return same[0]
    place = table.header or ""
    if same:
        what = f"{keyword}={name!r} may be any of the columns {', '.join(map(repr, same))}."
        faults.append(Fault(0, place, what, "Write the one that is meant to the letter."))
    else:
        near = did_you_mean(name, table.columns)
        faults.append(Fault(0, place, f"no column {name!r}, which {keyword}= names.{near}"))
    return None


def role_column(table: RawTable, role: str, faults: list[Fault]) -> str | None:
    """The column of a role: its name, without regard to case and blanks around it. Rows may spell it differently."""
    same = spellings(role, table.columns)
    if len(same) < 2:
        return same[0] if same else None
    both = next((record for record in table.records if len(set(same) & set(record.cells)) > 1), None)
    if both is None and table.header is None:
        table.records = [respelled(record, same) for record in table.records]
        table.columns = [column for column in table.columns if column not in same[1:]]
        return same[0]
    place = both.place if both and table.header is None else table.header or ""
    names = " and ".join(map(repr, same))
    faults.append(Fault(0, place, f"columns {names} are both {role!r}.", "Rename or remove one of them."))
    return same[0]


def respelled(record: Record, same: Sequence[str]) -> Record:
    """A row with the first row's spelling of a column."""
    cells = {same[0] if column in same else column: value for column, value in record.cells.items()}
    return Record(record.number, record.place, cells)


def no_prompts(table: RawTable) -> tuple[str, str]:
    """What to say of a table in which no column is known to hold the prompts, and what to do."""
    columns = ", ".join(map(shown, table.columns[:12])) + (", ..." if len(table.columns) > 12 else "")
    what = f"no column of prompts. {LOOKED}; found {columns}."
    chats = [column for column in table.columns if any(is_chat(value) for value in values(table, column))]
    if chats:
        return f"{what} Column {chats[0]!r} holds chat messages, and a prompt is one text.", CHAT
    lists = [column for column in table.columns if any(isinstance(value, list) for value in values(table, column))]
    if lists:
        what += f" Column {lists[0]!r} holds lists, and a prompt is one text."
    advice = f'Name the column: input="{proposed(table, sole=not lists)}".'
    if table.text_cells:
        advice = f"{header_hint(table)}{advice}"
    return what, advice


def header_hint(table: RawTable) -> str:
    """What else may be wrong with the first line of CSV or TSV."""
    for column in table.columns:
        marks = [mark for mark in re.findall(r"[^\w\s-]", column) if mark not in "?!.'\""]
        if any(folded(part) in INPUT_COLUMNS for mark in marks for part in column.split(mark)):
            return f"The header seems to be separated by {marks[0]!r}: use commas, semicolons, tabs or pipes. "
    return "The first line was taken as the names of the columns; if it is a row, write such a line above it. "


def proposed(table: RawTable, *, sole: bool) -> str:
    """The column that may hold the prompts: of text, and named like one, or the only one of sentences."""
    texts = [column for column in table.columns if holds_text(values(table, column)) and not is_id(column)]
    for names in (INPUT_COLUMNS, PROMPT_NAMES):
        for column in texts:
            if compact(column) in map(compact, names) or difflib.get_close_matches(folded(column), names, n=1):
                return column
    spoken = [column for column in texts if any(" " in str(value).strip() for value in values(table, column))]
    return spoken[0] if sole and len(spoken) == 1 else "..."


def is_id(column: str) -> bool:
    """Whether a column is named like one of ids."""
    words = re.split(r"[\W_]+", folded(column))
    return bool({"id", "ids", "idx", "uid", "uuid", "key", "index", "no", "number", "hash"} & {words[0], words[-1]})


def holds_text(cells: Iterable[Any]) -> bool:
    """Whether there are texts in a column and nothing else, and they are not all numbers."""
    given = [cell for cell in cells if cell is not None and cell != ""]
    return bool(given) and all(isinstance(cell, str) for cell in given) and not all(map(NUMBER.fullmatch, given))


def values(table: RawTable, column: str) -> list[Any]:
    """The first cells of a column."""
    return [record.cells.get(column) for record in table.records[:20]]
