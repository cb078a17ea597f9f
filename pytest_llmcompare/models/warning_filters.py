"""Which warnings reach the user's filter: those of the user's own code, not those of libraries that we import and call.

    with library_warnings_ignored():
        import mlflow
        with users_filter():
            hook()

Under `filterwarnings = error` a library that warns while it is imported would fail the user's tests, and under the
default its warnings would fill pytest's summary. Neither is for the user to deal with.

None of this is safe with threads: a warning filter belongs to the whole process, so a thread of the user's that warns
while the main thread is in such a block is ignored too, and a thread of ours that outlives the block meets the user's
filter. Python 3.14 can give each context a filter of its own (`-X context_aware_warnings`); before that there is no
way. pytest itself replaces the filter in the same manner around each test.
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
    """Show and raise no warning inside the block, whatever filter the user has set.

    Works as a decorator, too. Not safe with threads, see above.
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
    """Apply the user's own warning filter again, inside such a block; elsewhere it applies anyway."""
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
    """A function of the user's that a library calls for us, with the user's filter while it runs."""

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> T:
        with users_filter():
            return function(*args, **kwargs)

    return called


def computed_under_users_filter(metric: T) -> T:
    """An MLflow metric; one whose function is the user's own is computed under the user's filter."""
    compute = getattr(metric, "eval_fn", None)
    if compute is None or str(getattr(compute, "__module__", "")).partition(".")[0] in OF_LIBRARIES:
        return metric
    theirs: Any = copy.copy(metric)
    theirs.eval_fn = under_users_filter(compute)
    return cast("T", theirs)


def _pattern(part: Any) -> str:
    """The pattern of one part of a filter; Python's own filters hold text where others hold a compiled pattern."""
    return "" if part is None else str(getattr(part, "pattern", part))


def _drop(*_: object, **__: object) -> None:
    """Show no warning."""
