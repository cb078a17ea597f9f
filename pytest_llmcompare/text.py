r"""Text for terminals and logs: escapes such as `\x1b`, widths, quantities, addresses without secrets, digests. Pure.

Models, prompt tables and test names can hold anything: escape sequences, bidirectional overrides, lone surrogates,
thousands of zero-width characters, and lines that a CI service obeys (`::error::`, `##[group]`, `##vso[...]`).
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

HIDDEN = "***"

NORMAL_HOST = re.compile(r"(?:[^@:/?#\s]*|\[[0-9A-Fa-f:.%]+\])(?::\d*)?")
WEB = re.compile(r"(?:https?|wss?)\Z", re.IGNORECASE)  # in which a password can't hold a bare `/`
OPAQUE_USER = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:(?<!openai:)/?|(?<![:/\w])//)[^/?#@:\s]+:[^/?#@\s]+@")
"""`mine:user:password@host`, `http:/user:password@host` and `//user:password@host`."""


SOURCE = re.compile(r"([^=:/?#]*=)?\s*([A-Za-z][A-Za-z0-9+.-]+:.*)", re.DOTALL)  # one letter is a drive of Windows
START = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?:://|:\\?/\\?/)")
ENCODED = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*%3A(?:%2F){2}[^\s\"'<>]*", re.IGNORECASE)
WORD = re.compile(r"""[^\s"<>`]+""")
PARAMETERS = re.compile(
    r"\?[\w.\[\]%~-]+=.*|#[\w.\[\]%~-]*(?:token|key|secret|password|code|auth|sig)[\w%-]*=.*", re.DOTALL
)
ECHO = re.compile(r"(?:[^?#@&]*?echo:\?(?:&?(?:drift|delay)=[0-9.eE+-]+)+)+[^?#@&]*", re.IGNORECASE)
"""A text whose only parameters are those of `echo:` models, which are not secret."""

CLOSING = ")]}',.;:\\"  # ends a sentence or a quotation, not an address


def without_secrets(address: str) -> str:
    """Remove user, password, query and fragment from an address."""
    scheme, separator, rest = address.partition("://")
    if ECHO.fullmatch(address):
        return address
    if not separator:
        return OPAQUE_USER.sub(r"\1", _split(address)[0]) if ":" in address else PARAMETERS.sub("", address)
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    path, mark, further = _split(rest)
    if NORMAL_HOST.fullmatch(authority) and ("@" not in path or ":" not in authority or WEB.search(scheme)):
        return f"{scheme}://{_nested(path)}"
    if "@" not in path or (mark and "@" in further):
        return f"{scheme}://{HIDDEN}"
    return f"{scheme}://{_nested(path.rpartition('@')[2])}"


def source_without_secrets(text: str) -> str:
    """A model spec or a source of baselines, `[NAME=]KIND:REST`, without the secrets of an address in it."""
    match = SOURCE.fullmatch(text)
    return f"{match[1] or ''}{without_secrets(match[2])}" if match else OPAQUE_USER.sub(r"\1", text)


def in_text_without_secrets(text: str) -> str:
    """A text, such as the message of a library, without the secrets of all addresses and paths in it."""
    return WORD.sub(lambda match: _word(match[0]), text)


def error_line(error: Exception) -> str:
    """Class and first line of a library's error, without secrets."""
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {in_text_without_secrets(first)[:500]}"


def _split(rest: str) -> tuple[str, str, str]:
    """The parts before and after the first `?` or `#`, and that sign between them."""
    match = re.search(r"[?#]", rest)
    return (rest[: match.start()], match[0], rest[match.end() :]) if match else (rest, "", "")


def _nested(path: str) -> str:
    """A path without the secrets of addresses in it."""
    match = START.search(path)
    return path if match is None else path[: match.start()] + without_secrets(path[match.start() :].replace("\\/", "/"))


def _word(word: str) -> str:
    """A word of a text without secrets."""
    inner = word.rstrip(CLOSING)
    end = word[len(inner) :]
    if ECHO.fullmatch(inner):
        return word
    inner = ENCODED.sub(HIDDEN, inner)
    match = START.search(inner)
    before = inner if match is None else inner[: match.start()]
    address = "" if match is None else without_secrets(inner[match.start() :].replace("\\/", "/"))
    return PARAMETERS.sub("", OPAQUE_USER.sub(r"\1", before)) + address + end


def count(number: int, noun: str) -> str:
    """Format a number with its noun: `1 case`, `1,200 cases`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Format a time span in its two largest units: `12 ms`, `3.4 s`, `1 min 15 s`, `2 h 05 min`."""
    if 0 < seconds < 0.0005:
        return "<1 ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60:02} min"


def per_second(number: float, seconds: float) -> str:
    """Format a number per second: `41.7`, `1,234`; empty if it is unknown."""
    if number <= 0 or seconds <= 0:
        return ""
    per_second = number / seconds
    return f"{per_second:.1f}" if per_second < 99.95 else f"{per_second:,.0f}"


