"""Addresses as they may be shown, logged or stored: without user info, query and fragment. Pure.

Any of these can hold a key. Where an address is too broken to tell them from the host, nothing of it is left but its
scheme: it's better to show too little.
"""

from __future__ import annotations

import re

HIDDEN = "***"

NORMAL_HOST = re.compile(r"(?:[^@:/?#\s]*|\[[0-9A-Fa-f:.%]+\])(?::\d*)?")
WEB = re.compile(r"(?:https?|wss?)\Z", re.IGNORECASE)  # in which a password can't hold a bare `/`
OPAQUE_USER = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:/?|(?<![:/\w])//)[^/?#@:\s]+:[^/?#@\s]+@")
"""`mine:user:password@host`, `http:/user:password@host` and `//user:password@host`."""


SOURCE = re.compile(r"([^=:/?#]*=)?\s*([A-Za-z][A-Za-z0-9+.-]+:.*)", re.DOTALL)  # one letter is a drive of Windows
START = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?:://|:\\?/\\?/)")
ENCODED = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*%3A(?:%2F){2}[^\s\"'<>]*", re.IGNORECASE)
WORD = re.compile(r"""[^\s"<>`]+""")
PARAMETERS = re.compile(
    r"\?[\w.\[\]%~-]+=.*|#[\w.\[\]%~-]*(?:token|key|secret|password|code|auth|sig)[\w%-]*=.*", re.DOTALL
)
CLOSING = ")]}',.;:\\"  # ends a sentence or a quotation, not an address


def without_secrets(address: str) -> str:
    """An address without user, password, query and fragment."""
    scheme, separator, rest = address.partition("://")
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
    """A model spec or a source of baselines, `[NAME=]KIND:ANYTHING`, without the secrets of an address in it."""
    found = SOURCE.fullmatch(text)
    return f"{found[1] or ''}{without_secrets(found[2])}" if found else OPAQUE_USER.sub(r"\1", text)


def in_text_without_secrets(text: str) -> str:
    """The same for every address in a text, such as the message of a library; parameters of bare paths go, too."""
    return WORD.sub(lambda found: _word(found[0]), text)


def _split(rest: str) -> tuple[str, str, str]:
    """What stands before the first `?` or `#`, that sign, and what stands after it."""
    found = re.search(r"[?#]", rest)
    return (rest[: found.start()], found[0], rest[found.end() :]) if found else (rest, "", "")


def _nested(path: str) -> str:
    """A path in which further addresses may stand."""
    found = START.search(path)
    return path if found is None else path[: found.start()] + without_secrets(path[found.start() :].replace("\\/", "/"))


def _word(word: str) -> str:
    """A word of a text, cleaned."""
    inner = word.rstrip(CLOSING)
    end = word[len(inner) :]
    inner = ENCODED.sub(HIDDEN, inner)
    found = START.search(inner)
    before = inner if found is None else inner[: found.start()]
    address = "" if found is None else without_secrets(inner[found.start() :].replace("\\/", "/"))
    return PARAMETERS.sub("", OPAQUE_USER.sub(r"\1", before)) + address + end
