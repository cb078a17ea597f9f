"""Sources with a scheme (`models:/qa/3`, `openai:MODEL@URL`, `echo:`, `KIND:ANYTHING`), and lists of specs.

Pure, except that `is_below` looks for a folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from pytest_llmcompare.errors import UsageError
from pytest_llmcompare.text import without_secrets

PATH_START = re.compile(r"[./~\\]|[A-Za-z]:[\\/]")
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
HUB_PAGE = re.compile(r"(?:https?://(?:www\.)?(?:huggingface\.co|hf\.co)/|hf:/{0,2})(?P<id>[^/?#]+(?:/[^/?#]+)?)")
MLFLOW = ("models", "runs")
SERVERS = ("http", "https")
ECHO = "echo"
OPENAI = "openai"
TAKEN = (*MLFLOW, *SERVERS, "hf", ECHO, OPENAI)
"""Schemes that have a meaning of their own, so that plugins are not asked for them."""

FORMS = (
    "a hub id (gpt2-large, bigscience/bloom-560m), a folder (./models/tiny), "
    "an MLflow URI (models:/qa@champion, models:/qa/3, runs:/ID/model), a served model (openai:MODEL@URL), "
    "or echo: for answers without a model"
)
HOOK = (
    "A model of a kind of your own is loaded by the hook pytest_llmcompare_load_model, in a plugin or in the "
    "conftest.py of pytest's root folder."
)


def is_mlflow(uri: str, scheme: str, where: str, *, others: bool) -> bool:
    """True if a source with a scheme is a model in MLflow; otherwise a plugin loads it.

    Args:
        uri: The source.
        scheme: Its scheme.
        where: Where it was written, for messages.
        others: Whether plugins load models.

    Raises:
        UsageError: It is neither, or an MLflow URI that does not name a version.
    """
    scheme = scheme.lower()
    if scheme in MLFLOW:
        if not is_complete(uri):
            raise UsageError(
                f"{where}: {without_secrets(uri)!r} is not a complete MLflow model URI. Expected {MLFLOW_FORMS}."
            )
        return True
    if others and scheme not in TAKEN:
        if not uri.partition(":")[2].strip():
            raise UsageError(
                f"{where}: there is nothing after {uri!r}. Expected {uri}ANYTHING, in the form that its plugin takes."
            )
        return False
    raise refused(uri, scheme, where)


def refused(uri: str, scheme: str, where: str) -> UsageError:
    """The error for a scheme that neither this package nor a plugin loads."""
    if page := HUB_PAGE.match(uri):
        return UsageError(f"{where}: a hub model is named by its id, not by its address. Write {page['id']}")
    if scheme in SERVERS:
        return UsageError(
            f"{where}: the address of a server alone names no model. Write openai:MODEL@URL, "
            "with the URL up to and including /v1."
        )
    return UsageError(
        f"{where}: URIs of the scheme {scheme}: are not supported. Expected {FORMS}.\n"
        f"Supported MLflow URIs: {MLFLOW_FORMS}. A folder is given by its path.\n{HOOK}"
    )


MLFLOW_FORMS = "models:/NAME@ALIAS, models:/NAME/VERSION, models:/m-ID or runs:/RUN_ID/PATH"

REGISTERED = re.compile(r"models:/(?P<name>[^/]+?)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+|latest))")
LOGGED = re.compile(r"models:/(?P<id>m-[0-9A-Za-z]+)")
RUN = re.compile(r"runs:/(?P<run>[^/]+)/(?P<path>.*[^/])/?")


def is_complete(uri: str) -> bool:
    """True if a `models:` or `runs:` URI names one model in one version."""
    return any(form.fullmatch(uri) for form in (REGISTERED, LOGGED, RUN))


def name_from_uri(uri: str) -> str:
    """A short name: `qa-champion`, `qa-3`, `m-1a2b3c4d`, or for a run `model-1a2b3c4d`."""
    if logged := LOGGED.fullmatch(uri):
        return logged["id"][:10]  # `m-` and 8 of its 32 digits
    if registered := REGISTERED.fullmatch(uri):
        return f"{registered['name']}-{registered['alias'] or registered['version']}"
    if run := RUN.fullmatch(uri):
        return f"{run['path'].rpartition('/')[2]}-{run['run'][:8]}"
    return uri


def has_known_scheme(text: str, *, others: bool) -> bool:
    """True if a spec begins with a scheme that this package or a plugin knows: no `=` or `@` in it has a meaning."""
    scheme = None if PATH_START.match(text) else SCHEME.match(text)
    if scheme is None:
        return False
    kind = scheme[1].lower()
    return kind in (*MLFLOW, ECHO, OPENAI) or (others and kind not in TAKEN)


def split_specs(texts: Iterable[str], named: Collection[str] = ()) -> tuple[str, ...]:
    """Split comma-separated lists of model specs, without the spaces around each.

    A comma ends a spec, but not one such as `KIND:ANYTHING`, which may contain commas. Such a spec ends where a new
    spec plainly begins: another `KIND:`, a path, a configured name, or `NAME=` with one of these or with a folder.

    Args:
        texts: The lists.
        named: Names of configured models.
    """
    return tuple(spec for text in texts for spec in _split(re.sub(r"[\s,]+$", "", text), named))


def _split(text: str, named: Collection[str]) -> list[str]:
    specs: list[str] = []
    for piece in text.split(","):
        if specs and _may_hold_commas(specs[-1]) and not _begins_spec(piece.strip(), named):
            specs[-1] += f",{piece}"
        else:
            specs.append(piece)
    return [spec.strip() for spec in specs if spec.strip()]


def _source_of(spec: str) -> str:
    name, equals, source = spec.strip().partition("=")
    named = equals and not SCHEME.match(name.strip())
    return source.strip() if named else spec.strip()


def _may_hold_commas(spec: str) -> bool:
    source = _source_of(spec)
    scheme = None if PATH_START.match(source) else SCHEME.match(source)
    if scheme is None or scheme[1].lower() == ECHO:
        return False
    if scheme[1].lower() == OPENAI:
        return "@http" not in source
    return scheme[1].lower() not in MLFLOW or not is_complete(source)


def _begins_spec(piece: str, named: Collection[str]) -> bool:
    source = _source_of(piece)
    if SCHEME.match(source) or PATH_START.match(source) or source.partition("@")[0] in named:
        return True
    return source != piece and ("/" in source or "\\" in source)


def join_specs(specs: Sequence[str]) -> list[str]:
    """Lists of specs, as few as possible, that `split_specs` splits into the same specs again."""
    lists: list[str] = []
    for spec in specs:
        longer = f"{lists[-1]},{spec}" if lists else spec
        if lists and split_specs([longer]) == (*split_specs([lists[-1]]), spec):
            lists[-1] = longer
        else:
            lists.append(spec)
    return lists


def is_gguf(source: str) -> bool:
    """True for the path of a GGUF file, by its ending, which transformers knows only in small letters."""
    return source.endswith(".gguf")


def is_below(source: str, root: Path) -> bool:
    """True if `source` has a separator and is an existing folder or GGUF file below `root`."""
    if "/" not in source and os.sep not in source:
        return False
    try:
        path = root / source
        return path.is_dir() or (is_gguf(source) and path.is_file())
    except OSError:  # a name too long to be a file's
        return False


def folder_path(source: str, root: Path) -> Path:
    """Path of a spec's folder; relative ones start at `root`."""
    try:
        return root / Path(source).expanduser()
    except RuntimeError:  # `~name` of a user that this machine does not have
        return root / source
