"""Old and new text on one line of a terminal: `is [-Paris-]{+Lyon+}.`, as `git diff --word-diff` writes it. Pure.

The marks are there with and without colour, so that a log, a pipe and a colour-blind reader lose nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from pytest_llmcompare.text import cut_start, width

from .style import Page, Styled
from .text_diff import Range, common_ends, paired_changes

GONE, COME = ("[-", "-]"), ("{+", "+}")
COLOURS: Mapping[str, Mapping[str, bool]] = {"[": {"red": True}, "{": {"green": True}, "≠": {"red": True}}
LEAST_CONTEXT = 12  # columns of equal text before the first change, if there are so many

_WORDS = re.compile(r"\[-.*?-\]|\{\+.*?\+\}")
_MARKED = re.compile(rf"(?:^|(?<=  ))≠(?= )|{_WORDS.pattern}")


class _Piece(NamedTuple):
    """Equal text, and the change after it."""

    kept: str
    gone: str
    come: str


def marked_words(baseline: str, candidate: str, columns: int, page: Page) -> str:
    """Show two different texts on one line, with their first change: what is gone, and what has come.

    Args:
        baseline: The approved text.
        candidate: Today's text.
        columns: Largest width.
        page: Width and encoding of the terminal.
    """
    pieces, rest = _pieces(*near_change(baseline, candidate, 4 * page.columns), columns, page)
    whole = "".join(piece.kept + _change(piece) for piece in pieces) + rest
    if width(whole) <= columns:
        return whole
    first, *others = pieces
    mark = page.sign("…")
    after = sum(width(piece.kept + _change(piece)) for piece in others) + width(rest)
    before = columns - width(_change(first)) - min(after, columns // 3)
    line = cut_start(first.kept, max(before, columns // 3, LEAST_CONTEXT), mark)
    line += _fitting(first, columns - width(line) - 1, page)
    for piece in others:
        if width(line + piece.kept + _change(piece)) >= columns:
            return page.cut(line + piece.kept + mark, columns)
        line += piece.kept + _change(piece)
    return page.cut(line + rest, columns)


def near_change(baseline: str, candidate: str, most: int) -> tuple[str, str]:
    """The parts of two texts around their first difference, so that long texts cost no time."""
    at = common_ends(baseline, candidate)[0]
    start = max(at - most, 0)
    return baseline[start : at + most], candidate[start : at + most]


def visible_changes(baseline: str, candidate: str, columns: int) -> list[tuple[Range, Range]]:
    """The changes as `paired_changes` has them; the first one begins within a word if that is too long to be shown."""
    ((gone, gone_end), (come, come_end)), *others = paired_changes(baseline, candidate)
    same = common_ends(baseline[gone:gone_end], candidate[come:come_end])[0]
    skipped = same if same > columns // 4 else 0
    return [((gone + skipped, gone_end), (come + skipped, come_end)), *others]


def coloured(line: Styled) -> Styled:
    """Colour the marked words of a line and the signs of its drifts; a line without marked words stays as it is."""
    if not _WORDS.search(line.text):
        return line
    spans = tuple((match.start(), match.end(), COLOURS[match[0][0]]) for match in _MARKED.finditer(line.text))
    return Styled(line.text, {}, spans)


def _pieces(baseline: str, candidate: str, columns: int, page: Page) -> tuple[list[_Piece], str]:
    """The changes, each with the equal text before it, escaped; and the equal text after the last one."""
    changes = visible_changes(baseline, candidate, columns)
    start = len(candidate) - len(candidate.lstrip())
    start = start if start <= changes[0][1][0] else 0
    pieces = []
    for (gone_from, gone_to), (come_from, come_to) in changes:
        texts = candidate[start:come_from], baseline[gone_from:gone_to], candidate[come_from:come_to]
        pieces.append(_Piece(*map(page.text, texts)))
        start = come_to
    return pieces, page.text(candidate[start:].rstrip())


def _change(piece: _Piece) -> str:
    return "".join(f"{mark[0]}{text}{mark[1]}" for mark, text in ((GONE, piece.gone), (COME, piece.come)) if text)


def _fitting(piece: _Piece, columns: int, page: Page) -> str:
    """A change cut to this number of columns: each text gets half of them, or what the other leaves."""
    if width(_change(piece)) <= columns:
        return _change(piece)
    room = max(columns - sum(4 for text in (piece.gone, piece.come) if text), 2)
    gone, come = width(piece.gone), width(piece.come)
    first = min(gone, max(room // 2, room - come))
    return _change(_Piece("", page.cut(piece.gone, first), page.cut(piece.come, room - first)))
