"""What a line of the pending file has to look like. It may come from CI, and there from a fork: from anybody."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Mapping
from typing import Any

from pytest_llmcompare.judgement import Verdict

Check = Callable[[Any, str], Any]
"""Gives a value as it can be used; the text is what the value is called in messages."""

LARGEST = 2**63 - 1
SHOWN = 40  # characters of a value


class LineError(Exception):
    """What is wrong with a line, as half a sentence: `key.prompt_id is 1, expected text`."""


def wrong(value: Any, name: str, expected: str) -> LineError:
    """The error about a value."""
    told = repr(value) if not isinstance(value, int) or abs(value) <= LARGEST else "a huge number"
    told = told if len(told) <= SHOWN else told[: SHOWN - 3] + "..."
    return LineError(f"{name} is {told}, expected {expected}")


def text(value: Any, name: str) -> str:
    """Any text."""
    if not isinstance(value, str):
        raise wrong(value, name, "text")
    return value


def name_of_file(value: Any, name: str) -> str:
    """Text that a file can be named after."""
    if not text(value, name):
        raise wrong(value, name, "a name")
    return str(value)


def folder(value: Any, name: str) -> str:
    """A folder of a project; whether it is below its root is seen when something is to be written there."""
    try:
        usable = bool(text(value, name)) and b"\0" not in os.fsencode(value)
    except UnicodeEncodeError:
        usable = False
    if not usable:
        raise wrong(value, name, "a folder")
    return str(value)


def truth(value: Any, name: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise wrong(value, name, "true or false")
    return value


def whole(value: Any, name: str) -> int:
    """A number that counts something, or names a token."""
    if type(value) is not int or not 0 <= value <= LARGEST:
        raise wrong(value, name, "a whole number from 0 on")
    return value


def number(value: Any, name: str) -> float:
    """A finite number."""
    if type(value) not in (int, float) or not math.isfinite(value if type(value) is float else 0):
        raise wrong(value, name, "a finite number")
    if abs(value) > LARGEST:
        raise wrong(value, name, "a number of reasonable size")
    return float(value)


def one_of(allowed: Collection[str]) -> Check:
    """One of these texts."""

    def check(value: Any, name: str) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise wrong(value, name, f"one of {', '.join(allowed)}")
        return value

    return check


def maybe(check: Check) -> Check:
    """A value, or null."""
    return lambda value, name: None if value is None else check(value, name)


def listed(check: Check) -> Check:
    """A list, as a tuple."""

    def check_all(value: Any, name: str) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise wrong(value, name, "a list")
        return tuple(check(one, f"{name}[{at}]") for at, one in enumerate(value))

    return check_all


def pair(value: Any, name: str) -> tuple[str, str]:
    """A name and its value."""
    if not isinstance(value, list) or len(value) != 2:
        raise wrong(value, name, "a list of two texts")
    return text(value[0], name), text(value[1], name)


def record(needed: Mapping[str, Check], further: Mapping[str, Check] | None = None) -> Check:
    """An object with these values; what else is in it is left out.

    Args:
        needed: The values that must be there.
        further: Those that may be there.
    """

    def check(value: Any, name: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise wrong(value, name, "an object")
        prefix = f"{name}." if name else ""
        missing = [key for key in needed if key not in value]
        if missing:
            raise LineError(f"{prefix}{missing[0]} is missing")
        known = {**needed, **(further or {})}
        return {key: known[key](value[key], f"{prefix}{key}") for key in known if key in value}

    return check


def generation(value: Any, name: str) -> dict[str, Any]:
    """An output; what is said of its tokens is said of each of them."""
    checked: dict[str, Any] = _GENERATION(value, name)
    count = None if checked["token_ids"] is None else len(checked["token_ids"])
    for key in ("logprobs", "margins", "lengths"):
        if checked.get(key) is not None and len(checked[key]) != count:
            told = f"{name}.{key} has {len(checked[key])} values"
            raise LineError(f"{told}, expected {'none' if count is None else count}, as there are tokens")
    return checked


_GENERATION = record(
    {
        "text": text,
        "token_ids": maybe(listed(whole)),
        "logprobs": maybe(listed(number)),
        "stop": text,
        "environment": listed(pair),
    },
    {
        "margins": maybe(listed(number)),
        "verified": truth,
        "unverified": text,
        "lengths": maybe(listed(whole)),
    },
)
_LIKELIHOOD = record({"rms": number, "mean": number, "worst": number, "position": whole, "band": number})
_JUDGEMENT = record(
    {"verdict": one_of([verdict.value for verdict in Verdict]), "likelihood": maybe(_LIKELIHOOD)},
    {
        "position": maybe(whole),
        "length": maybe(whole),
        "baseline_token": text,
        "candidate_token": text,
        "unit": one_of(("tok", "char")),
        "margin": maybe(number),
        "mismatches": maybe(whole),
        "tolerance": maybe(number),
        "reason": text,
    },
)
KEY = record(
    {
        "group": record({"folder": folder, "table": name_of_file, "model": name_of_file}),
        "prompt_id": text,
        "variant": text,
    }
)
ENTRY = record(
    {
        "key": KEY,
        **dict.fromkeys(("run", "commit", "test", "old", "prompt"), text),
        "judgement": _JUDGEMENT,
        "baseline": maybe(text),
        "new": record({"input_hash": text, "settings_hash": text, "generation": generation}),
    },
    {"against": text},
)
