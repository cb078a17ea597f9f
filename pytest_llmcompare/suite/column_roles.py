"""Find the column of each role (prompt, id, target, ...) and every fault in the column names of a table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from pytest_llmcompare.errors import did_you_mean
from pytest_llmcompare.suite.cells import CHAT, is_chat
from pytest_llmcompare.suite.raw_rows import Fault, MarkerColumns, RawTable, Record, shown_value

from .column_names import (
    CONFIG,
    EXAMPLES,
    EXPECT,
    ID,
    IDEAL,
    INPUT,
    INPUT_COLUMNS,
    MESSAGES,
    TARGET,
    TOOLS,
    folded,
    misspelled_role,
    name_fault,
    near_miss,
    python_literal,
    spellings,
)

PROMPT_WORDS = (
    "prompt", "question", "instruction", "query", "text", "input", "problem", "request", "utterance", "message",
    "user", "sentence", "content", "goal", "task", "frage", "pregunta", "pergunta", "domanda", "eingabe",
)  # fmt: skip
"""Words in the names of columns that may hold prompts, the likeliest first; proposed, never taken."""

ID_WORDS = {"id", "ids", "idx", "uid", "uuid", "guid", "key", "index", "no", "number", "hash", "url", "date", "type"}
NUMBER = re.compile(r"\s*[-+]?[\d.,]+\s*%?\s*")
LOOKED = f"Looked for {', '.join(INPUT_COLUMNS)}"


@dataclass(frozen=True)
class Roles:
    """The column of each role; None if the table has none."""

    input: str
    id: str | None
    target: str | None
    examples: str | None
    config: str | None
    tools: str | None
    expect: str | None

    def others(self, cells: Mapping[str, Any]) -> dict[str, Any]:
        """The cells without a role."""
        taken = {self.input, self.id, self.target, self.examples, self.config, self.tools, self.expect}
        return {column: value for column, value in cells.items() if column not in taken}


def find_roles(table: RawTable, given: MarkerColumns) -> tuple[Roles | None, list[Fault]]:
    """Find the column of each role. Rows that spell a role differently than the first row are rewritten.

    Returns:
        The roles, None where no column holds the prompts; and the faults in the names of columns.
    """
    faults: list[Fault] = []
    named = {keyword: named_column(table, keyword, name, faults) for keyword, name in given._asdict().items()}
    prompts = named["input"]
    taken = {folded(column) for column in named.values() if column}
    if prompts is None and given.input is None:
        prompts = prompt_column(table, faults, without={MESSAGES} & taken)
    free = [ID, *([TARGET] if given.target is None else []), EXAMPLES, CONFIG, EXPECT]
    columns = {name: role_column(table, name, faults) for name in free if not prompts or folded(prompts) != name}
    tools = None if TOOLS in taken else role_column(table, TOOLS, faults)
    if columns.get(TARGET) is None and given.target is None and prompts and folded(prompts) in (INPUT, MESSAGES):
        columns[TARGET] = role_column(table, IDEAL, faults)
    target = named["target"] or columns.get(TARGET)
    roles = Roles(
        input=prompts or "",
        id=columns.get(ID),
        target=target,
        examples=columns.get(EXAMPLES),
        config=columns.get(CONFIG),
        tools=tools,
        expect=columns.get(EXPECT),
    )
    missing = [name for name in free if columns.get(name) is None]
    if given.input is None:
        missing += earlier(prompts)
    explained = bool(prompts) or given.input is not None
    for column in roles.others(dict.fromkeys(table.columns)):
        role = misspelled_role(column, missing)
        if role in INPUT_COLUMNS and not holds_text(values(table, column)):
            role = None
        if fault := name_fault(column) or (near_miss(column, role) if role else None):
            faults.append(Fault(0, table.place_of(column), *fault))
            explained = explained or role in INPUT_COLUMNS or any(map(is_chat, values(table, column)))
    if not explained:
        faults.append(Fault(0, table.header or "", *no_prompts(table)))
    return (roles if prompts else None), faults


def prompt_column(table: RawTable, faults: list[Fault], without: Set[str]) -> str | None:
    """The column of the prompts in a table for which the marker names none."""
    names = [*({MESSAGES} - without), *INPUT_COLUMNS, *([INPUT] if is_eval_table(table) else [])]
    return next((one for name in names if (one := role_column(table, name, faults))), None)


def is_eval_table(table: RawTable) -> bool:
    """True if a column `input` holds the prompts, as in tables of OpenAI's evals and of Inspect.

    In other tables, such as Alpaca's, `input` is a part of the prompt.
    """
    names = {folded(column): column for column in table.columns}
    if INPUT not in names or "instruction" in names:
        return False
    return bool(names.keys() & {IDEAL, TARGET}) or any(map(is_chat, values(table, names[INPUT])))


def earlier(prompts: str | None) -> list[str]:
    """The prompt columns that come before this one in order of preference."""
    names = [MESSAGES, *INPUT_COLUMNS]
    name = None if prompts is None else folded(prompts)
    return list(INPUT_COLUMNS if name not in names else INPUT_COLUMNS[: max(names.index(name) - 1, 0)])


def named_column(table: RawTable, keyword: str, name: str | None, faults: list[Fault]) -> str | None:
    """The column that `input=` or `target=` names: exactly, or else regardless of case and spaces."""
    if name is None or name in table.columns:
        return name
    same = spellings(name, table.columns)
    if len(same) == 1:
        return same[0]
    place = table.header or ""
    if same:
        what = f"{keyword}={name!r} fits several columns: {', '.join(map(repr, same))}."
        faults.append(Fault(0, place, what, "Give exactly that name to the one you mean."))
    else:
        near = did_you_mean(name, table.columns)
        faults.append(Fault(0, place, f"no column {name!r}, which {keyword}= names.{near}"))
    return None


def role_column(table: RawTable, role: str, faults: list[Fault]) -> str | None:
    """The column of a role, regardless of case and spaces; rows may spell it differently."""
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
    """The fault of a table without a known prompt column."""
    columns = ", ".join(map(shown_value, table.columns[:12])) + (", ..." if len(table.columns) > 12 else "")
    what = f"no column of prompts. {LOOKED}; found {columns}."
    chats = [column for column in table.columns if any(is_chat(value) for value in values(table, column))]
    if chats:
        return f"{what} Column {chats[0]!r} holds chat messages.", f"Rename column {chats[0]!r} to {MESSAGES!r}. {CHAT}"
    lists = [column for column in table.columns if any(isinstance(value, list) for value in values(table, column))]
    if lists:
        what += f" Column {lists[0]!r} holds lists, and a prompt is one text."
    advice = f"Name the column: input={python_literal(proposed(table, sole=not lists))}."
    return what, f"{header_hint(table)}{advice}" if table.text_cells else advice


def header_hint(table: RawTable) -> str:
    """What else may be wrong with the header of CSV or TSV, as a sentence."""
    for column in table.columns:
        marks = [mark for mark in re.findall(r"[^\w -]", column) if mark not in "?!.'\""]
        if any(folded(part) in INPUT_COLUMNS for mark in marks for part in column.split(mark)):
            return f"The header seems to be separated by {marks[0]!r}: use commas, semicolons, tabs or pipes. "
    return "The first line was taken as the header; if it is a row, write one above it, such as id,prompt,target. "


def proposed(table: RawTable, *, sole: bool) -> str:
    """The column to propose for the prompts: text with a likely name, or the only column of sentences."""
    texts = [column for column in table.columns if may_be_prompts(table, column)]
    words = {column: set(column_words(column)) for column in texts}
    named = next((column for word in PROMPT_WORDS for column in texts if {word, f"{word}s"} & words[column]), None)
    spoken = [column for column in texts if any(" " in value.strip() for value in values(table, column) if value)]
    return named or (spoken[0] if sole and len(spoken) == 1 else "...")


def may_be_prompts(table: RawTable, column: str) -> bool:
    """True if a column can be proposed for the prompts: it holds text and is not named like ids or answers."""
    words = column_words(column)
    if not words or set(words) & ID_WORDS or folded(column) in {ID, TARGET, EXAMPLES, CONFIG}:
        return False
    is_sentence = len(words) > 3 or column.rstrip()[-1] in "?.!:"  # a row taken as the header
    return holds_text(values(table, column)) and not (table.text_cells and is_sentence)


def column_words(column: str) -> list[str]:
    """The words of a column's name."""
    return [word for word in re.split(r"[\W_]+", folded(column)) if word]


def holds_text(cells: Iterable[Any]) -> bool:
    """True if a column holds only texts, and not only numbers as text."""
    given = [cell for cell in cells if cell is not None and cell != ""]
    return bool(given) and all(isinstance(cell, str) for cell in given) and not all(map(NUMBER.fullmatch, given))


def values(table: RawTable, column: str) -> list[Any]:
    """The first cells of a column."""
    return [record.cells.get(column) for record in table.records[:20]]
