"""Text of models in Markdown: code spans, code blocks and tables that it cannot leave. Pure."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

from pytest_llmcompare.text import disarm, escape


def code(text: str) -> str:
    """Format text as a code span on one line."""
    shown = escape(text)
    if not shown.strip():
        return f"`{shown}`" if shown else ""
    marks = "`" * (longest(shown) + 1)
    pad = " " if shown[0] in "` " or shown[-1] in "` " else ""
    return f"{marks}{pad}{shown}{pad}{marks}"


def block(lines: Iterable[str], language: str = "text") -> str:
    """Format lines as a code block; each is escaped for a terminal, too, in case the file is printed there."""
    shown = [disarm(line) for line in lines]
    marks = "`" * max(3, longest("\n".join(shown)) + 1)
    return "\n".join([f"{marks}{language}", *shown, marks])


def folded(title: str, parts: Iterable[str], *, is_open: bool = False) -> str:
    """Fold parts away below a title, whose code spans become HTML: GitHub reads no Markdown in a summary.

    Args:
        title: Our own words with code spans.
        parts: Markdown, each followed by an empty line.
        is_open: Whether it is open at first.
    """
    state = " open" if is_open else ""
    return "\n\n".join([f"<details{state}>\n<summary>{title}</summary>", *parts, "</details>"])


def html_code(text: str) -> str:
    """Format text as code in HTML."""
    return f"<code>{html.escape(escape(text))}</code>"


def longest(text: str) -> int:
    """Length of the longest run of backticks."""
    return max(map(len, re.findall("`+", text)), default=0)


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool = False) -> str:
    """Format a table of cells that are Markdown already.

    Args:
        heads: Headings.
        rows: The cells.
        numbers: Whether to align all columns but the first to the right.
    """
    rest = "---:" if numbers else "---"
    lines = [heads, ["---", *[rest] * (len(heads) - 1)], *rows]
    # Backslashes of the text itself are doubled in code spans, so that none of them undoes this one.
    escaped = ([cell.replace("|", r"\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)
