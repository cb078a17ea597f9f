"""Imports large libraries at the least cost, and spares the process most of what they cost at its end.

Imports none itself.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pytest_llmcompare.compat import assertion_rewriting_off

EVALUATORS = ("mlflow.models.evaluation.evaluator_registry", "mlflow.models.evaluation.default_evaluator")
"""Modules that MLflow imports at the first evaluation of a process; they import scikit-learn."""


MANY = 300
"""Modules; an import of fewer leaves the generations of the collector as they are."""


@contextmanager
def heavy_imports() -> Iterator[None]:
    """Import libraries inside the block without collecting garbage and without looking for assertions to rewrite.

    Importing MLflow makes a million objects that all stay, and Python's collector walks through them eight times.
    pytest looks at the name of every module that is imported, in case it has assertions to rewrite.
    """
    enabled, before = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        with assertion_rewriting_off():
            yield
    finally:
        imported = len(sys.modules) - before
        if imported > MANY and gc.get_freeze_count() == 0:  # else what the user has frozen would be thawed
            gc.freeze()
            gc.unfreeze()  # all are in the oldest generation now, where the collector comes last
        if enabled:
            gc.enable()


def import_evaluators() -> None:
    """Import what `mlflow.models.evaluate` would import at its first call."""
    with heavy_imports():
        for name in EVALUATORS:
            with suppress(ImportError):  # other versions of MLflow have other modules
                importlib.import_module(name)


def end_quickly() -> None:
    """Let Python leave out its last collections of garbage when this process ends; may be called again.

    The interpreter walks several times through every object before it exits, which takes seconds after imports of
    torch, transformers and MLflow. Exit code, `atexit` functions and `__del__` of what no cycle holds stay as they are.
    """
    atexit.unregister(_skip_last_collections)
    atexit.register(_skip_last_collections)


_BUFFERED = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)


def _skip_last_collections() -> None:
    """Take all objects out of the collector's sight, less what the collector would have written to disk."""
    for candidate in gc.get_objects():
        if type(candidate) in _BUFFERED:
            with suppress(Exception):  # closed, detached, or its reader is gone
                candidate.flush()
    gc.freeze()
