"""Private names of pytest, MLflow, transformers and torch that we need; `tests/unit/test_compat.py` has a test of each.

If a version of pytest has another name, we do without: nothing that concerns pytest may fail a run.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest
    from torch import Tensor

WIDTH = 80
"""Columns of a terminal of unknown width."""


def add_junit_case(
    config: pytest.Config, nodeid: str, file: str, fault: str, properties: Sequence[tuple[str, str]] = ()
) -> None:
    """Add a test case to the JUnit file that pytest writes at the end of the session; without a file do nothing.

    The case is only in the file: pytest's own counts, `--lf` and `--maxfail` ignore it.

    Args:
        config: pytest's configuration.
        nodeid: Name of the case, with `::` between its class and its name. Brackets protect the rest of the name.
        file: What the case is about, as a path.
        fault: Why it failed; empty if it passed.
        properties: Facts of it.
    """
    import pytest

    try:
        from _pytest.junitxml import xml_key
    except ImportError:
        return
    log = config.stash.get(xml_key, None)
    if log is None:
        return
    for when in ("call", "teardown"):
        failed = bool(fault) and when == "call"
        log.pytest_runtest_logreport(
            pytest.TestReport(
                nodeid=nodeid,
                location=(file, None, nodeid),
                keywords={},
                outcome="failed" if failed else "passed",
                longrepr=fault if failed else None,
                when=when,
                user_properties=list(properties) if when == "teardown" else [],
            )
        )


def paint_red(reporter: Any) -> None:
    """Color pytest's last line, `1 passed in 2.31s`, red although no test failed."""
    if hasattr(reporter, "_determine_main_color"):
        reporter._determine_main_color = lambda *_: "red"


def hide_failure(report: Any) -> None:
    """Leave a failed test out of pytest's section FAILURES, as pytest does with one that a debugger has shown.

    The test stays in all counts and in the short summary.
    """
    report._pdbshown = True


def terminal_width(reporter: Any) -> int:
    """Width in columns that pytest itself draws to."""
    writer = getattr(reporter, "_tw", None)
    return getattr(writer, "fullwidth", WIDTH)


def fixture_arguments(item: pytest.Item) -> Sequence[str]:
    """The fixtures that a test function names in its arguments."""
    return tuple(getattr(getattr(item, "_fixtureinfo", None), "argnames", ()))


def fixture_definitions(item: pytest.Item) -> Mapping[str, Sequence[Any]]:
    """The definitions of the fixtures that a test uses, by name; of several the last is in force."""
    definitions: Mapping[str, Sequence[Any]] = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    return definitions


@contextmanager
def assertion_rewriting_off() -> Iterator[None]:
    """Import modules inside the block without pytest's hook, which looks at each of them for assertions to rewrite."""
    kind = getattr(sys.modules.get("_pytest.assertion.rewrite"), "AssertionRewritingHook", None)
    hooks = [(index, finder) for index, finder in enumerate(sys.meta_path) if kind and isinstance(finder, kind)]
    for _, hook in hooks:
        sys.meta_path.remove(hook)
    try:
        yield
    finally:
        for index, hook in hooks:
            sys.meta_path.insert(index, hook)


@contextmanager
def requirements_unchecked() -> Iterator[None]:
    """Log models inside the block without MLflow's check that their requirements are installed here.

    For that check MLflow reads the file lists of all installed packages, half a second of a run.
    """
    from unittest.mock import patch

    from mlflow.utils import environment

    name = "warn_dependency_requirement_mismatches"
    with patch.object(environment, name, lambda *_: None) if hasattr(environment, name) else nullcontext():
        yield


@contextmanager
def use_tracking_uri(uri: str) -> Iterator[None]:
    """Use another MLflow store for a while; unlike `mlflow.set_tracking_uri` it restores that none was set, too.

    What the user has set about tracing holds again afterwards; MLflow forgets it whenever the store changes.
    """
    from mlflow.tracking._tracking_service.utils import _use_tracking_uri

    with _own_tracing(), _use_tracking_uri(uri):
        yield


@contextmanager
def _own_tracing() -> Iterator[None]:
    """Trace inside the block as in a new process: to the store and run that are in force there."""
    from mlflow.tracing import config
    from mlflow.tracing.provider import _MLFLOW_TRACE_USER_DESTINATION, provider
    from opentelemetry import trace

    parts: tuple[Any, ...] = (provider, _MLFLOW_TRACE_USER_DESTINATION)
    before = [dict(vars(part)) for part in parts]
    processors = config._MLFLOW_TRACING_CONFIG
    tracer = trace._TRACER_PROVIDER  # in force if MLFLOW_USE_DEFAULT_TRACER_PROVIDER is false
    trace._TRACER_PROVIDER = None  # MLflow would end it
    for part in parts:
        vars(part).update(vars(type(part)()))
    try:
        yield
    finally:
        provider.reset()
        for part, values in zip(parts, before, strict=True):
            vars(part).update(values)
        config._MLFLOW_TRACING_CONFIG = processors
        trace._TRACER_PROVIDER = tracer


def active_span(span: Any) -> AbstractContextManager[None]:
    """Have a span of MLflow as the active one inside a block; only with it, or a request, a trace is assessed."""
    from mlflow.tracing.provider import safe_set_span_in_context

    active: AbstractContextManager[None] = safe_set_span_in_context(span)
    return active


@contextmanager
def no_active_experiment() -> Iterator[None]:
    """Forget the user's `mlflow.set_experiment` for a while; it makes MLflow refuse runs of other experiments."""
    from mlflow.tracking import fluent

    before = fluent._active_experiment_id  # no public function resets it
    fluent._active_experiment_id = None
    try:
        yield
    finally:
        fluent._active_experiment_id = before


def sampling_loop(model: Any) -> Callable[..., Any]:
    """The loop of `model.generate` for greedy decoding and sampling, after its arguments are prepared."""
    loop: Callable[..., Any] = model._sample
    return loop


def beam_search_loop(model: Any) -> Callable[..., Any]:
    """The loop of `model.generate` for beam search, after its arguments are prepared."""
    loop: Callable[..., Any] = model._beam_search
    return loop


def takes_positions_to_keep(model: Any) -> bool:
    """True if `forward` takes a mask [rows, seq] of the positions to keep as `logits_to_keep`.

    Earlier versions of transformers, and a checkpoint's own code, take a number of positions at the end.
    """
    code = getattr(inspect.unwrap(model.forward), "__code__", None)
    return "slice_logits_to_keep" in getattr(code, "co_names", ())


def users_of_memory(tensor: Tensor) -> int:
    """Number of tensors that have the memory of this one, itself and views included; 0 if torch doesn't tell."""
    import torch

    count = getattr(torch._C, "_storage_Use_Count", None)
    if count is None:
        return 0
    storage = tensor.untyped_storage()  # its Python object is a user, too
    return int(count(storage._cdata)) - 1
