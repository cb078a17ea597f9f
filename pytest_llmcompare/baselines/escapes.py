r"""Backslash escapes: any text on one line of a file that editors, hooks and git treat as text.

It escapes characters that a line cannot hold (controls, lone surrogates), that tools strip (white space at the end),
and that a reviewer would not see (bidirectional overrides, zero-width characters). All others stay.
"""

from __future__ import annotations

import re

from pytest_llmcompare.text import escape_char

_HARMFUL = (
    r"\\\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    r"\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"
)
_IN_TEXT = re.compile(f"[{_HARMFUL}]")
_IN_WORD = re.compile(rf"[{_HARMFUL}\s]")
_ESCAPE = re.compile(r"\\(x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|.|$)", re.DOTALL)
_OWN = {"\\": "\\\\", " ": r"\s", "|": r"\|", "@": r"\@"}  # those besides `text.escape_char`
_MEANING = {"n": "\n", "r": "\r", "t": "\t", "e": ""} | {escape[1]: char for char, escape in _OWN.items()}
_MARK = re.compile(r"(?:^|(?<= ))@")  # would read as the beginning of a variant


def escape_line_end(text: str) -> str:
    """Escape a text at the end of a line."""
    if not text.isprintable() or "\\" in text:  # all that is harmful counts as not printable; this is faster
        text = _IN_TEXT.sub(_escaped, text)
    return text[:-1] + _escape_char(text[-1]) if text[-1:].isspace() else text


def escape_name(name: str) -> str:
    """Escape a name, so that ` @` cannot occur in it and it has no white space at its ends."""
    if not name:
        return r"\e"
    name = _MARK.sub(r"\\@", escape_line_end(name))
    return _escape_char(name[0]) + name[1:] if name[0].isspace() else name


def escape_word(text: str) -> str:
    """Escape a text, so that no white space is left in it."""
    return _IN_WORD.sub(_escaped, text)


def unescape(text: str) -> str:
    """Undo `escape_line_end`, `escape_name` or `escape_word`.

    Raises:
        ValueError: An escape that does not exist; it is the message.
    """
    return _ESCAPE.sub(_meaning, text) if "\\" in text else text


def with_line_breaks(text: str) -> str:
    """The text of a file without byte order mark, its line breaks those of Unix."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _escape_char(char: str) -> str:
    return _OWN.get(char) or escape_char(char)


def _escaped(match: re.Match[str]) -> str:
    return _escape_char(match[0])


def _meaning(match: re.Match[str]) -> str:
    code = match[1]
    if len(code) > 1 and int(code[1:], 16) < 0x110000:
        return chr(int(code[1:], 16))
    if code not in _MEANING:
        raise ValueError(match[0])
    return _MEANING[code]
