"""Lines for a terminal: signs, widths, encodings, colours. Pure: reports can be drawn without a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pytest_llmcompare.judgement import Verdict, look_of, severity_of
from pytest_llmcompare.text import cut, disarm, encodable, escape, width

ASCII = {"≈": "~", "≠": "#", "…": "~", "─": "-", "×": "x", "✗": "x"}
"""Substitutes of our signs for outputs that cannot encode them; of the same width."""

Span = tuple[int, int, Mapping[str, bool]]
"""Start and end of a part of a line, the end not included, and its markup."""


class Styled(NamedTuple):
    """One line for `TerminalWriter.line(text, **markup)`; parts in `spans` have a markup of their own."""

    text: str
    markup: Mapping[str, bool] = {}
    spans: tuple[Span, ...] = ()

    def parts(self) -> list[tuple[str, Mapping[str, bool]]]:
        """The line in pieces of one markup each."""
        at, parts = 0, []
        for start, end, markup in self.spans:
            parts += [(self.text[at:start], self.markup), (self.text[start:end], markup)]
            at = end
        return [part for part in (*parts, (self.text[at:], self.markup)) if part[0]]


@dataclass(frozen=True)
class Page:
    """Width and encoding of a terminal.

    Attributes:
        columns: Largest width of a line.
        encoding: Encoding of the output. ASCII signs stand in for those of our signs that it lacks.
    """

    columns: int
    encoding: str = "utf-8"
    plain: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        signs = "".join(ASCII)
        object.__setattr__(self, "plain", encodable(signs, self.encoding) != signs)

    def sign(self, char: str) -> str:
        """Return one of our signs, or its substitute."""
        return ASCII.get(char, char) if self.plain else char

    def text(self, text: str) -> str:
        """Escape text of a model."""
        return encodable(escape(text), self.encoding)

    def name(self, name: str) -> str:
        """Escape the name of a model, table or prompt. Names are never cut: a part of one names something else."""
        return encodable(disarm(name), self.encoding)

    def cut(self, text: str, columns: int) -> str:
        """Cut the end of an escaped text if it is too wide."""
        return cut(text, columns, self.sign("…"))

    def line(self, text: str, **markup: bool) -> Styled:
        """Finish a line: escaped, as its parts together may be harmful, and no wider than the terminal."""
        return Styled(self.cut(disarm(text.rstrip()), self.columns), markup)

    def wrapped(self, text: str, **markup: bool) -> list[Styled]:
        """Finish a text on as many lines as it needs."""
        return [self.line(line, **markup) for line in wrap(encodable(disarm(text), self.encoding), self.columns)]


def wrap(text: str, columns: int, indent: str = "  ") -> list[str]:
    """Wrap text at spaces; lines after the first are indented. Words wider than a line are broken."""
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
    """Break a word into parts of at most `columns` columns."""
    parts = []
    while word:
        part = cut(word[: columns + 1], columns, "")
        parts.append(part)
        word = word[len(part) :]
    return parts


def markup_of(verdicts: Iterable[Verdict | None]) -> dict[str, bool]:
    """Return the colour of a line with cases of these verdicts: that of the most severe one."""
    worst = look_of(max(verdicts, key=severity_of, default=None))
    return {worst.markup: True} if worst.markup else {}
