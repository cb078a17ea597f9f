"""MLflow's tracking store in tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


def without_sync() -> None:
    """Let SQLite, in all engines of this process, not wait for the disk."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    @event.listens_for(Engine, "connect")
    def connect(connection: object, _: object) -> None:
        if type(connection).__module__.startswith("sqlite3"):
            connection.execute("PRAGMA synchronous=OFF")  # type: ignore[attr-defined]


@contextmanager
def in_force(uri: str) -> Iterator[None]:
    """Use a store; afterwards none is set, so that the environment decides again, as in a new process."""
    import mlflow

    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]  # it unsets, variable included
