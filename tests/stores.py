"""MLflow's tracking store in tests."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager


def hurry() -> None:
    """Make MLflow's stores faster in this process: they do not wait for the disk, and constants are looked up once.

    For each new store MLflow reads all of its migrations to name the last one, and for each model that is logged or
    loaded the metadata of the packages that it requires.
    """
    import importlib_metadata
    import mlflow.store.db.utils
    import mlflow.utils.requirements_utils
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    @event.listens_for(Engine, "connect")
    def connect(connection: object, _: object) -> None:
        if type(connection).__module__.startswith("sqlite3"):
            connection.execute("PRAGMA synchronous=OFF")  # type: ignore[attr-defined]

    for module, name in ((mlflow.store.db.utils, "_get_latest_schema_revision"), (importlib_metadata, "version")):
        if hasattr(module, name):
            setattr(module, name, functools.cache(getattr(module, name)))
    packages = getattr(mlflow.utils.requirements_utils, "_init_packages_to_modules_map", None)
    if packages is not None:
        packages()


@contextmanager
def in_force(uri: str) -> Iterator[None]:
    """Use a store; afterwards none is set, so that the environment decides again, as in a new process."""
    import mlflow

    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]  # it unsets, variable included
