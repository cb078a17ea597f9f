"""File names made from the names of tables and models."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection

TEXT_SUFFIX = ".baseline"
TOKENS_SUFFIX = ".tokens.jsonl"

_LONGEST = 255 - len(TOKENS_SUFFIX)  # bytes, which are characters here
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|$)", re.IGNORECASE)  # on Windows


def safe_name(true_name: str, taken: Collection[str] = ()) -> str:
    """The name of a file (without suffix) or folder for a table or model; safe on every file system.

    The name itself where that is possible, else a cleaned one with `~` and 6 hex digits of the true name's SHA-256.
    This depends on the name alone, with one exception: of two names that differ only in case (`Qa`, `qa`) the one
    that came first has the plain file, and the other one gets digits. Digits for every name with a capital letter
    would need no exception, but most models have one. What is there already always wins, so that a file once
    written is found again whatever comes and goes beside it.

    Args:
        true_name: The name.
        taken: Names that stand in the folder already, without suffix.
    """
    plain = _cleaned(true_name)
    digits = hashlib.sha256(true_name.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    marked = f"{plain[: _LONGEST - len(digits) - 1]}~{digits}"
    if plain != true_name or len(plain) > _LONGEST or plain.endswith(".") or marked in taken:
        return marked
    twins = {name for name in taken if name.casefold() == plain.casefold()}
    return marked if twins and plain not in twins else plain


def without_suffix(file_name: str) -> str:
    """The name that a file was named after."""
    return next((file_name[: -len(end)] for end in (TEXT_SUFFIX, TOKENS_SUFFIX) if file_name.endswith(end)), file_name)


def _cleaned(name: str) -> str:
    name = _UNSAFE.sub("_", name) or "_"
    if name.startswith("."):
        name = "_" + name[1:]
    return "_" + name if _RESERVED.match(name) else name
