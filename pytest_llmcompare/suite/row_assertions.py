"""Assertions on the output of a row: the column `expect`, and the marker's `expect=` for all rows of a table."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pytest_llmcompare.errors import UsageError, did_you_mean
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.judgement import AssertionResult
from pytest_llmcompare.records import Case

from .assertion_kinds import KINDS, Check, Place, read_check
from .cells import CellError, WantedError
from .raw_rows import shown_value

FORM = re.compile(r"\s*([\w-]+)\s*(?:\(([^()]*)\)\s*)?(?::(.*))?", re.DOTALL)
"""`kind`, `kind: wanted` or `kind(number): wanted`."""

ADVICE = f"Write KIND: TEXT, such as {KINDS['contains'].example!r}. Kinds: {', '.join(KINDS)}."


@dataclass(frozen=True)
class RowAssertion:
    """One assertion on an output.

    Attributes:
        text: As reports name it: `contains: 30 days`.
        check: Returns why an output fails it; empty if it does.
    """

    text: str
    check: Check = field(compare=False)

    def result(self, output: Generation, case: Case) -> AssertionResult:
        """Check an output."""
        why = self.check(output, case)
        return AssertionResult(self.text, passed=not why, why=why)


class AssertionReader:
    """Reads the assertions of a table; equal ones are read once.

    Args:
        place: Where they look for files and functions.

    Attributes:
        known: The assertions that were read, by their texts.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.known: dict[str, RowAssertion] = {}

    def cell(self, column: str, value: object) -> tuple[str, ...]:
        """Read the cell of a row: one assertion as text, or several as a list or an object.

        Returns:
            Texts of the assertions.

        Raises:
            CellError: All that cannot be read.
        """
        texts, faults = self.read(value)
        if faults:
            raise CellError(*(f"{column}: {fault}." for fault in faults), advice=ADVICE)
        return texts

    def marker(self, value: object) -> tuple[str, ...]:
        """Read `expect=` of the marker, as `cell` does.

        Raises:
            UsageError: All that cannot be read.
        """
        texts, faults = self.read(value)
        if faults:
            raise UsageError("\n".join([*(f"llm_prompts, expect: {fault}." for fault in faults), ADVICE]))
        return texts

    def read(self, value: object) -> tuple[tuple[str, ...], list[str]]:
        """Read assertions; each counts once.

        Returns:
            Their texts, and what is wrong with the others, as sentences without a full stop.
        """
        texts: dict[str, None] = {}
        faults = []
        for item in _items(value):
            try:
                text = self._pair(item[0], item[1]) if isinstance(item, tuple) else self._text(item)
            except WantedError as error:
                faults.append(str(error))
            else:
                texts[text] = None
        return tuple(texts), faults

    def _text(self, text: object) -> str:
        """Read an assertion in one text."""
        match = FORM.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise WantedError(f"{shown_value(text)} is not an assertion")
        kind, bound, wanted = match.groups()
        return self._pair(kind if bound is None else f"{kind}({bound})", wanted)

    def _pair(self, name: object, wanted: object) -> str:
        """Read an assertion given as a kind, with its bound in parentheses, and the wanted text."""
        match = FORM.fullmatch(name) if isinstance(name, str) else None
        kind = match[1] if match else str(name)
        if match is None or match[3] is not None or kind not in KINDS:
            near = did_you_mean(kind, KINDS).rstrip(".")
            raise WantedError(f"{shown_value(_named(name, wanted))} is not an assertion.{near}")
        text = _wanted(wanted)
        label = f"{kind}({match[2].strip()})" if match[2] is not None else kind
        label = f"{label}: {text}" if text else label
        if label not in self.known:
            try:
                check = read_check(kind, _bound(match[2]), text, self.place)
            except WantedError as error:
                raise WantedError(f"{shown_value(label)}: {error}") from None
            self.known[label] = RowAssertion(label, check)
        return label


def _items(value: object) -> Iterator[object]:
    """The assertions of a cell: texts, or pairs of an object's key and value; anything else is not an assertion."""
    if isinstance(value, str):
        value = _as_json(value)
    if value is None or (isinstance(value, str) and not value.strip()):
        return
    if isinstance(value, Mapping):
        yield from value.items()
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for part in value:
            yield from part.items() if isinstance(part, Mapping) else (part,)
    else:
        yield value


def _as_json(text: str) -> object:
    """The value of a text that is a JSON list or object, as CSV holds them; else the text."""
    if text.lstrip()[:1] not in ("[", "{"):
        return text
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value


def _named(name: object, wanted: object) -> str:
    return str(name) if wanted is None else f"{name}: {str(wanted).strip()}"


def _wanted(wanted: object) -> str:
    """What an assertion wants, as text; YAML and JSON also give numbers, and nothing for `json:`."""
    if wanted is None or wanted is True:
        return ""
    if isinstance(wanted, (str, int, float)) and wanted is not False:
        return str(wanted).strip()
    raise WantedError(f"{shown_value(wanted)}, expected text")


def _bound(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        raise WantedError(f"{text!r} in the parentheses is not a number") from None
