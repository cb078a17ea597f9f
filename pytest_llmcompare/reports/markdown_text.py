"""Foreign text in Markdown: as code, where nothing in it is a mark, a link, a mention or a tag. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from .escaping import disarm, escape


def code(text: str) -> str:
    """Text as a code span on one line."""
    shown = escape(text)
    if not shown.strip():
        return f"`{shown}`" if shown else ""
    marks = "`" * (longest(shown) + 1)
    pad = " " if shown[0] in "` " or shown[-1] in "` " else ""
    return f"{marks}{pad}{shown}{pad}{marks}"


def block(lines: Iterable[str]) -> str:
    """Lines as a code block; each is harmless on a terminal, too, where somebody may print the file."""
    shown = [disarm(line) for line in lines]
    marks = "`" * max(3, longest("\n".join(shown)) + 1)
    return "\n".join([f"{marks}text", *shown, marks])


def longest(text: str) -> int:
    """Length of the longest run of backticks."""
    return max(map(len, re.findall("`+", text)), default=0)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool = False) -> str:
    """A table of cells that are Markdown already.

    Args:
        heads: Headings.
        rows: The cells.
        numbers: Whether all columns but the first hold numbers, which stand to the right.
    """
    rest = "---:" if numbers else "---"
    lines = [heads, ["---", *[rest] * (len(heads) - 1)], *rows]
    # Backslashes of the text itself are doubled in code spans, so that none of them undoes this one.
    escaped = ([cell.replace("|", r"\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)
