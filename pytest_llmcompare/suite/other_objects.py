"""Advice for tables given as an object that is neither a list nor a pandas DataFrame. Imports no library for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import urlsplit

ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)  # two letters or more: C:/ is a drive
FOUR_KINDS = "a list of texts, a list of dicts, or a pandas DataFrame"


def is_address(source: str) -> bool:
    """True if a text is an address, not a path."""
    return ADDRESS.match(source) is not None


def address_shown(source: str) -> str:
    """An address without its user, query and fragment, which may be secret."""
    try:
        parts = urlsplit(source)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return f"{source.partition(':')[0]}://..."
    return f"{parts.scheme}://{host}{parts.path}" if host else f"{parts.scheme}:{parts.path}"


def object_advice(source: object) -> str:
    """Advice, as a sentence, on how to make a table of an object; empty for unknown kinds."""
    if isinstance(source, Mapping):
        if source and all(has_method("to_pandas")(part) for part in source.values()):  # a DatasetDict
            return f"Choose a split and give its DataFrame: dataset[{next(iter(source))!r}].to_pandas()."
        return "Give a list with a dict for each row, [{'prompt': '...'}, ...], or pandas.DataFrame(...) of columns."
    return next((advice for fits, advice in WAYS_ON if fits(source)), "")


def has_method(method: str) -> Callable[[object], bool]:
    """A check whether an object, not a class, has a method of this name."""
    return lambda source: callable(getattr(source, method, None)) and not isinstance(source, type)


WAYS_ON: tuple[tuple[Callable[[object], bool], str], ...] = (
    (has_method("to_dicts"), "Give its rows: .to_dicts()."),  # polars
    (has_method("to_pylist"), "Give its rows: .to_pylist()."),  # pyarrow
    (has_method("to_pandas"), "Give its DataFrame: .to_pandas()."),  # Hugging Face datasets
    (lambda source: type(source).__name__ == "LazyFrame", "Give its rows: .collect().to_dicts()."),
    (lambda source: isinstance(source, (bytes, bytearray)), "Give a path as text."),
    (has_method("read"), "Give the path of the file, not the open file."),
    (has_method("tolist"), "Give .tolist()."),  # a pandas Series, a numpy array
    (callable, "Call it, and give what it returns."),
    (lambda source: isinstance(source, Iterable), "Give list(...) of it: a table is read more than once."),
)
"""What to do with objects, by what they are; the first that fits."""
