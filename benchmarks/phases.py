"""Where the time of a pytest run goes: a plugin for benchmarks/end_to_end.py, loaded with `-p phases`.

It stops the time of a few calls, each less that of the calls within it, so that the phases add up to the whole run. It
writes them to the file that PHASES names, as JSON; PHASES_STARTED is when the process was started.
"""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PYTHON = "start of Python"
PYTEST = "pytest and its tests"
IMPORTS = "imports: torch, transformers, MLflow"
FINGERPRINT = "fingerprint of the weights"
LOADING = "loading the weights"
LOGGING = "MLflow: logging the model"
RELOADING = "MLflow: loading the pyfunc"
GENERATING = "generating, or reading drafts"
EVALUATING = "MLflow: evaluation"
RUNS = "MLflow: runs, parameters, tags"
ALL = (PYTHON, PYTEST, IMPORTS, FINGERPRINT, LOADING, GENERATING, LOGGING, RELOADING, EVALUATING, RUNS)


class Stopwatch:
    """Gives every moment to the innermost phase that is open."""

    def __init__(self, phase: str, since: float) -> None:
        self.seconds = dict.fromkeys(ALL, 0.0)
        self.open = [phase]
        self.since = since

    def lap(self) -> None:
        """Give the time since the last lap to the innermost phase."""
        now = time.time()
        self.seconds[self.open[-1]] += now - self.since
        self.since = now

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """A phase within the open one."""
        self.lap()
        self.open.append(name)
        try:
            yield
        finally:
            self.lap()
            self.open.pop()

    def stop(self, owner: Any, function: str, name: str) -> None:
        """Let each call of a function be a phase."""
        inner: Callable[..., Any] = getattr(owner, function)

        @functools.wraps(inner)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.phase(name):
                return inner(*args, **kwargs)

        setattr(owner, function, timed)


watch = Stopwatch(PYTHON, float(os.environ.get("PHASES_STARTED", time.time())))
watch.lap()
watch.open = [PYTEST]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish() -> None:
    """Import what the first test would import, and stop the time of what is in it."""
    with watch.phase(IMPORTS):
        import mlflow

        from pytest_llmcompare.decoding import engine
        from pytest_llmcompare.evaluation import evaluate, model_logging
        from pytest_llmcompare.models import in_memory, resolve
    watch.stop(resolve, "weights_fingerprint", FINGERPRINT)
    watch.stop(in_memory, "loaded", LOADING)
    watch.stop(engine, "generate", GENERATING)
    watch.stop(model_logging, "log", LOGGING)
    watch.stop(model_logging, "load", RELOADING)
    watch.stop(mlflow.models, "evaluate", EVALUATING)
    watch.stop(evaluate, "evaluate", RUNS)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """Write what was found."""
    watch.lap()
    Path(os.environ["PHASES"]).write_text(json.dumps(watch.seconds), encoding="ascii")
