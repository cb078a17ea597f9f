"""Prompt ids made from the rows themselves, for tables without an `id` column. Pure.

An id is a slug of the prompt and 6 hex digits of the row's content: `what_color_is_the_sky_3f1c9a`. It is a function of
that row alone, so other rows can be inserted, moved and removed without renaming it. The digits are always there,
because a slug forgets: prompts that differ only in case, punctuation, examples or settings have the same one, and a
bare slug could then not stay with the first of them whatever comes later.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

Content = tuple[str, str | None, Mapping[str, Any]]
"""What makes a row what it is: input, examples, decoding settings."""

LONGEST = 33  # characters of a slug, so that an id with its 6 digits has at most 40
DIGITS = 6
NOTHING_LEFT = "prompt"  # the slug of a prompt without Latin letters and digits

ASKING = re.compile(r"\A\s*(?:q|question|user|human|input|prompt)\s*:\s*", re.IGNORECASE)
ANSWERING = re.compile(r"\s*\b(?:a|answer|assistant|output|response)\s*:\s*\Z", re.IGNORECASE)
APOSTROPHES = re.compile(r"['’]")
WORD = re.compile(r"[a-z0-9]+")


def made_ids(contents: Sequence[Content]) -> list[str]:
    """An id for each row, in order.

    Different contents get different ids. Two rows with one slug whose 6 digits happen to be equal (once in
    16 million pairs) get 12 each.
    """
    digests = [content_digest(content) for content in contents]
    slugs = [slug(text) for text, _, _ in contents]
    short = [f"{name}_{digits[:DIGITS]}" for name, digits in zip(slugs, digests, strict=True)]
    holders = Counter(name for name, _ in {*zip(short, digests, strict=True)})
    return [
        name if holders[name] == 1 else f"{stem}_{digits[: 2 * DIGITS]}"
        for name, stem, digits in zip(short, slugs, digests, strict=True)
    ]


def content_digest(content: Content) -> str:
    """Hex digest of a row's content; equal for equal contents only."""
    text, examples, settings = content
    canonical = json.dumps([text, examples, dict(settings)], sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


def slug(prompt: str) -> str:
    """The prompt's first words as `[a-z0-9_]+`, without `Q:` and `A:` around them, cut at the end of a word."""
    text = ANSWERING.sub("", ASKING.sub("", prompt[:1000]))
    plain = unicodedata.normalize("NFKD", APOSTROPHES.sub("", text).casefold()).encode("ascii", "ignore").decode()
    words = WORD.findall(plain)
    if not words:
        return NOTHING_LEFT
    made: str = words[0][:LONGEST]
    for word in words[1:]:
        if len(made) + 1 + len(word) > LONGEST:
            break
        made += f"_{word}"
    return made
