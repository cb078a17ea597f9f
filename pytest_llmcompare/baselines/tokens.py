"""The tokens file: per case one JSON line with token ids and log-probabilities.

    {"id": "sky_color", "variant": "", "text": "3f1c9a2e", "tokens": [4518, 13], "logprobs": [-0.251304, -0.000215]}

`"read"` holds the log-probabilities as a check reads them, if those differ: before logits processors, and in float32
also of low-precision weights. `"env"` is a hash of the environment; it is there once all cases have moved to another
environment under the same name, and tells cases that a merge brings in from before the move.

It only adds to the baseline file: a line is used if its hash fits the text of the baseline, other lines are ignored
with a warning. So the two files need not change in one step, and lines from either side of a merge will do.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

from pytest_llmcompare.generation import Generation
from pytest_llmcompare.records import Baseline, RowKey
from pytest_llmcompare.text import digest

from .document import CaseRecord, restore, shown_case, sort_key
from .escapes import escape_line_end, unescape, with_line_breaks

WARNINGS = 5  # that are shown one by one
READ_APART = 1e-4
"""Difference (nats) from which a log-prob as read is kept beside the written one; in float32 they differ by 1e-5."""

_NAMES = re.compile(r'\s*\{"id": ("(?:[^"\\]|\\.)*"), "variant": ("(?:[^"\\]|\\.)*")')
_quoted = json.JSONEncoder().encode  # faster than json.dumps
_MARKERS = ("<" * 7, "|" * 7, "=" * 7, ">" * 7)


T = TypeVar("T")


class TokenLine(NamedTuple):
    """One line; `token_ids` is None if it is broken.

    Attributes:
        number: Its number, from 1.
        line: The line verbatim.
        text_hash: Hash of the text that the tokens make.
        token_ids: Token ids.
        logprobs: Log-probabilities (nats, 6 decimals), or None if unknown.
        as_read: As in `Generation`; None if unknown or as `logprobs`.
        environment: Hash of the environment; empty if the line has none.
    """

    number: int
    line: str
    text_hash: str = ""
    token_ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    as_read: tuple[float, ...] | None = None
    environment: str = ""


class Tokens:
    """A parsed tokens file.

    Attributes:
        source: Name of the file for messages.
        newline: Line break of the file.
        lines: The lines of each case, which are two after some merges.
        problems: What was not used, and why.
        missing: Number of cases without tokens if there is no tokens file; None if there is one.
    """

    def __init__(self, text: str | None, source: str) -> None:
        self.source = source
        self.newline = "\r\n" if text and text.partition("\n")[0].endswith("\r") else "\n"
        self.lines: dict[tuple[str, str], list[TokenLine]] = {}
        self.problems: list[str] = []
        self.missing = 0 if text is None else None
        numbered = [
            (number, line) for number, line in enumerate(with_line_breaks(text or "").split("\n"), 1) if line.strip()
        ]
        values = _values([line for _, line in numbered])
        for (number, line), value in zip(numbered, values, strict=True):
            self._add(number, line, value)

    def _add(self, number: int, line: str, value: Any) -> None:
        name = _name(line, value)
        if name is not None:
            self.lines.setdefault(name, []).append(_token_line(number, line, value))
        elif line.startswith(_MARKERS):
            self.problems.append(f"{self.source}, line {number}: a merge conflict marker; the lines that fit are used.")
        else:
            self.problems.append(f"{self.source}, line {number}: broken, so it is not used.")

    def fitting(self, record: CaseRecord, environment: str) -> TokenLine | None:
        """The line whose tokens make the text of a case; notes a problem if there is none.

        Args:
            record: The case.
            environment: Hash of its environment. Of several lines that fit, one that has this hash is taken.
        """
        lines = self.lines.get(sort_key(record.row), ())
        fitting = _fitting(lines, record) if lines else []
        if fitting:
            return next((line for line in fitting if line.environment == environment), fitting[0])
        for line in lines:
            fault = "broken" if line.token_ids is None else "does not fit the text of the baseline"
            where = f"{self.source}, line {line.number} (case '{shown_case(record.row)}')"
            self.problems.append(f"{where}: {fault}, so it is not used.")
        if self.missing is not None:
            self.missing += 1
        elif not lines:
            self.problems.append(f"{self.source}: no line for case '{shown_case(record.row)}'.")
        return None

    def warnings(self, *, can_restore: bool) -> tuple[str, ...]:
        """Lines that were not used and why, at most a handful; the last one says what follows.

        Args:
            can_restore: Whether the file lies beside the tests, so that the last one can say what to do.
        """
        warnings = self.problems[:WARNINGS]
        if len(self.problems) > WARNINGS:
            warnings.append(f"{self.source}: {len(self.problems) - WARNINGS} more lines that are missing or not used.")
        if self.missing:
            warnings.append(
                f"{self.source}: not there or not readable, so {self.missing} cases are without their tokens."
            )
        if warnings:
            remedy = (
                f" To get the tokens back: {restore(self.source)}, or record them again: pytest --llm-update-all"
                if can_restore
                else ""
            )
            warnings.append(f"Cases without tokens are compared by their text.{remedy}")
        return tuple(warnings)


def _fitting(lines: Sequence[TokenLine], record: CaseRecord) -> list[TokenLine]:
    text_hash = digest(record.text)
    return [
        line
        for line in lines
        if line.text_hash == text_hash and line.token_ids is not None and len(line.token_ids) == record.tokens
    ]


def format_token_line(baseline: Baseline, environment: str = "") -> str:
    """The line of a case; empty if its tokens are unknown.

    Args:
        baseline: The baseline.
        environment: Hash of its environment; empty to leave it out.
    """
    generation = baseline.generation
    if generation.token_ids is None:
        return ""
    row = baseline.row
    named = f', "env": "{environment}"' if environment else ""
    return (
        f'{{"id": {_quoted(escape_line_end(row.prompt_id))}, "variant": {_quoted(escape_line_end(row.variant))}, '
        f'"text": "{digest(generation.text)}", "tokens": [{", ".join(map(str, generation.token_ids))}], '
        f'"logprobs": {_numbers(generation.logprobs)}{_read(generation)}{named}}}'
    )


def reads_otherwise(generation: Generation) -> bool:
    """True if log-probs as read are known and differ from the written ones by more than rounding in float32."""
    written, as_read = generation.logprobs, generation.as_read
    if as_read is None or not all(map(math.isfinite, as_read)):
        return False
    return written is None or any(abs(one - other) > READ_APART for one, other in zip(written, as_read, strict=True))


def _read(generation: Generation) -> str:
    return f', "read": {_numbers(generation.as_read)}' if reads_otherwise(generation) else ""


def renamed(lines: str, row: RowKey) -> str:
    """The lines of a case under another name, otherwise unchanged."""
    names = f'{{"id": {_quoted(escape_line_end(row.prompt_id))}, "variant": {_quoted(escape_line_end(row.variant))}'
    return "\n".join(_NAMES.sub(lambda _: names, line, count=1) for line in lines.split("\n"))


def _numbers(logprobs: tuple[float, ...] | None) -> str:
    """A JSON list of numbers with 6 decimals; `null` if one is not finite, which JSON cannot hold."""
    if logprobs is None or not all(map(math.isfinite, logprobs)):
        return "null"
    return f"[{', '.join(['%.6f'] * len(logprobs)) % tuple(logprobs)}]".replace("-0.000000", "0.000000")


def _values(lines: list[str]) -> list[Any]:
    """The JSON value of each line, None if it is broken; parsed all at once if none is, which is faster."""
    try:
        values: list[Any] = json.loads(f"[{','.join(lines)}]")
    except (ValueError, RecursionError):
        values = []
    return values if len(values) == len(lines) else [_value(line) for line in lines]


def _value(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _name(line: str, value: Any) -> tuple[str, str] | None:
    """Prompt id and variant of a line; of a broken one, too, if they can still be read."""
    try:
        if isinstance(value, dict):
            return unescape(value["id"]), unescape(value["variant"])
        match = _NAMES.match(line)
        return (unescape(json.loads(match[1])), unescape(json.loads(match[2]))) if match else None
    except (ValueError, TypeError, KeyError):
        return None


def _token_line(number: int, line: str, value: Any) -> TokenLine:
    if not isinstance(value, dict):
        return TokenLine(number, line)
    token_ids = _values_of(value.get("tokens"), int)
    logprobs, as_read = (_values_of(value.get(name), float) for name in ("logprobs", "read"))
    for name, numbers in (("logprobs", logprobs), ("read", as_read)):
        is_broken = (numbers is None) != (value.get(name) is None)
        if token_ids is None or is_broken or (numbers is not None and len(numbers) != len(token_ids)):
            return TokenLine(number, line)
    return TokenLine(number, line, str(value.get("text")), token_ids, logprobs, as_read, str(value.get("env", "")))


def _values_of(values: Any, kind: type[T]) -> tuple[T, ...] | None:
    """A list of values of one kind as a tuple, else None."""
    return tuple(values) if isinstance(values, list) and set(map(type, values)) <= {kind} else None