def share(part: int, whole: int) -> str:
    """Format a part of a whole in percent. Only 0 is `0%`, only all is `100%`; empty if the whole is 0."""
    if not whole:
        return ""
    if part in (0, whole):
        return "100%" if part else "0%"
    percent = 100 * part / whole
    return "<0.1%" if percent < 0.1 else ">99.9%" if percent > 99.9 else f"{percent:.1f}%"


def number(value: float | None) -> str:
    """Format a measurement with two significant digits: `1.8`, `0.0031`, `4e-06`; empty if it is None."""
    return "" if value is None else f"{value:.2g}"


def percent(share: float) -> str:
    """Format a share from 0 to 1 in percent: `0%`, `4.2%`, `100%`."""
    return f"{100 * share:.0f}%" if share in (0, 1) else f"{100 * share:.1f}%"


MOST_MARKS = 4  # zero-width characters in a row; Hebrew, Thai and emoji need fewer, and more would climb over lines
JOINERS = "\u200c\u200d"

_NAMED = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
_STARTS_COMMAND = re.compile(r"^( *):(?=:)")  # GitHub ignores blanks before it
_HOLDS_COMMAND = re.compile(r"##(?=[A-Za-z]*\[)")  # obeyed anywhere in a line


def escape(text: str) -> str:
    """Escape text of a model on one line, without loss: its own backslashes are doubled, as in `repr`."""
    return disarm(text.replace("\\", "\\\\"))


def disarm(text: str) -> str:
    """Escape our own text with foreign names in it; backslashes stay, so that commands still work."""
    if not (text.isascii() and text.isprintable()):
        text = _visible(text)
    if ":" not in text and "#" not in text:
        return text
    return _HOLDS_COMMAND.sub(r"#\\x23", _STARTS_COMMAND.sub(r"\1\\x3a", text))


def escape_char(char: str) -> str:
    """Return the escape of a character, whether it needs one or not."""
    code = ord(char)
    return _NAMED.get(char) or (
        f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    )


def encodable(text: str, encoding: str) -> str:
    """Escape the characters that an encoding lacks."""
    try:
        return text.encode(encoding, "backslashreplace").decode(encoding)
    except LookupError:
        return encodable(text, "ascii")


def quoted(text: str, columns: int) -> str:
    """Quote and escape text, cut to this number of columns, quotes included."""
    shown = cut(escape(text), columns - 2)
    mark = '"' if "'" in shown and '"' not in shown else "'"
    return f"{mark}{shown}{mark}"


def width(text: str) -> int:
    """Return the columns of a text on a terminal: 2 for CJK and for a sequence of emoji, 0 for combining marks."""
    if text.isascii():
        return len(text)
    from wcwidth import wcswidth, wcwidth

    columns: int = wcswidth(text)
    return columns if columns >= 0 else sum(abs(wcwidth(char)) for char in text)  # it holds control characters


def cut(text: str, columns: int, mark: str = "…") -> str:
    """Replace the end of a text with a mark if it is wider than `columns`."""
    return text if width(text) <= columns else _first(text, columns - len(mark)) + mark[: max(columns, 0)]


def cut_start(text: str, columns: int, mark: str = "…") -> str:
    """Replace the beginning of a text with a mark if it is wider than `columns`, if possible before a word."""
    if width(text) <= columns:
        return text
    end = _last(text, columns - len(mark))
    end = end[end.find(" ") + 1 :] or end
    while end and width(mark + end) > columns:  # its first character may join the mark
        end = end[1:]
    return mark[: max(columns, 0)] + end


def pad(text: str, columns: int) -> str:
    """Fill a text with spaces to this number of columns."""
    return text + " " * (columns - width(text))


def _visible(text: str) -> str:
    """Escape invisible characters; joiners stay between letters that need them."""
    pieces = []
    marks = 0
    for at, char in enumerate(text):
        joins = char in JOINERS and all(map(_joinable, (text[at - 1 : at], text[at + 1 : at + 2])))
        marks = marks + 1 if joins or _is_mark(char) else 0
        shown = (joins or char.isprintable()) and marks <= MOST_MARKS
        pieces.append(char if shown else escape_char(char))
    return "".join(pieces)


def _joinable(char: str) -> bool:
    return char.isprintable() and not char.isascii()


def _is_mark(char: str) -> bool:
    """True for a character without a width."""
    return char in JOINERS or unicodedata.category(char) in ("Mn", "Me")


def _first(text: str, columns: int) -> str:
    """Return the longest beginning of a text that fits."""
    return text[: bisect_right(range(len(text) + 1), columns, key=lambda end: width(text[:end])) - 1]


def _last(text: str, columns: int) -> str:
    """Return the longest end of a text that fits, without marks at its start, which would join the character before."""
    length = bisect_right(range(len(text) + 1), columns, key=lambda size: width(text[len(text) - size :])) - 1
    end = text[len(text) - length :]
    return end[next((at for at, char in enumerate(end) if not _is_mark(char)), len(end)) :]


_as_json = json.JSONEncoder(sort_keys=True, default=str).encode  # `json.dumps` makes an encoder for each call


def digest(text: str) -> str:
    """First 8 hex digits of the SHA-256 of `text`, which may have lone surrogates."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def digest_of(facts: Mapping[str, Any]) -> str:
    """`digest` of facts by name, whatever their order."""
    return digest(_as_json(facts))
