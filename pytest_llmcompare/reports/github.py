"""Annotations on the lines of a pull request: workflow commands in the log of a GitHub step. Pure.

https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands#setting-an-error-message
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from pytest_llmcompare.comparison.summary import Cell
from pytest_llmcompare.judgement import UNDECIDED, Verdict, severity_of
from pytest_llmcompare.text import count, disarm

from .messages import failure_lines
from .report import Report

Location = tuple[str, int | None, str]
"""pytest's location of a test: file relative to its root folder, line counted from 0, name."""


def on_github() -> bool:
    """True in a step of a GitHub workflow."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


class Places:
    """Finds the files and lines of tests in the repository.

    Attributes:
        root: pytest's root folder.
        locations: pytest's locations of tests, by node id.
    """

    def __init__(self, root: Path, locations: Mapping[str, Location]) -> None:
        self.root = root
        self.locations = locations

    def place(self, nodeid: str) -> FileLine | None:
        """Return file and line of a test; None if it is outside of the repository, so that no other file is blamed."""
        file, line, _ = self.locations.get(nodeid, ("", None, ""))
        workspace = Path(os.path.realpath(os.environ.get("GITHUB_WORKSPACE") or self.root))
        path = Path(os.path.realpath(self.root / file))
        if not file or not path.is_relative_to(workspace):
            return None
        return FileLine(path.relative_to(workspace).as_posix(), (line or 0) + 1)


MOST = 10
"""Most errors, and most warnings, that GitHub shows of a step; it drops further ones silently."""

MOST_NAMED = 5  # cases named in one annotation
TITLE = "model comparison"

ESCAPES = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
PROPERTY_ESCAPES = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A", ":": "%3A", ",": "%2C"})


class FileLine(NamedTuple):
    """File as GitHub knows it, and line, counted from 1."""

    file: str
    line: int


class Annotation(NamedTuple):
    """An annotation: `error` or `warning`, title, text, and the line that it is for."""

    level: str
    title: str
    text: str
    place: FileLine | None = None


def annotation_lines(report: Report, faults: Iterable[str], place: Callable[[str], FileLine | None]) -> list[str]:
    """Return the workflow commands of a run: an error per failure, a warning per silent drift, similar ones merged.

    Args:
        report: The run.
        faults: Other reasons why it failed.
        place: Returns file and line of a test, given its node id; None if GitHub does not know the file.
    """
    merged: dict[tuple[object, ...], list[Cell]] = {}
    for cell in sorted(report.summary.cells, key=lambda cell: -severity_of(cell.verdict)):
        if cell.verdict in (Verdict.ERROR, *UNDECIDED) and not cell.accepted:
            merged.setdefault(merge_key(cell), []).append(cell)
    annotations = [annotation(cells, report, place) for cells in merged.values()]
    annotations += [Annotation("error", TITLE, "\n".join(map(disarm, fault.splitlines()))) for fault in faults]
    return [command(each) for level in ("error", "warning") for each in capped(level, annotations)]


def merge_key(cell: Cell) -> tuple[object, ...]:
    """Return a key; cases with the same key share an annotation."""
    judged = cell.result.judgement
    own: tuple[object, ...] = ()
    if judged is not None and cell.verdict is Verdict.DRIFTED:
        own = (judged.baseline_token, judged.candidate_token)
    elif judged is not None and cell.verdict in (Verdict.ERROR, Verdict.STALE):
        own = (judged.reason,)
    return (cell.result.passed, cell.key.group.folder, cell.key.group.table, cell.key.group.model, cell.verdict, *own)


def annotation(cells: list[Cell], report: Report, place: Callable[[str], FileLine | None]) -> Annotation:
    """Make one annotation for similar cases."""
    first, others = cells[0], cells[1:]
    assert first.verdict is not None
    more = f", and {count(len(others), 'more case')} alike" if others else ""
    lines = failure_lines(first.result, report.accept(first))
    if others:
        named = ", ".join(str(cell.key) for cell in others[:MOST_NAMED])
        rest = f" and {len(others) - MOST_NAMED:,} more" if len(others) > MOST_NAMED else ""
        lines.append(f"Alike: {disarm(named)}{rest}")
    title = disarm(f"{first.key}: {first.verdict.look.meaning}{more}")
    level = "warning" if first.result.passed else "error"
    return Annotation(level, title, "\n".join(lines), place(first.result.nodeid))


def capped(level: str, annotations: Iterable[Annotation]) -> Iterator[Annotation]:
    """Yield the annotations of a level; if there are too many, the last one counts those left out."""
    own = [annotation for annotation in annotations if annotation.level == level]
    if len(own) <= MOST:
        yield from own
        return
    yield from own[: MOST - 1]
    yield Annotation(level, TITLE, f"{len(own) - MOST + 1:,} more of these: see the end of the log, or the report.")


def command(one: Annotation) -> str:
    """Format an annotation as a workflow command."""
    where = {"file": one.place.file, "line": str(one.place.line)} if one.place else {}
    properties = {**where, "title": one.title}
    listed = ",".join(f"{name}={value.translate(PROPERTY_ESCAPES)}" for name, value in properties.items())
    return f"::{one.level} {listed}::{one.text.translate(ESCAPES)}"
