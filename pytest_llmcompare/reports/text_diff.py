"""Where two texts differ: word ranges for the HTML report, lines with context for failure messages. Pure.

Common beginnings and ends are cut off first; what lies between is aligned by its longest common subsequence.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import accumulate, groupby
from typing import NamedTuple

from pytest_llmcompare.text import count, cut, escape, width

BASELINE, CANDIDATE, EQUAL, BOTH = "  baseline   ", "  candidate  ", "  both       ", "             "

COLUMNS = 100  # of a text line, label not included
CONTEXT_LINES = 2  # equal lines shown around lines that differ
CONTEXT_CHARS = 30  # equal text shown around what differs in a long line
CONTEXT_WORDS = 3  # the same between two places that differ
MOST_LINES = 100  # lines aligned per text
MOST_WORDS = 200  # words aligned per line of a failure message
MOST_ALIGNED = 4000  # words aligned per text in a report
MOST_SHOWN = 14  # lines of a message

Range = tuple[int, int]
"""Start and end of a part of a text, the end not included."""

_CHUNK = re.compile(r"\S+\s*|\s+")
_WORD = re.compile(r"\s+|\w+|[^\w\s]")


def word_changes(baseline: str, candidate: str) -> tuple[list[Range], list[Range]]:
    """Find the words in which two texts differ.

    Args:
        baseline: The approved text.
        candidate: Today's text.

    Returns:
        The ranges of the baseline that the candidate lacks, and the ranges of the candidate that the baseline lacks,
        in code points and in order. If more than `MOST_ALIGNED` words lie between the common beginning and the common
        end, all of them count as changed.
    """
    changes = paired_changes(baseline, candidate)
    removed, added = [change[0] for change in changes], [change[1] for change in changes]
    return [part for part in removed if part[0] < part[1]], [part for part in added if part[0] < part[1]]


def paired_changes(baseline: str, candidate: str) -> list[tuple[Range, Range]]:
    """Find the same as `word_changes`, in pairs: what the baseline has at a place, and what the candidate has there."""
    ours, theirs = _words(baseline), _words(candidate)
    start, end = common_ends(ours, theirs)
    our_middle, their_middle = ours[start : len(ours) - end], theirs[start : len(theirs) - end]
    if max(len(our_middle), len(their_middle)) > MOST_ALIGNED:
        stretches = [_Stretch(False, 0, len(our_middle), 0, len(their_middle))]
    else:
        stretches = [*_aligned(our_middle, their_middle)]
    at, other_at = ([*accumulate(map(len, words), initial=0)][start:] for words in (ours, theirs))
    changes = []
    # A blank between two changes does not part them.
    for kept, group in groupby(
        stretches, lambda part: part.equal and any(map(str.strip, our_middle[part.start : part.end]))
    ):
        parts = [*group]
        if not kept:
            ranges = (
                (at[parts[0].start], at[parts[-1].end]),
                (other_at[parts[0].other_start], other_at[parts[-1].other_end]),
            )
            changes.append(ranges)
    return changes


def _words(text: str) -> list[str]:
    """Words, white space and single signs that make up the text; a combining mark stays with its letter."""
    if text.isascii():
        return _WORD.findall(text)
    letters = "".join("x" if unicodedata.category(char)[0] == "M" else char for char in text)
    return [text[word.start() : word.end()] for word in _WORD.finditer(letters)]


class _Stretch(NamedTuple):
    """Items `start:end` of one sequence opposite `other_start:other_end` of another."""

    equal: bool
    start: int
    end: int
    other_start: int
    other_end: int


def _aligned(one: Sequence[str], other: Sequence[str]) -> Iterator[_Stretch]:
    """Divide two sequences into stretches that are equal and stretches that differ, by turns."""
    start = other_start = at = other_at = 0
    for next_at, next_other in [*_common_items(one, other), (len(one), len(other))]:
        if (next_at, next_other) != (at, other_at):
            if start < at:
                yield _Stretch(True, start, at, other_start, other_at)
            yield _Stretch(False, at, next_at, other_at, next_other)
            start, other_start = next_at, next_other
        at, other_at = next_at + 1, next_other + 1
    if start < len(one):
        yield _Stretch(True, start, len(one), other_start, len(other))


def _common_items(one: Sequence[str], other: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of indexes of a longest common subsequence.

    Bit `i` of a row is 0 where taking in item `i` of `one` makes the subsequence longer; a row is computed from the one
    before in a few operations on long integers, so that texts that repeat a few words take no longer than others.
    """
    places: dict[str, int] = {}
    for at, item in enumerate(one):
        places[item] = places.get(item, 0) | 1 << at
    full = (1 << len(one)) - 1
    rows = [full]
    for item in other:
        row = rows[-1]
        matching = row & places.get(item, 0)
        rows.append((row + matching | row - matching) & full)
    pairs = []
    at, other_at = len(one), len(other)
    while at and other_at:
        if rows[other_at] >> at - 1 & 1:
            at -= 1
        elif not rows[other_at - 1] >> at - 1 & 1:
            other_at -= 1
        else:
            at, other_at = at - 1, other_at - 1
            pairs.append((at, other_at))
    return pairs[::-1]


