r"""The HTML report: one file with its data, style and script in it, which asks no network for anything. Pure.

The data is JSON in a script element that no browser runs; the page puts it in place as text only. The parts of the page
are in the folder `page`.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files
from itertools import accumulate

from .document import WORDS, Document
from .style import ACCEPTED, MEANINGS, SIGNS
from .text_diff import Ranges, changed_ranges

MARK = re.compile(r"(/\*[A-Z]+\*/)")

SHARED = ("text.js", "state.js", "header.js", "grid.js", "panel.js", "keys.js")
"""In this order: each uses what stands before it."""

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)
"""What a page in a file may do: a file has no headers that could name its own script."""

NOT_SHOWN = ("token_ids", "margins", "path", "environment", "verified", "unverified")
"""What the page has no place for; it would make the file several times as large."""


def html_report(document: Document) -> str:
    """A report as one HTML page."""
    style, script = page_part("report.css"), script_of(*SHARED, "start.js")
    return assembled(style=style, script=script, policy=POLICY, data=slim_document(document))


def slim_document(document: Document) -> Document:
    """A report without what the page does not show."""
    data = {**document, "tables": [slim(table) for table in document["tables"]]}
    for part in ("groups", "equal_drifts"):
        data.pop(part)
    return data


def script_of(*names: str) -> str:
    """Files of the page as one script."""
    scripts = "\n".join(page_part(name) for name in names)
    return f'(() => {{\n"use strict";\n{scripts}\n}})();'


def assembled(*, style: str, script: str, policy: str, data: Document, further: str = "", keys: str = "") -> str:
    """The page.

    Args:
        style: Its style sheet.
        script: Its script.
        policy: What the browser lets it do, as a content security policy.
        data: What it shows.
        further: More elements.
        keys: More items of the list of keys.
    """
    parts = {
        "/*POLICY*/": policy,
        "/*STYLE*/": style,
        "/*KEYS*/": keys,
        "/*FURTHER*/": further,
        "/*WORDS*/": embedded(words()),
        "/*DATA*/": embedded(data),
        "/*SCRIPT*/": script,
    }
    pieces = MARK.split(page_part("report.html"))  # at once, so that what is in a part is never taken for a mark
    return "".join(parts.get(piece, piece) for piece in pieces)


def slim(table: Document) -> Document:
    """A table without what the page does not show."""
    rows = [{**row, "cases": [case and slim_case(case) for case in row["cases"]]} for row in table["rows"]]
    return {**table, "rows": rows}


def slim_case(case: Document) -> Document:
    """A case as the page shows it: where its texts differ, its log-probabilities with three digits."""
    candidate = case["candidate"]
    if candidate is None:
        return case
    kept = {key: value for key, value in candidate.items() if key not in NOT_SHOWN}
    if candidate["logprobs"] is not None:
        kept["logprobs"] = [None if value is None else round(value, 3) for value in candidate["logprobs"]]
    return {**case, "candidate": kept, "changes": changes(case["baseline"], candidate["text"])}


def changes(baseline: str | None, candidate: str) -> Document | None:
    """Where two texts differ, in UTF-16 units, in which JavaScript counts; None if they do not."""
    if baseline is None or baseline == candidate:
        return None
    ranges = changed_ranges(baseline, candidate)
    return {"baseline": utf16(ranges[0], baseline), "candidate": utf16(ranges[1], candidate)}


def utf16(ranges: Ranges, text: str) -> Ranges:
    """Ranges of characters as ranges of UTF-16 units."""
    if text.isascii():
        return ranges
    units = [0, *accumulate(1 + (char > "\uffff") for char in text)]
    return [(units[start], units[stop]) for start, stop in ranges]


def words() -> Document:
    """Verdicts with their signs and meanings, the worst first."""
    verdicts = [
        {
            "verdict": "none" if verdict is None else str(verdict),
            "sign": SIGNS[verdict].strip() or "·",
            "word": word,
            "meaning": "not compared" if verdict is None else MEANINGS[verdict],
        }
        for verdict, word in WORDS.items()
    ]
    return {"accepted": ACCEPTED, "verdicts": verdicts}


def embedded(data: Document) -> str:
    r"""Data as JSON that can stand in a script element: nothing in it opens or closes a tag or a comment.

    It is ASCII, so the line separators U+2028 and U+2029 are escaped, too.
    """
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


@cache
def page_part(name: str) -> str:
    """A file of the page."""
    return files(__package__).joinpath("page", name).read_text(encoding="utf-8")
