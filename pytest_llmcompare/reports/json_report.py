"""The JSON report: all of a run, for other programs. Pure."""

from __future__ import annotations

import json

from .document import Document


def json_report(document: Document) -> str:
    """A report as JSON text. It is ASCII, so that any text survives any channel, lone surrogates too."""
    return json.dumps(document, allow_nan=False) + "\n"
