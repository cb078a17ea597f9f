"""MLflow's tracking store in tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def in_force(uri: str) -> Iterator[None]:
    """Use a store; afterwards none is set, so that the environment decides again, as in a new process."""
    import mlflow

    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]  # it unsets, variable included
