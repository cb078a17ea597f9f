"""Which kind of model a source names: hub id, folder, or a scheme. Pure, except that it looks which folders exist."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

from pytest_llmcompare.errors import UsageError
from pytest_llmcompare.text import source_without_secrets

from . import served
from .echo import parse_echo
from .pyproject_tables import check_name
from .uris import ECHO, FORMS, OPENAI, PATH_START, SCHEME, has_known_scheme, is_below, is_mlflow


class SourceKind(StrEnum):
    """Where a model comes from."""

    HUB = "hub"
    FOLDER = "folder"
    MLFLOW = "mlflow"
    ECHO = "echo"
    SERVER = "server"
    OTHER = "other"


HUB_ID = re.compile(r"(?:[A-Za-z0-9_][\w.-]{0,95}/)?[A-Za-z0-9_](?:[\w.-]{0,94}[A-Za-z0-9_])?", re.ASCII)


def split_name(text: str, where: str, root: Path, *, others: bool) -> tuple[str, str]:
    """Split `NAME=SOURCE`; a folder, a text that begins with a scheme, or an address that holds `=` is left whole."""
    name, equals, source = (part.strip() for part in text.partition("="))
    address = "://" in name or "?" in name or "#" in name
    if not equals or address or PATH_START.match(text) or has_known_scheme(text, others=others) or is_below(text, root):
        return "", text
    if not name:
        raise UsageError(f"{where}: there is no name before '='. Expected NAME=SOURCE, or the source alone.")
    if not source:
        raise UsageError(f"{where}: there is no source after '='. Expected {FORMS}.")
    check_name(name, where)
    return name, source


def classify(source: str, where: str, root: Path, *, others: bool) -> tuple[SourceKind, str, str]:
    """Kind, source without revision, and revision of a source; the revision is empty if there is none.

    Raises:
        UsageError: The source is of no known kind.
    """
    if not source.isprintable():
        raise UsageError(
            f"{where}: {source_without_secrets(source)!r} holds a character that cannot be printed. Expected {FORMS}."
        )
    if PATH_START.match(source):
        return SourceKind.FOLDER, source, ""
    if scheme := SCHEME.match(source):
        return kind_of_scheme(source, scheme[1], where, others=others), source, ""
    if is_below(source, root):
        return SourceKind.FOLDER, source, ""
    base, at, revision = source.partition("@")
    if at and not revision:
        raise UsageError(f"{where}: there is nothing after '@'. Expected a branch, tag or commit.")
    if is_below(base, root):
        return SourceKind.FOLDER, base, revision
    if HUB_ID.fullmatch(base) and ".." not in base and "--" not in base:
        return SourceKind.HUB, base, revision
    if "/" in base or "\\" in base:
        return SourceKind.FOLDER, base, revision
    raise UsageError(f"{where}: {base!r} is not a model. Expected {FORMS}.")


def kind_of_scheme(source: str, scheme: str, where: str, *, others: bool) -> SourceKind:
    """Kind of a source that begins with `scheme:`.

    Raises:
        UsageError: Nothing loads such a source, or what follows the scheme cannot be read.
    """
    if scheme.lower() == ECHO:
        parse_echo(source, where)
        return SourceKind.ECHO
    if scheme.lower() == OPENAI:
        served.parse_address(source, where)
        return SourceKind.SERVER
    return SourceKind.MLFLOW if is_mlflow(source, scheme, where, others=others) else SourceKind.OTHER
