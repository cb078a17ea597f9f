"""Keeps warnings of libraries that the plugin calls away from the user's warning filter; those of user code reach it.

    with library_warnings_ignored():
        import mlflow
        with users_filter():
            hook()

Under `filterwarnings = error` a library that warns on import would fail the user's tests, and by default its warnings
would fill pytest's summary. The user can do nothing about either.

This is not thread-safe, because a warning filter belongs to the whole process: warnings of a user's thread are ignored
while the main thread is in such a block, and a thread of the plugin that outlives the block meets the user's filter.
Python 3.14 can give each context a filter of its own (`-X context_aware_warnings`). pytest itself replaces the filter
in the same way around each test.
"""

from __future__ import annotations

import copy
import functools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")

OF_LIBRARIES = ("mlflow", "pytest_llmcompare")

_outer: list[tuple[list[Any], Any]] = []  # filters and showwarning of the user, while a block is entered


@contextmanager
def library_warnings_ignored() -> Iterator[None]:
    """Ignore all warnings inside the block, under any filter that the user has set.

    Also works as a decorator. Not thread-safe, see above.
    """
    nested = bool(_outer)
    with warnings.catch_warnings():
        if not nested:
            _outer.append(([*warnings.filters], warnings.showwarning))
        warnings.simplefilter("ignore")
        warnings.showwarning = _drop  # for libraries that set a filter of their own around what they warn about
        try:
            yield
        finally:
            if not nested:
                _outer.clear()


@contextmanager
def users_filter() -> Iterator[None]:
    """Restore the user's warning filter inside a `library_warnings_ignored` block; does nothing elsewhere."""
    if not _outer:
        yield
        return
    filters, show = _outer[-1]
    with warnings.catch_warnings():
        warnings.resetwarnings()
        for action, message, category, module, line in filters:
            warnings.filterwarnings(action, _pattern(message), category, _pattern(module), line, append=True)
        warnings.showwarning = show
        yield


def under_users_filter(function: Callable[P, T]) -> Callable[P, T]:
    """Wrap a user's function, which a library calls, so that it runs under the user's warning filter."""

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> T:
        with users_filter():
            return function(*args, **kwargs)

    return called


def computed_under_users_filter(metric: T) -> T:
    """An MLflow metric; if its function is the user's, it is computed under the user's warning filter."""
    compute = getattr(metric, "eval_fn", None)
    if compute is None or str(getattr(compute, "__module__", "")).partition(".")[0] in OF_LIBRARIES:
        return metric
    theirs: Any = copy.copy(metric)
    theirs.eval_fn = under_users_filter(compute)
    return cast("T", theirs)


def _pattern(part: Any) -> str:
    """The pattern of one part of a filter, which is text or a compiled pattern."""
    return "" if part is None else str(getattr(part, "pattern", part))


def _drop(*_: object, **__: object) -> None:
    """Show no warning."""
