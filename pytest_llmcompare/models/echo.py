"""`echo:` models: deterministic answers made from the prompt, for trying out a suite without weights. Pure.

echo:                            answers each prompt with its last line that says something
echo:?drift=0.1&delay=0.01       every tenth prompt gets another answer; each prompt takes 0.01 seconds
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from pytest_llmcompare.errors import UsageError, did_you_mean

VERSION = 1
"""Version of the rule that makes answers, so that baselines of another version are not compared."""

FORM = "echo: or echo:?drift=0.1&delay=0.01"
LIMITS = {
    "drift": (1.0, "the share of prompts that get another answer"),
    "delay": (60.0, "seconds per prompt"),
}
"""Largest value and meaning of each parameter; each is 0 by default."""

DRIFTED = " (drifted)"
LONGEST = 200  # characters of an answer
_NUMBER = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
_LABEL = re.compile(r"\A\W*\w+\W*?:(?:\s+|$)")  # "Q: ", "### Answer:"


@dataclass(frozen=True)
class EchoSettings:
    """Parameters of an `echo:` model.

    Attributes:
        drift: Share of prompts, from 0 to 1, that get another answer than with `drift=0`. A hash of the prompt decides
            which, so a run can be repeated, and a larger share adds prompts to those of a smaller one.
        delay: Seconds that each prompt takes.
    """

    drift: float = 0.0
    delay: float = 0.0

    @property
    def fingerprint(self) -> str:
        """12 hex digits that change with the parameters."""
        facts = f"echo {VERSION} drift={self.drift!r} delay={self.delay!r}"
        return hashlib.sha256(facts.encode("ascii")).hexdigest()[:12]

    def answer(self, prompt: str) -> str:
        """The answer to a prompt: its last line with more than a label such as `A:`, without its label."""
        plain = _last_line(prompt)
        return plain + DRIFTED if _position(prompt) < self.drift else plain


def parse_echo(source: str, where: str) -> EchoSettings:
    """Read the parameters of an `echo:` source.

    Args:
        source: Such as `echo:?drift=0.1`.
        where: Where it was written, for messages.

    Raises:
        UsageError: An unknown or repeated parameter, or a value out of range.
    """
    rest = source.partition(":")[2].strip()
    if not rest:
        return EchoSettings()
    if not rest.startswith("?") or rest == "?":
        raise UsageError(f"{where}: {source!r} is not an echo model. Expected {FORM}.")
    values: dict[str, float] = {}
    for part in rest[1:].split("&"):
        name, equals, text = part.partition("=")
        if name not in LIMITS:
            raise UsageError(f"{where}: echo: has no parameter {name!r}.{did_you_mean(name, LIMITS)}")
        if name in values:
            raise UsageError(f"{where}: {name} is given twice. Leave one of the two out.")
        values[name] = _value(name, text if equals else "", where)
    return EchoSettings(**values)


def _value(name: str, text: str, where: str) -> float:
    largest, meaning = LIMITS[name]
    value = float(text) if _NUMBER.fullmatch(text) else -1.0
    if not 0 <= value <= largest:
        raise UsageError(f"{where}: {name}={text!r}, expected a number from 0 to {largest:g}: {meaning}.")
    return value


def _last_line(prompt: str) -> str:
    lines = [line.strip() for line in prompt.splitlines() if line.strip()]
    unlabelled = (_LABEL.sub("", line, count=1).strip() for line in reversed(lines))
    return next(filter(None, unlabelled), lines[-1] if lines else "")[:LONGEST]


def _position(prompt: str) -> float:
    """A number from 0 up to 1, evenly spread over prompts."""
    digest = hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
