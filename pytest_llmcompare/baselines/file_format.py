"""The baseline file: text to document and back.

    #llmcompare-baseline 1
    #table trivia
    #model distilgpt2
    #env e1 transformers=5.23.0 torch=2.13.0 device=cpu dtype=float32 weights=5b1c9e
    #noise e1 1.3e-06

    case sky_color
    # Q: What color is the sky? …
    .input 3f1c9a2e  .settings 7d21a0c4  .env e1  .stop length  .tokens 10
    | Blue.

If the last case has no tokens, the last line is `#end`.

The first characters of a line say what it is. So blank lines and white space at its ends mean nothing, and content and
conflict markers of a merge cannot be mistaken for each other.
"""

from __future__ import annotations

import re

from pytest_llmcompare.comparison.environments import NOISE
from pytest_llmcompare.comparison.measured_noise import MeasuredNoise

from .case_lines import read_record, shortened
from .document import ENVIRONMENT_NAME, NO_ROW, Document, LineFault, larger_noises, sort_key
from .escapes import escape_name, escape_word, unescape, with_line_breaks
from .merge_conflicts import CLOSING, OPENING, Side, reconcile, take_apart

VERSION = 1

END = "#end"
"""Last line if the last case has no tokens; without it, a missing line break at the end may mean a cut-off file."""

_END_LINE = re.compile(rf"^{END}$", re.MULTILINE)
_FIRST_LINE = re.compile(r"#llmcompare-baseline ([0-9]+)")
_TRAILING = re.compile(r"[ \t]+$", re.MULTILINE)
_RECORD_ANEW = "Delete the file to record anew with pytest --llm-update, or restore it"


def parse(text: str, source: str) -> Document:
    """Read a baseline file.

    Args:
        text: All of the file; line breaks of any system.
        source: Name of the file for messages.

    Raises:
        BaselineError: A line cannot be read, or the file was written by a newer version.
    """
    newline = "\r\n" if text.partition("\n")[0].endswith("\r") else "\n"
    text = with_line_breaks(text)
    ends = text.endswith("\n")
    text += "" if ends else "\n"
    if " \n" in text or "\t\n" in text:
        text = _TRAILING.sub("", text)
    last = text.rstrip("\n").rpartition("\n")[2]
    text = _END_LINE.sub("", text)
    if not text.strip():
        what = f"the file is empty; expected '#llmcompare-baseline {VERSION}'."
        raise LineFault(1, what, _RECORD_ANEW).error(source)
    try:
        document = _merged(text) if "\n" + OPENING in "\n" + text else _document(text)
        if document.repeated:
            document = _merged(text)
    except LineFault as fault:
        raise fault.error(source) from None
    document.newline = newline
    if not ends and last != END and not last.startswith(CLOSING):
        document.unended = text.rstrip("\n").count("\n") + 1
    return document


def dump(document: Document) -> str:
    """The text of a baseline file: cases sorted, unused environments left out."""
    used = document.used_environments()
    head = [
        f"#llmcompare-baseline {VERSION}",
        f"#table {escape_name(document.table)}",
        f"#model {escape_name(document.model)}",
    ]
    for name in sorted(document.environments.keys() & used, key=lambda name: int(name[1:])):
        pairs = (f"{_key(key)}={escape_word(value)}" for key, value in document.environments[name])
        head.append(f"#env {name} {' '.join(pairs)}")
        if noise := document.noises.get(name):
            head.append(f"#noise {name} {noise}")
    end = [] if _shows_its_end(document) else [END]
    text = "\n\n".join(["\n".join(head), *document.blocks(), *end]) + "\n"
    return text.replace("\n", document.newline)


def _shows_its_end(document: Document) -> bool:
    """True if the tokens file tells whether the last case is complete, by the hash of its text."""
    last = document.records.get(max(document.records.keys() | document.conflicts.keys(), key=sort_key, default=NO_ROW))
    return last is None or last.tokens is not None


def _key(key: str) -> str:
    return escape_word(key).replace("=", r"\x3d")


def _merged(text: str) -> Document:
    """Parse a file that a merge left with conflict markers or duplicate cases."""
    ours, theirs = take_apart(text)
    return reconcile(_side(ours), ours, _side(theirs), theirs)


def _side(side: Side) -> Document:
    """Parse one side of a merge."""
    try:
        return _document(side.text)
    except LineFault as fault:
        number = side.numbers[min(fault.line, len(side.numbers)) - 1]
        raise LineFault(number, fault.what, fault.way_out, newer=fault.newer) from None


def _document(text: str) -> Document:
    """Parse a file without conflict markers."""
    head, *blocks = text.split("\ncase ")
    document = _head(head)
    number = head.count("\n") + 2
    for block in blocks:
        record = read_record(block, number)
        if document.records.setdefault(record.row, record) is not record:
            document.repeated.append(record)
        number += block.count("\n") + 1
    return document


def _head(text: str) -> Document:
    lines = text.split("\n")
    _check_version(lines[0])
    document = Document("", "")
    for number, line in enumerate(lines[1:], start=2):
        if line.strip() and not _take_head_line(document, line):
            what = f"{shortened(line)} does not belong into the head of the file, or differs from a line above."
            raise LineFault(number, what)
    for key, name in (("table", document.table), ("model", document.model)):
        if not name:
            raise LineFault(len(lines), f"the head of the file has no line '#{key} NAME'.")
    return document


def _take_head_line(document: Document, line: str) -> bool:
    key, _, value = line.partition(" ")
    try:
        if key == "#table" and not document.table:
            document.table = unescape(value)
        elif key == "#model" and not document.model:
            document.model = unescape(value)
        elif key == "#noise":
            name, noise = value.split()
            if ENVIRONMENT_NAME.fullmatch(name) is None or MeasuredNoise.read(((NOISE, noise),)) is None:
                return False
            document.noises.update(larger_noises(document.noises, {name: noise}))
        else:
            return key == "#env" and _take_environment(document, *value.split())
    except ValueError:
        return False
    return True


def _take_environment(document: Document, name: str = "", *pairs: str) -> bool:
    parts = (pair.partition("=") for pair in pairs)
    environment = tuple((unescape(key), unescape(value)) for key, _, value in parts)
    known = document.environments.setdefault(name, environment)
    return known == environment and ENVIRONMENT_NAME.fullmatch(name) is not None


def _check_version(line: str) -> None:
    match = _FIRST_LINE.fullmatch(line)
    if match is None:
        raise LineFault(
            1, f"{shortened(line)} is not how a baseline file begins; expected '#llmcompare-baseline {VERSION}'."
        )
    if int(match[1]) != VERSION:
        what = f"the file has format {match[1]}; this version of pytest-llmcompare reads format {VERSION}."
        raise LineFault(1, what, newer=True)
