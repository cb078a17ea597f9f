"""Which pending outputs are meant: patterns for the names of cases and tests. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

from .baselines.pending import Entry
from .errors import SelectionError

MOST_NEAR = 3  # names suggested


def chosen(entries: Iterable[Entry], patterns: Sequence[str]) -> list[Entry]:
    """The entries that any of these patterns matches, in their order.

    Args:
        entries: What waits.
        patterns: `table/model/prompt_id[@variant]` or test ids; `*` stands for anything, `?` for one character.
            Brackets mean themselves, as they stand in test ids.

    Raises:
        SelectionError: A pattern matches nothing; nothing is chosen then.
    """
    waiting = list(entries)
    found = {pattern: [entry for entry in waiting if matches(pattern, entry)] for pattern in patterns}
    unknown = [pattern for pattern, matched in found.items() if not matched]
    if unknown:
        raise SelectionError("\n".join(_nothing(pattern, waiting) for pattern in unknown))
    keys = {entry.key for matched in found.values() for entry in matched}
    return [entry for entry in waiting if entry.key in keys]


def matches(pattern: str, entry: Entry) -> bool:
    """Whether a pattern is one for this entry."""
    expression = "".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in pattern)
    return any(re.fullmatch(expression, name, re.DOTALL) for name in names(entry))


def names(entry: Entry) -> tuple[str, ...]:
    """What an entry can be called: the case, the case with its folder, the test."""
    return str(entry.key), f"{entry.key.group.folder}/{entry.key}", entry.test


def _nothing(pattern: str, entries: Sequence[Entry]) -> str:
    if not entries:
        return f"{pattern!r} matches nothing: no output is pending. Run pytest first."
    plain = pattern.replace("*", "").replace("?", "")
    known = [name for entry in entries for name in (str(entry.key), entry.test)]
    near = difflib.get_close_matches(plain, known, n=MOST_NEAR, cutoff=0.5) or [str(e.key) for e in entries[:MOST_NEAR]]
    return f"{pattern!r} matches no pending output. Nearest: {', '.join(map(repr, near))}. All: llmcompare pending"
