"""A folder that cannot be written to, found behind what MLflow raises: another user's checkout, a read-only disk."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pytest_llmcompare.text import in_text_without_secrets

REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
OF_SQLITE = ("attempt to write a readonly database", "unable to open database file")


def database_of(uri: str) -> Path | None:
    """The file of a store in SQLite, None for a store of another kind."""
    scheme, _, rest = uri.partition(":///")
    name = rest.partition("?")[0]
    return Path(name) if scheme.partition("+")[0] == "sqlite" and name and ":memory:" not in name else None


def refused_folder(error: BaseException, uri: str) -> Path | None:
    """The folder that could not be written to, where that is why something failed.

    Args:
        error: What was raised.
        uri: The tracking URI.
    """
    for cause in chain(error):
        if isinstance(cause, OSError) and cause.errno in REFUSED and cause.filename:
            return existing(Path(os.fsdecode(cause.filename)))
        if (database := database_of(uri)) and any(text in str(cause) for text in OF_SQLITE):
            return existing(database.absolute())
    return None


def refusal(error: BaseException, uri: str) -> str:
    """What to say where MLflow's store or its files lie in such a folder; empty where that is not the reason."""
    folder = refused_folder(error, uri)
    if folder is None:
        return ""
    elsewhere = f"sqlite:///{Path(tempfile.gettempdir()) / 'mlflow.db'}"
    return (
        f"{folder} cannot be written to, so MLflow at {in_text_without_secrets(uri)} can keep nothing there.\n"
        f"Name a store in a folder that can be written to: --llm-tracking-uri={elsewhere}, or set MLFLOW_TRACKING_URI. "
        "Its files go beside it, into mlruns, but for experiments that have their place already."
    )


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came from."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def existing(path: Path) -> Path:
    """The nearest folder around a path that is there."""
    return next((folder for folder in path.parents if folder.is_dir()), path.parent)
