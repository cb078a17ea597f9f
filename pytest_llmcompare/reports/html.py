"""The HTML report: one file that holds its data, style and script and makes no network request. Pure.

The data is JSON in a script element that browsers do not run; the page inserts it as text only. The parts of the page
are in the folder `page`.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files

from .charts import charts
from .page_data import looks, slim_document, words
from .report_data import ReportData

MARK = re.compile(r"(/\*[A-Z]+\*/)")

KEYS = "<div><dt><kbd>n</kbd></dt><dd>next case that drifted</dd></div>\n    "
"""Keys of this page only, as HTML."""

SHARED = ("text.js", "state.js", "header.js", "grid.js", "panel.js", "keys.js")
"""In this order: each uses those before it."""

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)
"""Content security policy of a page in a file, which has no headers that could name its own script."""


def html_report(document: ReportData) -> str:
    """Write a report as one HTML page."""
    style, script = page_part("report.css"), script_of(*SHARED, "start.js")
    data = slim_document(document)
    return assembled(style=style, script=script, policy=POLICY, data=data, charts=charts(document))


def script_of(*names: str) -> str:
    """Join files of the page to one script."""
    scripts = "\n".join(page_part(name) for name in names)
    return f'(() => {{\n"use strict";\n{scripts}\n}})();'


def assembled(
    *, style: str, script: str, policy: str, data: ReportData, charts: str = "", further: str = "", keys: str = KEYS
) -> str:
    """Put a page together.

    Args:
        style: Style sheet.
        script: Script.
        policy: Content security policy.
        data: Data to show.
        charts: HTML of the histograms.
        further: HTML of more elements.
        keys: HTML of more items in the list of keys.
    """
    parts = {
        "/*POLICY*/": policy,
        "/*STYLE*/": style,
        "/*KEYS*/": keys,
        "/*CHARTS*/": charts,
        "/*FURTHER*/": further,
        "/*WORDS*/": embedded(words()),
        "/*DATA*/": embedded(data),
        "/*SCRIPT*/": script,
    }
    pieces = MARK.split(page_part("report.html"))  # at once, so that marks inside of a part stay text
    return "".join(parts.get(piece, piece) for piece in pieces)


def embedded(data: ReportData | list[ReportData]) -> str:
    r"""Write data as JSON for a script element: nothing in it opens or closes a tag or a comment.

    It is ASCII, so the line separators U+2028 and U+2029 are escaped, too.
    """
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


@cache
def page_part(name: str) -> str:
    """Read a file of the page; a style sheet gets the colours of verdicts where it has a mark for them."""
    colours = " ".join(f"--{kind}: light-dark({', '.join(look.css)});" for kind, look in looks())
    return files(__package__).joinpath("page", name).read_text(encoding="utf-8").replace("/*COLOURS*/", colours)
