"""Baseline files that a merge left with conflict markers.

Both sides of the merge are parsed as whole files. A case is in conflict if one of its lines is between markers and the
sides differ, so hunks may cut through cases or span several. A case that occurs twice is in conflict, too: git writes
no markers if both sides add a case of the same name in different places.

    <<<<<<< HEAD                   # opening
    ||||||| merged common ancestors  # with merge.conflictStyle=diff3; what follows is left out
    =======
    >>>>>>> other                  # closing
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pytest_llmcompare.generation import Environment
from pytest_llmcompare.records import RowKey

from .case_lines import shortened, written
from .document import CaseRecord, Conflict, Document, LineFault, larger_noises, next_name

OPENING, CLOSING = "<" * 7, ">" * 7

_MARKER = re.compile(r"(<{7,}|\|{7,}|={7,}|>{7,})(?: .*)?")


class Hunk(NamedTuple):
    """A pair of conflict markers: their line numbers and their lines."""

    first: int
    last: int
    opening: str
    closing: str

    @property
    def parting(self) -> str:
        """The marker between the sides, as long as the other markers of the conflict."""
        return "=" * _marker_size(self.opening)


class Side(NamedTuple):
    """One side of the merge as a whole file.

    Attributes:
        lines: Its lines.
        numbers: The number of each line in the file, from 1.
        hunks: The hunk that each line is in, or None.
    """

    lines: list[str]
    numbers: list[int]
    hunks: list[Hunk | None]

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(self.lines)

    def add(self, numbered: list[tuple[int, str]], hunk: Hunk | None) -> None:
        """Append lines."""
        for number, line in numbered:
            self.lines.append(line)
            self.numbers.append(number)
            self.hunks.append(hunk)

    def touched(self, document: Document) -> dict[RowKey, set[Hunk]]:
        """The hunks in which each case has a line."""
        records = sorted([*document.records.values(), *document.repeated], key=lambda record: record.number)
        starts = [record.number - 1 for record in records]
        touched: dict[RowKey, set[Hunk]] = {record.row: set() for record in records}
        for record, start, end in zip(records, starts, [*starts[1:], len(self.lines)], strict=True):
            touched[record.row].update(hunk for hunk in self.hunks[start:end] if hunk)
        return touched

    def span(self, record: CaseRecord) -> tuple[int, int]:
        """Numbers of the first and the last line of a case."""
        first = self.numbers[record.number - 1]
        return first, first + record.lines.count("\n")


Numbered = tuple[int, str]
_TWICE = Hunk(0, 0, f"{OPENING} first", f"{'>' * 7} second")  # if a merge left no markers
_SHAPES = ("<=>", "<|=>")  # the order of the markers, without and with the common ancestor


def take_apart(text: str) -> tuple[Side, Side]:
    """Split a file into our side and theirs.

    Raises:
        LineFault: A marker lacks its counterparts.
    """
    ours, theirs = Side([], [], []), Side([], [], [])
    numbered = iter(enumerate(text.split("\n"), start=1))
    for line in numbered:
        if _MARKER.fullmatch(line[1]):
            hunk, parts = _hunk(line, numbered)
            ours.add(parts["<"], hunk)
            theirs.add(parts["="], hunk)
        else:
            ours.add([line], None)
            theirs.add([line], None)
    return ours, theirs


def _hunk(opening: Numbered, following: Iterator[Numbered]) -> tuple[Hunk, dict[str, list[Numbered]]]:
    """Read to the end of a hunk; return its lines by the marker before them."""
    markers = kind = opening[1][0]
    size = _marker_size(opening[1])
    parts: dict[str, list[Numbered]] = {kind: []}
    for line in following:
        marker = _MARKER.fullmatch(line[1])
        if marker is None or len(marker[1]) != size:  # longer ones belong to a conflict within the ancestor
            parts[kind].append(line)
            continue
        kind = marker[1][0]
        markers += kind
        parts[kind] = []
        if kind == ">" or not any(shape.startswith(markers) for shape in _SHAPES):
            break
    if markers not in _SHAPES:
        raise LineFault(opening[0], f"{shortened(opening[1])} is a merge conflict marker without its counterparts.")
    return Hunk(opening[0], line[0], opening[1], line[1]), parts


def _marker_size(marker: str) -> int:
    """Number of characters of a marker, without its label."""
    return len(marker) - len(marker.lstrip(marker[0]))


def reconcile(ours: Document, our_side: Side, theirs: Document, their_side: Side) -> Document:
    """Join both sides: cases that are equal can be used, the others are in conflict."""
    environments, new_names = _merged_environments(ours, theirs)
    ambiguous = tuple(name for name, new in new_names.items() if new != name and name in ours.environments)
    touched, their_touched = our_side.touched(ours), their_side.touched(theirs)
    their_noises = {new_names.get(name, name): noise for name, noise in theirs.noises.items()}
    noises = larger_noises(ours.noises, their_noises)
    document = Document(ours.table, ours.model, environments, noises, ambiguous=ambiguous)
    for row in ours.records | theirs.records:
        hunks = sorted(touched.get(row, set()) | their_touched.get(row, set()))
        our = ours.versions(row)
        their = [_renamed(record, new_names) for record in theirs.versions(row)] if hunks else []
        if our and (their or not hunks) and _equal([*our, *their]):
            record = our[0]._replace(number=our_side.numbers[our[0].number - 1])
            unknown = not hunks and record.environment in ambiguous
            document.records[row] = written(record._replace(environment="")) if unknown else record
        elif hunks:
            document.conflicts[row] = _conflict(our, their, [hunk[:2] for hunk in hunks], hunks[0])
        else:
            document.conflicts[row] = _conflict(our[:1], our[1:], [our_side.span(record) for record in our], _TWICE)
    return document


def _renamed(record: CaseRecord, names: dict[str, str]) -> CaseRecord:
    return written(record._replace(environment=names.get(record.environment, record.environment)))


def _merged_environments(ours: Document, theirs: Document) -> tuple[dict[str, Environment], dict[str, str]]:
    """The environments of both sides, and the new names of theirs."""
    merged = dict(ours.environments)
    new_names = {}
    for name, environment in theirs.environments.items():
        same = [known for known, value in merged.items() if value == environment]
        new_names[name] = same[0] if same else name if name not in merged else next_name(merged | theirs.environments)
        merged[new_names[name]] = environment
        merged.setdefault(name, environment)  # cases outside of the hunks go on calling it so
    return merged, new_names


def _equal(records: list[CaseRecord]) -> bool:
    """True if records differ at most in environment and comment, which nobody has to decide about."""
    return len({record._replace(lines="", number=0, environment="", comment="") for record in records}) == 1


def _conflict(our: list[CaseRecord], their: list[CaseRecord], spans: Sequence[tuple[int, int]], hunk: Hunk) -> Conflict:
    sides = ["\n\n".join([record.lines for record in side]) for side in (our, their)]
    lines = (hunk.opening, sides[0], hunk.parting, sides[1], hunk.closing)
    return Conflict(
        "\n".join([line for line in lines if line]),
        "lines " + ", ".join(f"{first}-{last}" for first, last in spans),
        frozenset(record.environment for record in [*our, *their]),
    )
