r"""Foreign text made harmless for a terminal and for a log: visible escapes such as `\x1b`, nothing that acts. Pure.

Models, prompt tables and test names can hold anything: escape sequences, bidirectional overrides, lone surrogates,
characters without width by the thousand, and lines that a CI service obeys (`::error::`, `##[group]`, `##vso[...]`).
"""

from __future__ import annotations

import re
import unicodedata

MOST_MARKS = 4  # zero-width characters in a row; Hebrew, Thai and emoji need fewer, and more would climb over lines
JOINERS = "\u200c\u200d"
WIDENS = "\ufe0f"  # asks for the emoji form of the character before it, which takes two columns

_NAMED = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
_STARTS_COMMAND = re.compile(r"^( *):(?=:)")  # GitHub ignores blanks before it
_HOLDS_COMMAND = re.compile(r"##(?=[A-Za-z]*\[)")  # obeyed anywhere in a line


def escape(text: str) -> str:
    """Text of a model on one line, without loss: backslashes of its own are doubled, as in `repr`."""
    return disarm(text.replace("\\", "\\\\"))


def disarm(text: str) -> str:
    """Text of ours with foreign names in it on one line; backslashes stay as they are, so that commands still work."""
    if not (text.isascii() and text.isprintable()):
        text = _visible(text)
    return _HOLDS_COMMAND.sub(r"#\\x23", _STARTS_COMMAND.sub(r"\1\\x3a", text))


def escape_char(char: str) -> str:
    """The escape of one character, whether it needs one or not."""
    code = ord(char)
    return _NAMED.get(char) or (
        f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    )


def encodable(text: str, encoding: str) -> str:
    """Text with escapes for what an output in this encoding cannot hold."""
    try:
        return text.encode(encoding, "backslashreplace").decode(encoding)
    except LookupError:
        return encodable(text, "ascii")


def quoted(text: str, columns: int) -> str:
    """Text in quotes, escaped and cut to at most so many columns, quotes included."""
    shown = cut(escape(text), columns - 2)
    mark = '"' if "'" in shown and '"' not in shown else "'"
    return f"{mark}{shown}{mark}"


def width(text: str) -> int:
    """Columns that text takes on a terminal: 2 for CJK and emoji, 0 for combining marks."""
    return len(text) if text.isascii() else sum(_widths(text))


def cut(text: str, columns: int, mark: str = "…") -> str:
    """Text with its end replaced by a mark where it is wider than `columns`."""
    return text if width(text) <= columns else _first(text, columns - len(mark)) + mark[: max(columns, 0)]


def shorten(name: str, columns: int, mark: str = "…") -> str:
    """A name with its middle replaced by a mark where it is wider than `columns`: ends tell names apart."""
    if width(name) <= columns:
        return name
    room = columns - len(mark)
    front = _first(name, (room + 1) // 2)
    back = _first(name[::-1], room - width(front))[::-1]
    return cut(front + mark + back, columns, mark)


def pad(text: str, columns: int) -> str:
    """Text filled with blanks to so many columns."""
    return text + " " * (columns - width(text))


def _visible(text: str) -> str:
    """Escapes for all that cannot be seen; joiners stay between letters that need them."""
    pieces = []
    marks = 0
    for at, char in enumerate(text):
        joins = char in JOINERS and all(map(_joinable, (text[at - 1 : at], text[at + 1 : at + 2])))
        marks = marks + 1 if joins or _column(char) == 0 else 0
        shown = (joins or char.isprintable()) and marks <= MOST_MARKS
        pieces.append(char if shown else escape_char(char))
    return "".join(pieces)


def _joinable(char: str) -> bool:
    return char.isprintable() and not char.isascii()


def _column(char: str) -> int:
    """Columns of one character by itself."""
    if char.isascii():
        return 1
    if char in JOINERS or unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "FW" else 1


def _widths(text: str) -> list[int]:
    """Columns that each character adds."""
    widths = [_column(char) for char in text]
    for at in range(1, len(text)):
        if text[at] == WIDENS and widths[at - 1] == 1:
            widths[at] = 1
    return widths


def _first(text: str, columns: int) -> str:
    """As much of the beginning of text as fits."""
    room = columns
    for at, taken in enumerate(_widths(text)):
        room -= taken
        if room < 0:
            return text[:at]
    return text
