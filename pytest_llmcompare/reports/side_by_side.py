"""The side-by-side table of a terminal report: prompts x models. Pure.

Cells stand next to each other, or below each other if that would leave too little room to read them or cut a name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from pytest_llmcompare.comparison.summary import Cell, Table, TableRow
from pytest_llmcompare.judgement import Verdict, look_of
from pytest_llmcompare.text import count, pad, width

from .marked_words import coloured, marked_words
from .style import Page, Styled, markup_of
from .terminal_table import GAP, TableLine, column_widths, natural_widths, table_lines, text_line
from .text_diff import common_ends

MOST_ROWS = 50  # of a table that is not shown in full
LEAST_CELL = 16  # columns of a cell, sign included, below which it cannot be read
LEAST_CHANGE = 24  # the same for a cell with the old and the new text
SIGN = "= "
FAILS = "✗"
"""Before the text of an output on which an assertion fails."""


def grid_lines(table: Table, page: Page, *, every_row: bool) -> Iterator[Styled]:
    """Yield the lines of a table; none if no row is shown.

    Args:
        table: The table.
        page: Width and encoding of the terminal.
        every_row: Whether to show all rows, also those without a difference.
    """
    rows = rows_shown(table, every_row=every_row)
    if not rows:
        return
    lines = lines_of(table, rows, page)
    flexible = range(1, len(table.models) + 1)
    if fits(lines, table, page):
        yield from map(coloured, table_lines(lines, page, flexible=flexible, rule=True))
    else:
        yield from map(coloured, stacked(table, rows, page))
    differing = sum(row.differs for row in table.rows)
    if differing > len(rows):
        yield page.line(f"{page.sign('…')} and {differing - len(rows):,} more rows with a difference (-v shows all)")
    elif alike := len(table.rows) - len(rows):
        yield page.line(f"and {count(alike, 'prompt')} without a difference (-v shows all)")


def rows_shown(table: Table, *, every_row: bool) -> Sequence[TableRow]:
    """Return the rows to show: all, or the first ones that differ."""
    return table.rows if every_row else [row for row in table.rows if row.differs][:MOST_ROWS]


def fits(lines: Sequence[TableLine], table: Table, page: Page) -> bool:
    """True if the names are whole and the cells can be read, side by side."""
    wanted = natural_widths(lines)
    widths = column_widths(lines, page, flexible=range(1, len(wanted)))
    changed = [
        any(row.cells[at] and is_changed(row.cells[at]) for row in table.rows) for at in range(len(table.models))
    ]
    least = [
        max(width(page.name(model)), min(most, LEAST_CHANGE if change else LEAST_CELL))
        for model, most, change in zip(table.models, wanted[1:], changed, strict=True)
    ]
    return widths[0] == wanted[0] and all(given >= need for given, need in zip(widths[1:], least, strict=True))


def is_changed(cell: Cell | None) -> bool:
    """True for a cell that shows an old and a new text."""
    if cell is None or cell.text is None or cell.verdict in (None, Verdict.IDENTICAL):
        return False
    return cell.result.baseline_text not in (None, cell.text)


def lines_of(table: Table, rows: Sequence[TableRow], page: Page) -> list[TableLine]:
    """Return a line per prompt, with a cell per model."""
    lines = [text_line([*map(page.name, (table.name, *table.models))], bold=True)]
    for row in rows:
        name = page.name(str(row.row))
        wanted = [width(cell_text(cell, page.columns, 0, page)) for cell in row.cells]
        lines.append(TableLine([width(name), *wanted], partial(with_name, name, row, page=page), markup(row.cells)))
    return lines


def with_name(name: str, row: TableRow, widths: Sequence[int], page: Page) -> list[str]:
    """Return a name and the cells beside it."""
    return [name, *cells_of(row, widths[1:], page)]


def cells_of(row: TableRow, widths: Sequence[int], page: Page) -> list[str]:
    """Return the cells of a row; all begin at the same position of their texts."""
    parting = parting_of(row, widths)
    return [cell_text(cell, columns, parting, page) for cell, columns in zip(row.cells, widths, strict=True)]


def stacked(table: Table, rows: Sequence[TableRow], page: Page) -> Iterator[Styled]:
    """Yield a block per prompt, with a line per model."""
    yield from page.wrapped(table.name, bold=True)
    yield page.line(page.sign("─") * page.columns)
    models = [page.name(model) for model in table.models]
    names = max(map(width, models))
    beside = names <= page.columns // 2
    room = page.columns - 2 * len(GAP) - (names if beside else 0)
    for row in rows:
        parting = parting_of(row, [room] * len(row.cells))
        yield from page.wrapped(str(row.row))
        for model, cell in zip(models, row.cells, strict=True):
            if cell is None:
                continue
            if not beside:
                yield from page.wrapped(f"{GAP}{model}")
            start = GAP + (pad(model, names) + GAP if beside else GAP)
            yield page.line(start + cell_text(cell, room, parting, page), **markup([cell]))


def markup(cells: Sequence[Cell | None]) -> dict[str, bool]:
    """Return the colour of a line with these cells."""
    if any(cell is not None and cell.fails_assertion for cell in cells):
        return {"red": True}
    return markup_of([cell.verdict for cell in cells if cell is not None and not cell.accepted])


def cell_text(cell: Cell | None, columns: int, parting: int, page: Page) -> str:
    """Return sign and text of a case on one line; of a case with another text than its baseline, both texts.

    Args:
        cell: The case; None if the model was not asked this prompt.
        columns: Largest width.
        parting: Index of the character at which the texts of the row part; 0 shows the beginning.
        page: Width and encoding of the terminal.
    """
    if cell is None:
        return ""
    room = columns - len(SIGN) * (2 if cell.fails_assertion else 1)
    if cell.text is None:
        text = "(no output)"
    elif is_changed(cell) and cell.result.baseline_text is not None:
        text = marked_words(cell.result.baseline_text, cell.text, room, page)
    else:
        text = telling(cell.text, parting, room, page) or "(no text)"
    sign = page.sign(look_of(cell.verdict, accepted=cell.accepted).sign)
    fails = f"{page.sign(FAILS)} " if cell.fails_assertion else ""
    return page.cut(f"{sign} {fails}{page.cut(text, room)}", columns)


def parting_of(row: TableRow, widths: Sequence[int]) -> int:
    """Return the index at which the texts of a row part, if the beginning of a cell would not show it; else 0.

    All cells of the row then begin there, so that the eye compares like with like.
    """
    shown = zip(row.cells, widths, strict=True)
    texts = [(cell.text, columns - len(SIGN)) for cell, columns in shown if cell is not None and cell.text is not None]
    first, last = min(texts, default=("", 0))[0], max(texts, default=("", 0))[0]
    if first == last:
        return 0
    at = common_ends(first, last)[0]  # of sorted texts, the outermost share what all share
    return at if any(is_hidden(text, at, room) for text, room in texts) else 0


def is_hidden(text: str, at: int, room: int) -> bool:
    """True if a cell that shows the beginning of the text does not reach character `at`."""
    shown, newline, _ = text.strip().partition("\n")
    if not newline and width(shown) <= room:
        return False
    before = at - (len(text) - len(text.lstrip()))
    return before >= len(shown) or width(shown[: max(before, 0)]) >= room - 1


def telling(text: str, parting: int, room: int, page: Page) -> str:
    """Return one line of the text: the first one, or the one in which it parts, from the word there on."""
    word = max(text.rfind(blank, 0, parting) for blank in " \n") + 1
    start = max(word, parting - room // 2) if parting else 0
    shown, _, rest = text[start:].strip().partition("\n")
    mark = page.sign("…")
    before = mark if text[:start].strip() else ""
    return before + page.text(shown[: 4 * page.columns]) + (mark if rest.strip() else "")
