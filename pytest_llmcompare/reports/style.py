"""How lines for a terminal are made: signs, widths, encodings, colours. Pure, so that reports need no terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pytest_llmcompare.judgement import Verdict, look_of, severity_of
from pytest_llmcompare.text import cut, disarm, encodable, escape, shorten, width

ASCII = {"≈": "~", "≠": "#", "…": "~", "─": "-", "×": "x"}
"""One character each, so that widths stay as they are."""


class Styled(NamedTuple):
    """One line for `TerminalWriter.line(text, **markup)`."""

    text: str
    markup: Mapping[str, bool] = {}


@dataclass(frozen=True)
class Page:
    """What lines are made to fit.

    Attributes:
        columns: Its width; no line is wider.
        encoding: Encoding of the output. Where it lacks our signs, ASCII signs stand for them.
    """

    columns: int
    encoding: str = "utf-8"
    plain: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        signs = "".join(ASCII)
        object.__setattr__(self, "plain", encodable(signs, self.encoding) != signs)

    def sign(self, char: str) -> str:
        """One of our own signs."""
        return ASCII.get(char, char) if self.plain else char

    def text(self, text: str) -> str:
        """Text of a model, escaped."""
        return encodable(escape(text), self.encoding)

    def name(self, name: str, columns: int) -> str:
        """Name of a model, table or prompt, escaped; its middle is cut where it is too wide."""
        return shorten(encodable(disarm(name), self.encoding), columns, self.sign("…"))

    def cut(self, text: str, columns: int) -> str:
        """Escaped text, its end cut where it is too wide."""
        return cut(text, columns, self.sign("…"))

    def line(self, text: str, **markup: bool) -> Styled:
        """A finished line: harmless as a whole, whatever its parts were, and no wider than the page."""
        return Styled(self.cut(disarm(text.rstrip()), self.columns), markup)


def wrap(text: str, columns: int, indent: str = "  ") -> list[str]:
    """Text on as many lines as it takes, broken at blanks; lines after the first are indented.

    Words that are wider than a line are broken, too.
    """
    lines = [""]
    for word in text.split():
        first, *others = pieces(word, max(columns - width(indent), 2))
        if not lines[-1].strip():
            lines[-1] += first
        elif width(lines[-1]) + 1 + width(first) <= columns:
            lines[-1] += f" {first}"
        else:
            lines.append(indent + first)
        lines.extend(indent + piece for piece in others)
    return lines if lines[0] else []


def pieces(word: str, columns: int) -> list[str]:
    """A word broken into parts of at most so many columns."""
    parts = []
    while word:
        part = cut(word[: columns + 1], columns, "")
        parts.append(part)
        word = word[len(part) :]
    return parts


def markup_of(verdicts: Iterable[Verdict | None]) -> dict[str, bool]:
    """Colour of a line with cases of these verdicts: that of the most severe one."""
    worst = look_of(max(verdicts, key=severity_of, default=None))
    return {worst.markup: True} if worst.markup else {}
