"""Read YAML; values keep their types, and syntax errors become sentences with line numbers. Imports yaml when used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pytest_llmcompare.errors import TableError

from .json_text import LINE_ENDS, NAME_ONCE, rows_of_list
from .raw_rows import MarkerColumns, RawTable, from_items, located
from .text_encoding import decode

if TYPE_CHECKING:
    from yaml import Node

MOST_VALUES = 10_000_000  # that aliases may make of a table
QUOTE_YAML = (
    "Put text into quotes that holds ': ' or ' #' or begins with a sign such as @ ` { [ & * ! | > % or a quote, "
    'or write it below "prompt: |-".'
)


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
