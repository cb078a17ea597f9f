"""Two texts, and where they part: the lines of a failure message that show baseline and candidate. Pure.

What both begin and end with is cut first. Lines are matched with lines; in long lines, words with words, so that
equal stretches can be left out. Matching looks at a bounded number of them: its time grows with their square.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import accumulate

from pytest_llmcompare.text import count, cut, escape, width

BASELINE, CANDIDATE, EQUAL, BOTH = "  baseline   ", "  candidate  ", "  both       ", "             "

COLUMNS = 100  # of a text line, label not included
CONTEXT_LINES = 2  # equal lines shown around lines that differ
CONTEXT_CHARS = 30  # equal text shown around what differs in a long line
CONTEXT_WORDS = 3  # the same between two places that differ
MOST_LINES = 100  # matched per text
MOST_WORDS = 200  # matched per line; 1,000 take seconds where they are few words again and again
MOST_SHOWN = 14  # lines of a message

_WORD = re.compile(r"\S+\s*|\s+")
_MARKS = r"!-/:-@\[-^`{-~\u2010-\u2027\u3001-\u303f\uff01-\uff0f"  # punctuation, each of which stands for itself
_PIECE = re.compile(rf"\s+|[{_MARKS}]|[^\s{_MARKS}]+")

Ranges = list[tuple[int, int]]
"""Parts of a text: where each begins and ends, in characters."""


def difference(baseline: str, candidate: str, why_equal: str = "") -> list[str]:
    """Baseline and candidate, escaped, with a label before each line.

    Args:
        baseline: The approved text.
        candidate: Today's text.
        why_equal: A line to add where the texts do not differ.
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


def changed_ranges(baseline: str, candidate: str) -> tuple[Ranges, Ranges]:
    """Return which parts of each text are not in the other, word by word.

    After `MOST_WORDS` words between the common ends, all the rest counts as changed.
    """
    ours, theirs = _PIECE.findall(baseline), _PIECE.findall(candidate)
    start, end = common_ends(ours, theirs)
    one, other = ours[start : len(ours) - end], theirs[start : len(theirs) - end]
    # Blanks are equal only beside equal words: one between two changed words does not split what is marked.
    matcher = SequenceMatcher(str.isspace, one[:MOST_WORDS], other[:MOST_WORDS], autojunk=False)
    blocks = matcher.get_matching_blocks()
    offset = sum(map(len, ours[:start]))
    return (
        _ranges_between(one, [(block.a, block.size) for block in blocks], offset),
        _ranges_between(other, [(block.b, block.size) for block in blocks], offset),
    )


def _ranges_between(words: Sequence[str], equal: Sequence[tuple[int, int]], offset: int) -> Ranges:
    """The text between runs of equal words, each given as the index of its first word and its number of words."""
    ends = [offset, *(offset + length for length in accumulate(map(len, words)))]
    starts = [0, *(at + size for at, size in equal if size)]
    stops = [*(at for at, size in equal if size), len(words)]
    return [(ends[start], ends[stop]) for start, stop in zip(starts, stops, strict=True) if stop > start]


def single(label: str, text: str) -> list[str]:
    """One text under its label."""
    if not text:
        return [f"{label}(no text)"]
    lines = text.split("\n")
    rows = [f"{label}{_line(line)}".rstrip() for line in lines[:MOST_SHOWN]]
    return rows if len(lines) <= MOST_SHOWN else [*rows, f"{label}… {count(len(lines) - MOST_SHOWN, 'more line')}"]


def common_ends(ours: Sequence[object], theirs: Sequence[object]) -> tuple[int, int]:
    """How many items two sequences share at the start, and how many of the others at the end."""
    most = min(len(ours), len(theirs))
    start = next((at for at in range(most) if ours[at] != theirs[at]), most)
    rest = most - start
    return start, next((at for at in range(rest) if ours[-1 - at] != theirs[-1 - at]), rest)


def pair(ours: str, theirs: str) -> tuple[str, str]:
    """Two lines that differ, each on at most `COLUMNS` columns with the first difference in sight."""
    if max(len(ours), len(theirs)) <= COLUMNS and max(width(_line(ours)), width(_line(theirs))) <= COLUMNS:
        return _line(ours), _line(theirs)
    start, end = common_ends(ours, theirs)
    head = ours[:start] if start <= CONTEXT_CHARS else "…" + _from_word(ours[start - CONTEXT_CHARS : start])
    tail = ours[len(ours) - end :][:CONTEXT_CHARS] + ("…" if end > CONTEXT_CHARS else "")
    middles = _elided(ours[start : len(ours) - end], theirs[start : len(theirs) - end])
    one, other = (_line(head + middle + tail) for middle in middles)
    return one, other


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
    matcher = SequenceMatcher(None, ours[:MOST_LINES], theirs[:MOST_LINES], autojunk=False)
    for kind, start, end, other_start, other_end in matcher.get_opcodes():
        if kind == "equal":
            yield from (BOTH + _line(line) for line in ours[start:end])
        elif end - start == other_end - other_start:
            for one, other in zip(ours[start:end], theirs[other_start:other_end], strict=True):
                shown = pair(one, other)
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
    one, other = _WORD.findall(ours)[:MOST_WORDS], _WORD.findall(theirs)[:MOST_WORDS]
    shown: tuple[list[str], list[str]] = ([], [])
    for kind, start, end, other_start, other_end in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        equal = one[start:end]
        if kind == "equal" and len(equal) > 2 * CONTEXT_WORDS + 1:
            equal = [*equal[:CONTEXT_WORDS], "… ", *equal[-CONTEXT_WORDS:]]
        shown[0].extend(equal)
        shown[1].extend(equal if kind == "equal" else other[other_start:other_end])
    return "".join(shown[0]), "".join(shown[1])


def _from_word(text: str) -> str:
    """Text from its first whole word on."""
    return text[text.find(" ") + 1 :]


def _line(text: str) -> str:
    """One line escaped and cut, with a blank at its end made visible."""
    shown = cut(escape(text[: 2 * COLUMNS]), COLUMNS)
    return shown[:-1] + r"\x20" if shown.endswith(" ") else shown


def _capped(rows: list[str]) -> list[str]:
    """At most `MOST_SHOWN` lines, with the number of those left out."""
    rows = [row.rstrip() for row in rows]
    if len(rows) <= MOST_SHOWN:
        return rows
    return [*rows[: MOST_SHOWN - 1], f"{BOTH}… {count(len(rows) - MOST_SHOWN + 1, 'more line')}"]
