"""URIs of MLflow models: which forms there are, and what they say. Pure."""

from __future__ import annotations

import re

FORMS = "models:/NAME@ALIAS, models:/NAME/VERSION, models:/m-ID or runs:/RUN_ID/PATH"

REGISTERED = re.compile(r"models:/(?P<name>[^/]+?)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+|latest))")
LOGGED = re.compile(r"models:/(?P<id>m-[0-9A-Za-z]+)")
RUN = re.compile(r"runs:/(?P<run>[^/]+)/(?P<path>.*[^/])/?")


def is_complete(uri: str) -> bool:
    """Whether a `models:` or `runs:` URI names one model in one version."""
    return any(form.fullmatch(uri) for form in (REGISTERED, LOGGED, RUN))


def default_name(uri: str) -> str:
    """A short name: `qa-champion`, `qa-3`, `m-1a2b3c4d`, or for a run `model-1a2b3c4d`."""
    if logged := LOGGED.fullmatch(uri):
        return logged["id"][:10]  # `m-` and 8 of its 32 digits
    if registered := REGISTERED.fullmatch(uri):
        return f"{registered['name']}-{registered['alias'] or registered['version']}"
    if run := RUN.fullmatch(uri):
        return f"{run['path'].rpartition('/')[2]}-{run['run'][:8]}"
    return uri
