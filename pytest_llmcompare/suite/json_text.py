"""Read JSON and JSON Lines; values keep their types, and syntax errors become sentences with line numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pytest_llmcompare.errors import TableError
from pytest_llmcompare.suite.raw_rows import Fault, Item, MarkerColumns, RawTable, from_items, located, shown_value

from .text_encoding import decode

LINE_ENDS = re.compile(r"\r\n|\r|\n")  # as str.splitlines, but not where JSON text may hold the character
JSON_LINES = "Write one JSON object per line."
LIST_ROWS = 'Write each row as an object that names its cells: {"prompt": "..."}.'
NAME_JSON = "A line of .jsonl is one row, not a list of rows: name the file .json."
COLUMNS = ' These are columns; from pandas write rows: to_json(..., orient="records").'
ADVICE = (
    ("property name enclosed in double quotes", 'Put names and text into double quotes: {"prompt": "..."}.'),
    ("trailing comma", "Remove the comma after the last value."),
    ("control character", "Inside JSON text write a line break as \\n and a tab as \\t."),
    ("Unterminated string", "Close the double quote on its line; inside JSON text write a line break as \\n."),
    ("escape", "Inside JSON text write a backslash as \\\\."),
    ("',' delimiter", 'Inside JSON text write a double quote as \\".'),
    ("comment", "JSON has no comments: remove it."),
    ("digits", "Write such a number in quotes."),
    ("BOM", "Join files without their byte order marks: remove the one here."),
)
"""What to do, by words in the parser's message."""

NAME_ONCE = "Write each name once per row."


class RepeatedNameError(ValueError):
    """A JSON object that has a name twice."""


def unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a JSON object and refuse repeated names, of which the last would win."""
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        seen: set[str] = set()
        name = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise RepeatedNameError(f"{name!r} occurs twice in one object, {shown_value(mapping)}")
    return mapping


def advice_on(message: str, otherwise: str = "") -> str:
    """What to do about invalid JSON, given the parser's message."""
    return next((advice for words, advice in ADVICE if words in message), otherwise)


def advice_for(error: ValueError | RecursionError, otherwise: str = "") -> str:
    """What to do about JSON that was read without a syntax error, but cannot be used."""
    if isinstance(error, RepeatedNameError):
        return NAME_ONCE
    return "Nest values less deeply." if isinstance(error, RecursionError) else advice_on(str(error), otherwise)


def syntax_fault(error: json.JSONDecodeError, otherwise: str = "") -> tuple[str, str]:
    """What is wrong with JSON, without its place, and what to do."""
    message = error.msg.removesuffix(" at").removesuffix(":")
    if error.doc.startswith(("//", "/*", "#"), error.pos):
        message = "a comment"
    if error.doc[error.pos : error.pos + 1] in {"}", "]"} and error.doc[: error.pos].rstrip().endswith(","):
        message = "trailing comma"  # Python 3.13 says so itself
    return message, advice_on(message, otherwise)


def read_jsonl(name: str, data: bytes, columns: MarkerColumns) -> RawTable:
    """Read one JSON object (or text) per line; blank lines are skipped."""
    text = decode(name, data)
    items: list[Item] = []
    faults: list[Fault] = []
    lists = 0
    for number, line in enumerate(LINE_ENDS.split(text), 1):
        if not line.strip():
            continue
        place = f"line {number}"
        try:
            value = json.loads(line, object_pairs_hook=unique_names)
        except json.JSONDecodeError as error:
            faults.append(Fault(number, place, *line_fault(line, error)))
        except (ValueError, RecursionError) as error:
            faults.append(Fault(number, place, f"broken JSON: {error}.", advice_for(error, JSON_LINES)))
        else:
            if isinstance(value, list):
                lists += 1
                faults.append(Fault(number, place, f"{shown_value(value)}, expected one object or text.", NAME_JSON))
            else:
                items.append((number, place, value))
    if faults and is_json_list(text):
        items = []
        faults = [Fault(0, "", "the file is one JSON list, expected one object per line.", NAME_JSON)]
    elif lists > 1:  # rows of cells, which no .json could hold line by line either
        faults = [replace(fault, advice=LIST_ROWS) if fault.advice == NAME_JSON else fault for fault in faults]
    table = from_items(name, items, columns.input)
    table.faults.extend(faults)
    return table


def line_fault(line: str, error: json.JSONDecodeError) -> tuple[str, str]:
    """What is wrong with a line of JSON, and what to do."""
    rest = line[error.pos :].strip()
    if error.msg == "Extra data" and rest == ",":
        return f"a comma follows the object (column {error.colno}).", "Remove the commas at the ends of the lines."
    if error.msg == "Extra data" and rest.startswith("{"):
        return f"a second object begins at column {error.colno}.", JSON_LINES
    what, advice = syntax_fault(error, JSON_LINES)
    return f"broken JSON: {what} at column {error.colno}.", advice


def is_json_list(text: str) -> bool:
    """True if a whole text is one JSON list."""
    try:
        return isinstance(json.loads(text), list)
    except (ValueError, RecursionError):
        return False


def read_json(name: str, data: bytes, columns: MarkerColumns) -> RawTable:
    """Read a list of objects (or texts).

    Raises:
        TableError: Broken JSON, or something else than a list.
    """
    try:
        value = json.loads(decode(name, data), object_pairs_hook=unique_names)
    except json.JSONDecodeError as error:
        otherwise = "For one object per line, name the file .jsonl." if error.msg == "Extra data" else ""
        what, hint = syntax_fault(error, otherwise)
        raise TableError(
            f"{name}, line {error.lineno}, column {error.colno}: broken JSON: {what}.{hint and f' {hint}'}"
        ) from None
    except (ValueError, RecursionError) as error:
        hint = advice_for(error)
        raise TableError(f"{name}: broken JSON: {error}.{hint and f' {hint}'}") from None
    return from_items(name, located(rows_of_list(name, value), "row"), columns.input)


def rows_of_list(name: str, content: object) -> list[Any]:
    """The rows of a file that should be a list.

    Raises:
        TableError: It is something else.
    """
    if isinstance(content, list):
        return content
    hint = ""
    if isinstance(content, Mapping):
        inside = [key for key, value in content.items() if isinstance(value, list)]
        rows = [key for key in inside if content[key] and isinstance(content[key][0], Mapping)]
        mappings = bool(content) and all(isinstance(value, Mapping) for value in content.values())
        if rows:
            hint = f" The rows seem to be under {rows[0]!r}: write that list alone."
        elif (inside and len(inside) == len(content)) or (mappings and "prompt" in content):
            hint = COLUMNS
        elif mappings:
            hint = " These are rows or columns by name: write a list of the rows, each with its name as id."
        elif "prompt" in content:
            hint = " Put a single row into a list, too."
    raise TableError(f'{name}: {shown_value(content)}, expected a list of objects such as [{{"prompt": "..."}}].{hint}')
