"""Kinds of row assertions: what each asks of an output. Each reader makes a check of the text after the colon."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from pytest_llmcompare.comparison.similarity import LEAST, PACKAGES, RATIO, Similarity, percent_at_least
from pytest_llmcompare.errors import LlmCompareError
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.records import Case

from .bounded_search import REWRITE, SearchError, bounded_search
from .cells import WantedError
from .json_schemas import read_schema
from .python_checks import read_function

Check = Callable[[Generation, Case], str]
"""Returns why an output fails it, in a few words; empty if it does."""


class Place(NamedTuple):
    """Where assertions look for files and functions, and how they measure similarity.

    Attributes:
        folder: Folder of the test file.
        root: pytest's root folder, which functions must be in.
        similarity: The marker's measure of similarity; None takes that of characters.
    """

    folder: Path
    root: Path
    similarity: Similarity | None = None


class Kind(NamedTuple):
    """A kind of assertions: what reads the text after the colon, and an example for messages."""

    read: Callable[[str, Place], Check]
    example: str


def _needed(wanted: str) -> str:
    if not wanted:
        raise WantedError("there is nothing after the colon")
    return wanted


def _contains(wanted: str, place: Place) -> Check:  # noqa: ARG001 - readers have one signature
    _needed(wanted)
    return lambda output, _: "" if wanted in output.text else "not in the output"


def _icontains(wanted: str, place: Place) -> Check:  # noqa: ARG001
    folded = _needed(wanted).casefold()
    return lambda output, _: "" if folded in output.text.casefold() else "not in the output, whatever the case"


def _not_contains(wanted: str, place: Place) -> Check:  # noqa: ARG001
    _needed(wanted)

    def check(output: Generation, case: Case) -> str:  # noqa: ARG001
        at = output.text.find(wanted)
        return "" if at < 0 else f"the output has it at character {at + 1}"

    return check


def _equals(wanted: str, place: Place) -> Check:  # noqa: ARG001
    _needed(wanted)
    return lambda output, _: "" if output.text.strip() == wanted else "the output is not equal to it"


def _starts_with(wanted: str, place: Place) -> Check:  # noqa: ARG001
    _needed(wanted)
    return lambda output, _: "" if output.text.lstrip().startswith(wanted) else "the output does not start with it"


def _regex(wanted: str, place: Place) -> Check:  # noqa: ARG001
    try:
        re.compile(_needed(wanted))
    except re.error as error:
        raise WantedError(f"not a regular expression: {error}") from None

    def check(output: Generation, case: Case) -> str:
        try:
            return "" if bounded_search(wanted, output.text) else "no match in the output"
        except SearchError as error:
            return f"the search in the {len(output.text):,} characters of {case.key} {error}. {REWRITE}"

    return check


def _json(wanted: str, place: Place) -> Check:  # noqa: ARG001
    if wanted:
        raise WantedError("json takes no text; to check what the JSON holds, write json-schema: FILE")
    return lambda output, _: _parsed(output.text)[1]


def _json_schema(wanted: str, place: Place) -> Check:
    why_not_valid = read_schema(place.folder / _needed(wanted), wanted)

    def check(output: Generation, case: Case) -> str:  # noqa: ARG001
        value, fault = _parsed(output.text)
        return fault or why_not_valid(value)

    return check


def _parsed(text: str) -> tuple[Any, str]:
    """The value of a JSON text, or why the text is not JSON."""
    try:
        return json.loads(text, parse_constant=_refuse), ""
    except (ValueError, RecursionError) as error:
        return None, f"the output is not JSON: {' '.join(str(error).split())}"


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON value")


def _max_tokens(wanted: str, place: Place) -> Check:  # noqa: ARG001
    if not wanted.isascii() or not wanted.isdigit() or int(wanted) < 1:
        raise WantedError("expected a whole number, 1 or more")
    most = int(wanted)

    def check(output: Generation, case: Case) -> str:  # noqa: ARG001
        if output.token_ids is None:
            return "this model gives only texts, so its tokens cannot be counted"
        count = len(output.token_ids)
        return "" if count <= most else f"the output has {count:,} tokens"

    return check


def _python(wanted: str, place: Place) -> Check:
    return read_function(_needed(wanted), place.folder, place.root)


def _similar(wanted: str, place: Place, least: float | None = None) -> Check:
    _needed(wanted)
    if least is not None and not 0 < least <= 1:
        raise WantedError("expected a number above 0, at most 1, in the parentheses")
    measure = _similarity(place)
    bound = measure.least if least is None else least
    located = cache(lambda: measure.located(measure.model, place.root))  # only once there is an output

    def check(output: Generation, case: Case) -> str:  # noqa: ARG001
        try:
            similarity = located()
            score = similarity.score(wanted, output.text.strip())
        except LlmCompareError as error:
            return str(error)
        return "" if score >= bound else f"{percent_at_least(score)} similar ({similarity.kind})"

    return check


def _similarity(place: Place) -> Similarity:
    """The marker's measure, or that of characters."""
    if place.similarity is not None:
        return place.similarity
    package, extra = PACKAGES[RATIO]
    if importlib.util.find_spec(package) is None:
        raise WantedError(f'{package} is not installed. Install it: pip install "pytest-llmcompare[{extra}]"')
    return Similarity(RATIO, LEAST[RATIO])


SIMILAR = "similar"
KINDS: Mapping[str, Kind] = {
    "contains": Kind(_contains, "contains: 30 days"),
    "icontains": Kind(_icontains, "icontains: 30 DAYS"),
    "not-contains": Kind(_not_contains, "not-contains: sorry"),
    "equals": Kind(_equals, "equals: Yes."),
    "starts-with": Kind(_starts_with, "starts-with: Yes"),
    "regex": Kind(_regex, r"regex: \b[0-9]+ days\b"),
    "json": Kind(_json, "json"),
    "json-schema": Kind(_json_schema, "json-schema: answer.schema.json"),
    "max-tokens": Kind(_max_tokens, "max-tokens: 40"),
    "python": Kind(_python, "python: checks.is_polite"),
    SIMILAR: Kind(_similar, "similar(0.9): You have 30 days."),
}
"""All kinds by their names."""


def read_check(kind: str, bound: float | None, wanted: str, place: Place) -> Check:
    """The check of one assertion.

    Args:
        kind: A name in `KINDS`.
        bound: Number in parentheses after the name, which only `similar` takes; None if there is none.
        wanted: The text after the colon, without white space around it.
        place: Where files and functions are looked for.

    Raises:
        WantedError: What it wants cannot be read.
    """
    if kind == SIMILAR:
        return _similar(wanted, place, bound)
    if bound is not None:
        raise WantedError(f"only {SIMILAR} takes a number in parentheses")
    return KINDS[kind].read(wanted, place)
