"""The tracking store of MLflow: its name, its errors, and requests that fail soon."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from pytest_llmcompare.errors import LlmCompareError, TrackingError
from pytest_llmcompare.text import without_secrets

from .faults import reason
from .unwritable import refusal

T = TypeVar("T")

ELSEWHERE = "Look with `mlflow ui`, or name another store with --llm-tracking-uri or MLFLOW_TRACKING_URI."
LIMITS = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "5", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
"""Seconds per request, and further attempts; by MLflow's own defaults a server that is down takes four minutes."""


def found_or_none(call: Callable[[], T]) -> T | None:
    """What MLflow answers, or None where it says that there is no such thing."""
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
    """Have MLflow's requests fail soon inside the block; limits that the user has set in the environment stay."""
    added = {name: value for name, value in LIMITS.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def store() -> str:
    """The tracking store, as it may be shown."""
    import mlflow

    tracking, registry = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    shown = without_secrets(tracking)
    return shown if registry == tracking else f"{shown} (registry {without_secrets(registry)})"


@contextmanager
def store_errors(what: str, kinds: tuple[type[Exception], ...] | None = None) -> Iterator[None]:
    """Turn what a tracking store says into an error with a way out.

    Args:
        what: What the store was asked for.
        kinds: Errors that come from it; by default MLflow's own and those of the system.

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
            or f"MLflow at {store()} cannot be used ({what}): {reason(error)}\n"
            "See whether that store is running, or name another with --llm-tracking-uri or MLFLOW_TRACKING_URI."
        ) from error
