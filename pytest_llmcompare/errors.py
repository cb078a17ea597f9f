"""Errors that a user can see.

Every message says what is wrong (with the value), where, what was expected and what to do. Any other exception is a
bug of this plugin and keeps its traceback.
"""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Iterable

from .text import in_text_without_secrets


class LlmCompareError(Exception):
    """Base of all errors for the user: shown without a traceback, and without secrets of addresses in the message."""

    def __str__(self) -> str:
        return in_text_without_secrets(super().__str__())


class UsageError(LlmCompareError):
    """A wrong option, setting, marker argument or model spec."""


class SourceError(UsageError):
    """A source of baselines that cannot be opened."""


class TableError(LlmCompareError):
    """A prompt table that cannot be read or holds faulty rows."""


class ModelError(LlmCompareError):
    """A model that cannot be found, is refused, or cannot be loaded."""


class GenerationError(LlmCompareError):
    """A model that returned no usable output for a case.

    Args:
        reason: What went wrong, and how to fix it.
        model: Name of the model, for the message; empty if the caller names it.
    """

    def __init__(self, reason: str, model: str = "") -> None:
        super().__init__(f"model {model!r}: {reason}" if model else reason)
        self.reason = in_text_without_secrets(reason)


class BaselineError(LlmCompareError):
    """A baseline file that cannot be read or must not be written."""


class SelectionError(LlmCompareError):
    """A name or pattern that matches nothing."""


class TrackingError(LlmCompareError):
    """An MLflow tracking store that cannot be used."""


class HookError(LlmCompareError):
    """A hook in a plugin or conftest that raised, or returned something that it is not allowed to return."""


class ReportError(LlmCompareError):
    """A report that cannot be written, or not be drawn again from its file."""


def did_you_mean(value: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the known name nearest to `value`, otherwise all known names.

    Starts with a space, so that it can be appended to a sentence.
    """
    names = sorted(set(known))
    if hint := nearest_hint(value, names):
        return hint
    return f" Known: {', '.join(name if name.isprintable() else repr(name) for name in names)}." if names else ""


def nearest_hint(value: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the known name nearest to `value`; empty if none is near."""
    near = difflib.get_close_matches(value, [*known], n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def unforeseen(error: Exception) -> str:
    """Message for an error that is a bug of this plugin or a library: its name, then its traceback."""
    what = "".join(traceback.format_exception_only(error)).strip()
    trace = "".join(traceback.format_exception(error))
    return in_text_without_secrets(f"{' '.join(what.split())[:500]} (unforeseen; please report it)\n{trace}")
