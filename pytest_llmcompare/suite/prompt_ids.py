"""Prompt ids made from the rows themselves, for tables without an `id` column. Pure.

An id is a slug of the prompt and 6 hex digits of the row's content: `what_color_is_the_sky_3f1c9a`. It depends on
that row alone, so other rows can be inserted, moved and removed without renaming it. The digits are always there,
because prompts that differ only in case, punctuation, examples or settings have the same slug, and an id must not
change when such a prompt is added.

A prompt without Latin letters and digits keeps its own letters: `你好_0e8fe7`. The standard library cannot
write Chinese or Arabic in Latin letters, and half a transcription would tell readers less. Baseline files, summaries
and reports show such ids as they are. pytest escapes them in the names of its tests, one letter as six characters, so
there are few of them; `-k` finds them by their digits.
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
"""What the id of a row depends on: input, examples or conversation, decoding settings."""

LONGEST = 33  # characters of a slug, so that an id with its 6 digits has at most 40
DIGITS = 6
LONGEST_OTHER = 16  # characters of a slug that is not Latin, six times as many in the name of a test
NOTHING_LEFT = "prompt"  # the slug of a prompt without letters and digits

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
    """The prompt's first words, without `Q:` and `A:` around them, cut at the end of a word.

    `[a-z0-9_]+` where there are Latin letters or digits, else the letters that there are.
    """
    text = APOSTROPHES.sub("", ANSWERING.sub("", ASKING.sub("", prompt[:1000]))).casefold()
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    if words := WORD.findall(plain):
        return first_words(words, LONGEST)
    return first_words(words_of(text), LONGEST_OTHER) or NOTHING_LEFT


def words_of(text: str) -> list[str]:
    """The words of a text in any script: letters and digits with their vowel signs and accents.

    Characters that do not show are left out; in Persian one of them joins the parts of a word.
    """
    made = [" "]
    for char in unicodedata.normalize("NFKC", text):
        kind = unicodedata.category(char)
        if kind[0] in "LN" or (kind[0] == "M" and made[-1] != " "):
            made.append(char)
        elif kind != "Cf":
            made.append(" ")
    return "".join(made).split()


def first_words(words: Sequence[str], longest: int) -> str:
    """As many words as fit, joined by `_`; the first one is cut if need be."""
    made = words[0][:longest] if words else ""
    for word in words[1:]:
        if len(made) + 1 + len(word) > longest:
            break
        made += f"_{word}"
    return made
