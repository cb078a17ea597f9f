"""MLflow's tracking store: its address, messages for its errors, and limits so that requests fail soon."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pytest_llmcompare.errors import LlmCompareError, TrackingError
from pytest_llmcompare.text import error_line, in_text_without_secrets, without_secrets

T = TypeVar("T")

ELSEWHERE = "Look with `mlflow ui`, or name another store with --llm-tracking-uri or MLFLOW_TRACKING_URI."
LIMITS = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "5", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
"""Seconds per request, and retries; with MLflow's own defaults, finding that a server is down takes four minutes."""

NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)
NOT_WRITABLE_BY_SQLITE = ("attempt to write a readonly database", "unable to open database file")
NO_ROOM = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
NO_ROOM_BY_SQLITE = ("database or disk is full", "disk I/O error")


def found_or_none(call: Callable[[], T]) -> T | None:
    """The result of a call to MLflow, or None if MLflow answers that there is no such thing."""
    from mlflow.exceptions import MlflowException

    try:
        return call()
    except MlflowException as error:
        code = str(error.error_code)
        # An unknown alias is an INVALID_PARAMETER_VALUE to some stores.
        if code.endswith("DOES_NOT_EXIST") or code in ("NOT_FOUND", "INVALID_PARAMETER_VALUE"):
            return None
        raise


@contextmanager
def bounded_requests() -> Iterator[None]:
    """Let MLflow's requests fail soon inside the block; limits that the user has set in the environment stay."""
    added = {name: value for name, value in LIMITS.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def store() -> str:
    """The address of the tracking store for messages, without secrets."""
    import mlflow

    tracking, registry = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    shown = without_secrets(tracking)
    return shown if registry == tracking else f"{shown} (registry {without_secrets(registry)})"


@contextmanager
def store_errors(what: str, kinds: tuple[type[Exception], ...] | None = None) -> Iterator[None]:
    """Turn errors of a tracking store into one that says what to do.

    Args:
        what: What the store was asked for.
        kinds: Errors of the store; by default MLflow's own and those of the system.

    Raises:
        TrackingError: The store refused, or did not answer.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    expected = kinds or (MlflowException, OSError)
    try:
        yield
    except LlmCompareError:
        raise
    except expected as error:
        raise TrackingError(
            refusal(error, mlflow.get_tracking_uri())
            or f"MLflow at {store()} cannot be used ({what}): {error_line(error)}\n"
            "Check that the store is running, or name another with --llm-tracking-uri or MLFLOW_TRACKING_URI."
        ) from error


def database_of(uri: str) -> Path | None:
    """The file of a store in SQLite, None for another kind of store."""
    scheme, _, rest = uri.partition(":///")
    name = rest.partition("?")[0]
    return Path(name) if scheme.partition("+")[0] == "sqlite" and name and ":memory:" not in name else None


def refusal(error: BaseException, uri: str) -> str:
    """The message for an error whose cause is the store's folder or its disk; empty for other errors.

    Args:
        error: The error that was raised.
        uri: The tracking URI.
    """
    elsewhere = f"sqlite:///{Path(tempfile.gettempdir()) / 'mlflow.db'}"
    place = in_text_without_secrets(uri)
    if folder := _folder_of(error, uri, NO_ROOM, NO_ROOM_BY_SQLITE):
        return (
            f"the disk of {folder} is full or faulty, so MLflow at {place} cannot store anything.\n"
            f"Make room, or name a store on another disk: --llm-tracking-uri={elsewhere}, or set MLFLOW_TRACKING_URI."
        )
    folder = _folder_of(error, uri, NOT_WRITABLE, NOT_WRITABLE_BY_SQLITE)
    if folder is None:
        return ""
    return (
        f"{folder} cannot be written to, so MLflow at {place} cannot store anything.\n"
        f"Name a store in a folder that can be written to: --llm-tracking-uri={elsewhere}, or set MLFLOW_TRACKING_URI. "
        "Its files go beside it, into mlruns, except those of experiments that have a place already."
    )


def _folder_of(error: BaseException, uri: str, numbers: Collection[int], texts: Collection[str]) -> Path | None:
    """The folder of the file at which the system or SQLite gave one of these errors; None for another error."""
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.errno in numbers and cause.filename:
            return _nearest_folder(Path(os.fsdecode(cause.filename)))
        if (database := database_of(uri)) and any(text in str(cause) for text in texts):
            return _nearest_folder(database.absolute())
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, its cause, the cause of that, and so on."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def _nearest_folder(path: Path) -> Path:
    """The nearest folder above a path that exists."""
    return next((folder for folder in path.parents if folder.is_dir()), path.parent)
