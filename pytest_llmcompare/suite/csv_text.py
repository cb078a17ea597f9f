r"""CSV and TSV: cells stay text, unchanged, and only their line ends become `\\n`.

A reader of our own, because `csv` of the standard library cannot say where a quote is misplaced, stops at
cells of 128 KiB by default (a limit of the whole process), and keeps the file's line ends inside cells, so that a
checkout on Windows would change prompts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple

from pytest_llmcompare.suite.raw_rows import Fault, MarkerColumns, RawTable, Record, shown_value

from .column_names import INPUT_COLUMNS, folded, trimmed
from .text_encoding import decode

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "pipes"}
BLANKS = {" ", "\t"}
LINE_END = re.compile(r"\r\n?")
RULE = re.compile(r":?-+:?")  # between the header and the rows of a Markdown table
EXCEL = re.compile(r'\A"?sep=(?P<mark>\\t|[^\n"]?)(?P<rest>[^\n]*)\n?', re.IGNORECASE)
"""First line that tells Excel the separator."""

QUOTES = 'Inside a cell in double quotes, write a double quote as "".'
SEPARATED = 'Put cells that hold the separator in double quotes ("), with nothing before the first quote.'
AS_MANY = "Give every row as many cells as the header has."


class FileRow(NamedTuple):
    """A row of the file, not yet checked."""

    line: int
    cells: list[str]
    broken: str = ""
    advice: str = ""

    @property
    def is_empty(self) -> bool:
        """True if all cells are empty, as in the rows that Excel leaves below a table."""
        return not self.broken and not any(cell.strip() for cell in self.cells)


@dataclass(frozen=True)
class Patterns:
    """Regular expressions of a cell, for one separator."""

    quoted: re.Pattern[str]
    late: re.Pattern[str]
    plain: re.Pattern[str]
    opened: re.Pattern[str]


@lru_cache
def patterns(separator: str) -> Patterns:
    """The regular expressions for a separator; spaces around quotes are never a separator."""
    mark, blank = re.escape(separator), " " if separator == "\t" else "[ \t]"
    inside = r'"(?P<cell>[^"]*+(?:""[^"]*+)*+)"'
    return Patterns(
        re.compile(rf"{inside}{blank}*(?={mark}|\n|\Z)"),
        re.compile(rf"{blank}+{inside}{blank}*(?={mark}|\n|\Z)"),
        re.compile(rf"[^{mark}\n]*"),
        re.compile(inside),
    )


def read_csv(name: str, data: bytes, columns: MarkerColumns) -> RawTable:
    """Read cells separated by commas, or by the separator of the header."""
    return read_cells(name, decode(name, data, partial(count_rows, usual=",")), ",", columns)


def read_tsv(name: str, data: bytes, columns: MarkerColumns) -> RawTable:
    """Read cells separated by tabs, with the quotes of CSV."""
    return read_cells(name, decode(name, data, partial(count_rows, usual="\t")), "\t", columns)


def read_cells(name: str, text: str, usual: str, columns: MarkerColumns) -> RawTable:
    """Read a header, then one row per prompt; quoted cells may hold line breaks.

    Args:
        name: What messages call the table.
        text: The file's text.
        usual: The separator, unless the first line or the header shows another.
        columns: Columns that the marker names, so that they are known in a header.
    """
    text = LINE_END.sub("\n", text)
    if excel := EXCEL.match(text):
        mark = excel["mark"].replace("\\t", "\t")
        if mark and not excel["rest"].strip('",;|\t '):
            return parse_rows(name, text[excel.end() :], mark, first_line=2)
        table = RawTable(name, text_cells=True, header="line 1")
        what = f"{shown_value(excel[0].strip())} tells Excel the separator, expected one character such as sep=;"
        table.faults.append(Fault(0, "line 1", f"{what}.", "Remove the line, or write one character."))
        return table
    return parse_rows(name, text, separator_of(text, usual, columns), first_line=1)


def count_rows(text: str, usual: str) -> int:
    """How many rows begin in a text, the header excluded."""
    text = LINE_END.sub("\n", text)
    return sum(1 for _ in split_rows(text, separator_of(text, usual, MarkerColumns()))) - 1


def parse_rows(name: str, text: str, separator: str, *, first_line: int) -> RawTable:
    """The table, given its separator."""
    lines = without_ends([line._replace(line=line.line + first_line - 1) for line in split_rows(text, separator)])
    table = RawTable(name, text_cells=True, separator=separator)
    if not lines:
        return table
    header, *rest = lines
    table.header = f"line {header.line}"
    if header.broken:
        table.faults.append(Fault(0, table.header, header.broken, header.advice))
        return table
    kept = [at for at, cell in enumerate(header.cells) if trimmed(cell) or holds_something(rest, at)]
    if separator == "|" and rest and all(RULE.fullmatch(cell.strip()) or not cell.strip() for cell in rest[0].cells):
        what = f"the table is written as in Markdown: line {rest[0].line} is a rule, expected a row."
        advice = "Remove that line and the pipes and spaces at both ends of cells, or write the table as CSV."
        table.faults.append(Fault(0, f"line {rest[0].line}", what, advice))
        return table
    names = [trimmed(cell) or f"Unnamed: {at}" for at, cell in enumerate(header.cells)]  # as pandas names them
    table.columns = [names[at] for at in kept]
    table.faults.extend(same_names(table))
    for number, row in enumerate(rest, 1):
        place = f"row {number}, line {row.line}"
        if row.broken:
            table.faults.append(Fault(number, place, row.broken, row.advice))
        elif row.is_empty:
            table.faults.append(
                Fault(number, place, "the row is empty.", "Remove empty rows, or write a prompt there.")
            )
        elif len(row.cells) != len(names):
            table.faults.append(Fault(number, place, *uneven_row(row.cells, table, len(names))))
        else:
            table.records.append(Record(number, place, {names[at]: row.cells[at] for at in kept}))
    return table


def same_names(table: RawTable) -> list[Fault]:
    """The fault of columns of the same name."""
    twice = dict.fromkeys(column for at, column in enumerate(table.columns) if column in table.columns[:at])
    what = "two columns are called {!r}."
    return [Fault(0, table.header or "", what.format(column), "Rename one of them.") for column in twice]


def without_ends(lines: list[FileRow]) -> list[FileRow]:
    """The rows without empty ones above and below the table."""
    full = [at for at, line in enumerate(lines) if not line.is_empty]
    return lines[full[0] : full[-1] + 1] if full else []


def holds_something(rows: Sequence[FileRow], at: int) -> bool:
    """True if a nameless column has a cell that is not empty."""
    return any(len(row.cells) > at and row.cells[at].strip() for row in rows)


def uneven_row(cells: Sequence[str], table: RawTable, width: int) -> tuple[str, str]:
    """The fault of a row with too many or too few cells."""
    count = f"{len(cells)} cell{'s' * (len(cells) != 1)}"
    header = ", ".join(column if column.isprintable() else repr(column) for column in table.columns)
    short = header if len(header) <= 100 else f"{header[:96]} ..."
    advice = SEPARATED if len(cells) > width else AS_MANY
    if len(cells) > width and not any(cell.strip() for cell in cells[width:]):
        advice = "Remove the separators at the ends of the rows, or put as many at the end of the header."
    kind = SEPARATORS.get(table.separator, repr(table.separator))
    return f"{count}, expected {width} ({short}).", f"{advice} Cells are separated by {kind} here."


def separator_of(text: str, usual: str, columns: MarkerColumns) -> str:
    """The separator that the header was written with: the usual one, if the header can be read with it.

    Another one only where that is certain: with it the header names a column of prompts; or it alone cuts every row,
    header and all, into the same number of cells.
    """
    wanted = {folded(column) for column in (*INPUT_COLUMNS, *columns) if column}
    others = [usual, *(mark for mark in SEPARATORS if mark != usual)]
    for mark in others:
        header = next((line for line in split_rows(text, mark) if not line.is_empty), None)
        if header and not header.broken and wanted.intersection(map(folded, header.cells)):
            return mark
    even = [mark for mark in others if is_even(text, mark)]
    return even[0] if len(even) == 1 or usual in even else usual


def is_even(text: str, separator: str) -> bool:
    """True if every row has the same number of cells, two or more."""
    lines = without_ends(list(split_rows(text, separator)))
    widths = {len(line.cells) for line in lines if not line.is_empty}
    return len(widths) == 1 and widths != {1} and not any(line.broken for line in lines)


def split_rows(text: str, separator: str) -> Iterator[FileRow]:
    r"""Each row that is not blank. A quote that is never closed, or closed too early, ends the table.

    Args:
        text: Text whose lines end in `\\n`.
        separator: One character.
    """
    like, at, line = patterns(separator), 0, 1
    while at < len(text):
        if text[at] == "\n":
            at, line = at + 1, line + 1
            continue
        start, cells, broken, advice = at, list[str](), "", ""
        while True:
            if text.startswith('"', at):
                cell = like.quoted.match(text, at)
                if cell is None:
                    yield FileRow(line, [], *quoting_fault(text, at, line + text.count("\n", start, at), like))
                    return
            elif text[at : at + 1] in BLANKS and (cell := like.late.match(text, at)):
                broken = f"a space is before the double quote that opens cell {len(cells) + 1}."
                advice = "Remove spaces before double quotes: after one, quotes are part of the text."
            else:
                cell = like.plain.match(text, at)
                assert cell is not None  # it matches nothing, too
            cells.append(cell["cell"].replace('""', '"') if cell.re is not like.plain else cell[0])
            at = cell.end()
            if not text.startswith(separator, at):
                break
            at += 1
        yield FileRow(line, cells, broken, advice)
        line += text.count("\n", start, at) + 1
        at += 1


def quoting_fault(text: str, at: int, line: int, like: Patterns) -> tuple[str, str]:
    """What is wrong with the quotes of a cell, and what to do."""
    opened = like.opened.match(text, at)
    if opened is None:
        return "a double quote is opened and never closed.", QUOTES
    closing = line + opened[0].count("\n")
    return f"text follows a closing double quote (line {closing}).", QUOTES