def difference(baseline: str, candidate: str, why_equal: str = "") -> list[str]:
    """Show baseline and candidate, escaped, with a label before each line.

    Args:
        baseline: The approved text.
        candidate: Today's text.
        why_equal: A line to add if the texts do not differ.
    """
    if baseline == candidate:
        return [*single(EQUAL, candidate), *filter(None, [why_equal])]
    if not (baseline and candidate):
        return [*single(BASELINE, baseline), *single(CANDIDATE, candidate)]
    ours, theirs = baseline.split("\n"), candidate.split("\n")
    start, end = common_ends(ours, theirs)
    rows = [
        *_context(ours[:start], at_end=True),
        *_changed(ours[start : len(ours) - end], theirs[start : len(theirs) - end]),
        *_context(ours[len(ours) - end :], at_end=False),
    ]
    return _capped(rows)


def single(label: str, text: str) -> list[str]:
    """Show one text with a label before each line."""
    if not text:
        return [f"{label}(no text)"]
    lines = text.split("\n")
    rows = [f"{label}{_line(line)}".rstrip() for line in lines[:MOST_SHOWN]]
    return rows if len(lines) <= MOST_SHOWN else [*rows, f"{label}… {count(len(lines) - MOST_SHOWN, 'more line')}"]


def common_ends(ours: Sequence[object], theirs: Sequence[object]) -> tuple[int, int]:
    """Return how many items two sequences share at the start, and how many of the rest at the end."""
    most = min(len(ours), len(theirs))
    start = next((at for at in range(most) if ours[at] != theirs[at]), most)
    rest = most - start
    return start, next((at for at in range(rest) if ours[-1 - at] != theirs[-1 - at]), rest)


def differing_pair(ours: str, theirs: str) -> tuple[str, str]:
    """Show two lines that differ, each on at most `COLUMNS` columns that include the first difference."""
    if max(len(ours), len(theirs)) <= COLUMNS and max(width(_line(ours)), width(_line(theirs))) <= COLUMNS:
        return _line(ours), _line(theirs)
    start, end = common_ends(ours, theirs)
    head = ours[:start] if start <= CONTEXT_CHARS else "…" + _from_word(ours[start - CONTEXT_CHARS : start])
    tail = ours[len(ours) - end :][:CONTEXT_CHARS] + ("…" if end > CONTEXT_CHARS else "")
    middles = _elided(ours[start : len(ours) - end], theirs[start : len(theirs) - end])
    our_line, their_line = (_line(head + middle + tail) for middle in middles)
    return our_line, their_line


def _context(lines: Sequence[str], *, at_end: bool) -> list[str]:
    """The equal lines nearest to the difference, and how many were left out."""
    if len(lines) <= CONTEXT_LINES + 1:  # a line on how many were left out would take no less room
        return [BOTH + _line(line) for line in lines]
    near = lines[-CONTEXT_LINES:] if at_end else lines[:CONTEXT_LINES]
    shown = [BOTH + _line(line) for line in near]
    left_out = f"{BOTH}… {count(len(lines) - len(near), 'equal line')}"
    return [left_out, *shown] if at_end else [*shown, left_out]


def _changed(ours: Sequence[str], theirs: Sequence[str]) -> Iterator[str]:
    """The lines between the common ends."""
    for equal, start, end, other_start, other_end in _aligned(ours[:MOST_LINES], theirs[:MOST_LINES]):
        if equal:
            yield from (BOTH + _line(line) for line in ours[start:end])
        elif end - start == other_end - other_start:
            for our_line, their_line in zip(ours[start:end], theirs[other_start:other_end], strict=True):
                shown = differing_pair(our_line, their_line)
                yield BASELINE + (shown[0] or r"\n")
                yield CANDIDATE + (shown[1] or r"\n")
        else:
            yield from (BASELINE + (_line(line) or r"\n") for line in ours[start:end])
            yield from (CANDIDATE + (_line(line) or r"\n") for line in theirs[other_start:other_end])
    for label, lines in ((BASELINE, ours), (CANDIDATE, theirs)):
        if len(lines) > MOST_LINES:
            yield f"{label}… {count(len(lines) - MOST_LINES, 'more line')}"


def _elided(ours: str, theirs: str) -> tuple[str, str]:
    """Two texts without the long stretches that they share."""
    our_chunks, their_chunks = _CHUNK.findall(ours)[:MOST_WORDS], _CHUNK.findall(theirs)[:MOST_WORDS]
    shown: tuple[list[str], list[str]] = ([], [])
    for equal, start, end, other_start, other_end in _aligned(our_chunks, their_chunks):
        words = our_chunks[start:end]
        if equal and len(words) > 2 * CONTEXT_WORDS + 1:
            words = [*words[:CONTEXT_WORDS], "… ", *words[-CONTEXT_WORDS:]]
        shown[0].extend(words)
        shown[1].extend(words if equal else their_chunks[other_start:other_end])
    return "".join(shown[0]), "".join(shown[1])


def _from_word(text: str) -> str:
    """Cut the text before its first whole word."""
    return text[text.find(" ") + 1 :]


def _line(text: str) -> str:
    """One line escaped and cut, with a space at its end made visible."""
    shown = cut(escape(text[: 2 * COLUMNS]), COLUMNS)
    return shown[:-1] + r"\x20" if shown.endswith(" ") else shown


def _capped(rows: list[str]) -> list[str]:
    """At most `MOST_SHOWN` lines, with the number of those left out."""
    rows = [row.rstrip() for row in rows]
    if len(rows) <= MOST_SHOWN:
        return rows
    return [*rows[: MOST_SHOWN - 1], f"{BOTH}… {count(len(rows) - MOST_SHOWN + 1, 'more line')}"]
