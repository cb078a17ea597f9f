"""A pytest plugin that times the phases of a run, for benchmarks/end_to_end.py: `-p phases`.

It times a few calls, each without the calls inside it, so that the phases add up to the whole run. It writes them as
JSON to the file named by PHASES; PHASES_STARTED is when the process was started.
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
FINGERPRINT = "waiting for the fingerprint of the weights"
LOADING = "loading the weights"
LOGGING = "MLflow: logging the model"
RELOADING = "MLflow: loading the pyfunc"
GENERATING = "generating, or verifying drafts"
EVALUATING = "MLflow: evaluation"
RUNS = "MLflow: runs, parameters, tags"
ALL = (PYTHON, PYTEST, IMPORTS, FINGERPRINT, LOADING, GENERATING, LOGGING, RELOADING, EVALUATING, RUNS)


class Stopwatch:
    """Counts every moment towards the innermost phase that is open."""

    def __init__(self, phase: str, since: float) -> None:
        self.seconds = dict.fromkeys(ALL, 0.0)
        self.open = [phase]
        self.since = since

    def lap(self) -> None:
        """Count the time since the last lap towards the innermost phase."""
        now = time.time()
        self.seconds[self.open[-1]] += now - self.since
        self.since = now

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Open a phase inside the current one until the block ends."""
        self.lap()
        self.open.append(name)
        try:
            yield
        finally:
            self.lap()
            self.open.pop()

    def stop(self, owner: Any, function: str, name: str) -> None:
        """Time each call of a function as a phase."""
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
    """Time the functions of an evaluation once its model is found, which is when the run itself imports them."""
    from pytest_llmcompare.run.model_lookup import ModelLookup

    find: Callable[..., None] = ModelLookup.check_early

    @functools.wraps(find)
    def found_and_timed(self: ModelLookup, *args: Any) -> None:
        find(self, *args)
        ModelLookup.check_early = find  # type: ignore[method-assign]
        time_evaluation()

    ModelLookup.check_early = found_and_timed  # type: ignore[method-assign]


def time_evaluation() -> None:
    """Import what the first test would import, and time its functions."""
    with watch.phase(IMPORTS):
        import mlflow

        from pytest_llmcompare.evaluation import evaluate, model_logging, pyfunc
        from pytest_llmcompare.models import in_memory, resolve
    watch.stop(evaluate, "load_now", IMPORTS)  # less the weights: torch and transformers
    watch.stop(evaluate, "import_evaluators", IMPORTS)
    watch.stop(resolve, "weights_fingerprint", FINGERPRINT)
    watch.stop(in_memory, "_loaded", LOADING)
    watch.stop(pyfunc.HeldTransformer, "answer", GENERATING)
    watch.stop(model_logging, "log", LOGGING)
    watch.stop(model_logging, "load", RELOADING)
    watch.stop(mlflow.models, "evaluate", EVALUATING)
    watch.stop(evaluate, "evaluate", RUNS)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """Write the phases."""
    watch.lap()
    Path(os.environ["PHASES"]).write_text(json.dumps(watch.seconds), encoding="ascii")
