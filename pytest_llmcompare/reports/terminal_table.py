"""Tables for a terminal: rich decides how wide the columns are, pytest writes the lines. Pure.

rich lays out one row of placeholders, as many letters as the widest cell of a column has columns. The texts are fitted
afterwards: outputs begin where they part, and wcwidth measures them, because versions of rich differ in the width of
emoji sequences. Names are never cut: one that does not fit gets lines of its own.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pytest_llmcompare.text import pad, width

from .style import Page, Styled

GAP = "  "  # between columns


Fit = Callable[[Sequence[int]], Iterable[str]]
"""Makes the cells of a line, given the widths of the columns."""


@dataclass(frozen=True)
class TableLine:
    """One line of a table.

    Attributes:
        wanted: Width that each cell would like to have.
        fit: Makes the cells.
        markup: Colour of the line.
    """

    wanted: Sequence[int]
    fit: Fit
    markup: Mapping[str, bool] = field(default_factory=dict)


def text_line(cells: Sequence[str], **markup: bool) -> TableLine:
    """A line of finished cells."""
    return TableLine([*map(width, cells)], lambda _: cells, markup)


def table_lines(
    lines: Sequence[TableLine],
    page: Page,
    *,
    flexible: Collection[int] = (0,),
    numbers: bool = False,
    rule: bool = False,
    indent: str = "",
) -> Iterator[Styled]:
    """Lay out a table.

    Args:
        lines: Its lines, the heading first, with the same number of cells each.
        page: Width and encoding of the terminal.
        flexible: Indexes of the columns that become narrower if the page is too narrow, the widest first.
        numbers: Whether all columns but the first are aligned to the right.
        rule: Whether there is a rule below the heading.
        indent: Start of each line.
    """
    widths = column_widths(lines, page, flexible=flexible, indent=indent)
    for at, line in enumerate(lines):
        if rule and at == 1:
            yield page.line(indent + page.sign("─") * (sum(widths) + len(GAP) * (len(widths) - 1)))
        cells = [page.cut(cell, columns) for cell, columns in zip(line.fit(widths), widths, strict=True)]
        blanks = [" " * (columns - width(cell)) for cell, columns in zip(cells, widths, strict=True)]
        if numbers:
            cells[1:] = [blank + cell for blank, cell in zip(blanks[1:], cells[1:], strict=True)]
        shown = [pad(cell, columns) for cell, columns in zip(cells, widths, strict=True)]
        yield page.line(indent + GAP.join(shown), **line.markup)


def numbers_table(
    heading: str,
    names: Sequence[str],
    columns: Mapping[str, Sequence[str]],
    page: Page,
    *,
    give_way: Sequence[str],
    markups: Sequence[Mapping[str, bool]],
) -> Iterator[Styled]:
    """Lay out a table of names with numbers to the right of them, or below them if there is no room.

    Args:
        heading: Heading of the names.
        names: First cell of each line.
        columns: The other cells by heading.
        page: Width and encoding of the terminal.
        give_way: Headings of columns that are left out, one after the other, until the names have enough room.
        markups: Colour of each line.
    """
    kept = dict(columns)
    for left_out in ("", *give_way):
        kept.pop(left_out, None)
        lines = [text_line([heading, *kept], bold=True)]
        for at, (name, markup) in enumerate(zip(names, markups, strict=True)):
            lines.append(text_line([name, *(cells[at] for cells in kept.values())], **markup))
        if sum(natural_widths(lines)) + len(GAP) * len(kept) <= page.columns:
            yield from table_lines(lines, page, numbers=True)
            return
    yield from page.wrapped(heading, bold=True)
    for at, (name, markup) in enumerate(zip(names, markups, strict=True)):
        yield from page.wrapped(name, **markup)
        yield from page.wrapped("  " + ", ".join(f"{cells[at]} {head}" for head, cells in kept.items() if cells[at]))


def natural_widths(lines: Sequence[TableLine]) -> list[int]:
    """Return the widths of the columns of a table in which no cell is cut."""
    return [max(wanted) for wanted in zip(*(line.wanted for line in lines), strict=True)]


def column_widths(
    lines: Sequence[TableLine], page: Page, *, flexible: Collection[int] = (0,), indent: str = ""
) -> list[int]:
    """Let rich divide the terminal among the columns of a table; arguments as of `table_lines`."""
    wanted, columns = natural_widths(lines), page.columns - len(indent)
    from rich.console import Console
    from rich.style import Style
    from rich.table import Table
    from rich.text import Text

    table = Table.grid()  # without gaps: rich leaves them out at the edge, which would make that column wider
    cells = []
    for at, width_of_cell in enumerate(wanted):
        table.add_column(no_wrap=at not in flexible, overflow="crop")
        cells.append(Text("x" * width_of_cell, Style(meta={"column": at}), no_wrap=True, overflow="crop"))
    table.add_row(*cells)
    room = max(columns - len(GAP) * (len(wanted) - 1), 1)
    console = Console(width=room, height=1, file=io.StringIO(), color_system=None, legacy_windows=False)
    widths = [0] * len(wanted)  # rich drops a column for which there is no room
    for segment in console.render_lines(table, pad=False)[0]:
        if segment.style and segment.style.meta:
            widths[segment.style.meta["column"]] = len(segment.text)
    return widths
