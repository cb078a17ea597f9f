"""Read JSON, JSON Lines and YAML; values keep their types, and syntax errors become sentences with line numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_llmcompare.errors import TableError
from pytest_llmcompare.suite.raw_rows import Fault, Item, MarkerColumns, RawTable, from_items, located, shown_value

from .text_encoding import decode

if TYPE_CHECKING:
    from yaml import Node

MOST_VALUES = 10_000_000  # that aliases may make of a table
LINE_ENDS = re.compile(r"\r\n|\r|\n")  # as str.splitlines, but not where JSON text may hold the character
JSON_LINES = "Write one JSON object per line."
LIST_ROWS = 'Write each row as an object that names its cells: {"prompt": "..."}.'
NAME_JSON = "A line of .jsonl is one row, not a list of rows: name the file .json."
QUOTE_YAML = (
    "Put text into quotes that holds ': ' or ' #' or begins with a sign such as @ ` { [ & * ! | > % or a quote, "
    'or write it below "prompt: |-".'
)
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


def read_yaml(name: str, data: bytes, columns: MarkerColumns) -> RawTable:
    """Read a list of mappings (or texts) with the safe loader.

    Raises:
        TableError: Broken YAML, or something else than a list.
    """
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C is ten times faster, where it was built

    class RepeatedNameInYamlError(yaml.constructor.ConstructorError):
        """A mapping that has a name twice."""

        advice = NAME_ONCE

    class Loader(base):  # type: ignore[misc]
        """The safe loader, which also refuses repeated names in a mapping."""

        def construct_mapping(self, node: Node, deep: bool = False) -> Any:
            names: set[object] = set()
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                    continue
                if key.value in names:
                    raise RepeatedNameInYamlError(None, None, f"{key.value!r} occurs twice in one row", key.start_mark)
                names.add(key.value)
            return super().construct_mapping(node, deep)

    text = decode(name, data)
    try:
        value = yaml.load(text, Loader=Loader)  # noqa: S506 - a safe loader
    except yaml.MarkedYAMLError as error:
        raise TableError(yaml_fault(name, error, text)) from None
    except yaml.reader.ReaderError as error:
        before = text.partition(chr(error.character))[0]
        raise TableError(
            f"{name}, line {len(LINE_ENDS.findall(before)) + 1}: broken YAML: a character "
            f"({error.character:#06x}) that YAML does not allow. "
            'Write it as an escape in double quotes ("\\a", "\\x07"), or remove it.'
        ) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise TableError(f"{name}: broken YAML: {' '.join(str(error).split())}. {QUOTE_YAML}") from None
    if weight(value, {}) > MOST_VALUES:
        raise TableError(
            f"{name}: anchors and aliases (& and *) make more than {MOST_VALUES:,} values of this file. "
            "Write the values out where they are needed."
        )
    return from_items(name, located(rows_of_list(name, value), "row"), columns.input)


def weight(value: object, known: dict[int, int]) -> int:
    """Number of values with each alias expanded; a value that contains itself counts once.

    Args:
        value: What was read.
        known: The weights of the lists and mappings seen so far, by identity: each is looked into once.
    """
    if not isinstance(value, (Mapping, list)):
        return 1
    if id(value) not in known:
        known[id(value)] = 1
        parts = value.values() if isinstance(value, Mapping) else value
        known[id(value)] = 1 + sum(weight(part, known) for part in parts)
    return known[id(value)]


def yaml_fault(name: str, error: Any, text: str) -> str:
    """A sentence made of the two parts of a YAML error: its context and its problem."""
    mark = error.problem_mark or error.context_mark
    place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    problem = error.problem or "something is wrong"
    if "another document" in problem:
        return (
            f"{name}{place}: broken YAML: the file holds two documents, expected one list. "
            "Remove the line of --- between them."
        )
    began = f" that begins in line {error.context_mark.line + 1}" if error.context_mark else ""
    context = f"{error.context}{began}: " if error.context else ""
    advice: str = getattr(error, "advice", QUOTE_YAML)
    if "constructor for the tag" in problem:
        advice = "Only plain values are read; remove the tag (the word after !), or put the text into quotes."
    elif "'\\t'" in problem or "tab character" in problem or (mark and is_tab(text, mark)):
        advice = "Indent with spaces, not tabs."
    return f"{name}{place}: broken YAML: {context}{problem}. {advice}"


def is_tab(text: str, mark: Any) -> bool:
    """True if a tab is where YAML stopped, or right before."""
    lines = text.splitlines()
    return mark.line < len(lines) and "\t" in lines[mark.line][max(mark.column - 1, 0) : mark.column + 1]
