r"""The HTML report: one file with its data, style and script in it, which asks no network for anything. Pure.

The data is JSON in a script element that no browser runs; the page puts it in place as text only. The parts of the page
are in the folder `page`.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

from .document import Document
from .report import WORDS
from .style import ACCEPTED, MEANINGS, SIGNS

SCRIPTS = ("text.js", "difference.js", "state.js", "header.js", "grid.js", "panel.js", "keys.js")
"""In this order: each uses what stands before it."""

NOT_SHOWN = ("token_ids", "margins", "path", "environment", "verified", "unverified")
"""What the page has no place for; it would make the file several times as large."""


def html_report(document: Document) -> str:
    """A report as one HTML page."""
    data = {**document, "tables": [slim(table) for table in document["tables"]]}
    for part in ("groups", "equal_drifts"):
        data.pop(part)
    scripts = "\n".join(page_part(name) for name in SCRIPTS)
    parts = {
        "/*STYLE*/": page_part("report.css"),
        "/*SCRIPT*/": f'(() => {{\n"use strict";\n{scripts}\n}})();',
        "/*WORDS*/": embedded(words()),
        "/*DATA*/": embedded(data),  # the last: what is in it is never taken for a mark
    }
    page = page_part("report.html")
    for mark, text in parts.items():
        before, _, after = page.partition(mark)
        page = before + text + after
    return page


def slim(table: Document) -> Document:
    """A table without what the page does not show."""
    rows = [{**row, "cases": [case and slim_case(case) for case in row["cases"]]} for row in table["rows"]]
    return {**table, "rows": rows}


def slim_case(case: Document) -> Document:
    """A case without what the page does not show, its log-probabilities with as many digits as it shows."""
    said = case["candidate"]
    if said is None:
        return case
    kept = {key: value for key, value in said.items() if key not in NOT_SHOWN}
    if said["logprobs"] is not None:
        kept["logprobs"] = [None if value is None else round(value, 3) for value in said["logprobs"]]
    return {**case, "candidate": kept}


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
