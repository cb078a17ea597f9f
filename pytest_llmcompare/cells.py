"""Cells of a prompt table that have a role: what may stand there, and as what it is read. Pure."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

from .decoding.settings import problems
from .raw_tables import shown

GIVE_IDS = "Give every prompt its own id, or drop the column to have ids made from the prompts."
WRITE_PROMPT = "Write a prompt, or remove the row."
JOINERS = "\u200c\u200d"  # zero-width, and part of the spelling of Persian words and of emoji


class CellError(ValueError):
    """A faulty cell: what is wrong with it, once per fault, and what to do."""

    def __init__(self, *whats: str, advice: str = "") -> None:
        super().__init__(*whats)
        self.whats = whats
        self.advice = advice


def prompt(column: str, value: object) -> str:
    """A prompt.

    Raises:
        CellError: Not text, or nothing to answer.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        raise CellError(f"{column} {'has only spaces' if value else 'is empty'}.", advice=WRITE_PROMPT)
    return text(column, value)


def prompt_id(column: str, value: object) -> str:
    """An id as text.

    Raises:
        CellError: Not text or a number, or text that cannot stand in the name of a test.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if value is None or (isinstance(value, str) and not value.strip()):
        raise CellError(f"{column} {'has only spaces' if value else 'is empty'}.", advice=GIVE_IDS)
    if not isinstance(value, str):
        raise CellError(f"{column} is {shown(value)}, expected text or a number.")
    if value != value.strip():
        raise CellError(f"{column} {value!r} has spaces at its ends.", advice="Remove the spaces around ids.")
    hidden = [char for char in value if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]
    if set(hidden) - set(JOINERS):
        raise CellError(
            f"{column} {value!r} holds characters that do not show.", advice="Use letters and digits in ids."
        )
    return value


def answer(column: str, value: object) -> str | None:
    """An expected answer; a number becomes its text.

    Raises:
        CellError: Not text or a number.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return None if value is None else text(column, value)


def examples(column: str, value: object) -> str | None:
    """Few-shot examples of one row.

    Raises:
        CellError: Not text.
    """
    return None if value is None else text(column, value)


def text(column: str, value: object) -> str:
    """Text that a tokenizer can take.

    Raises:
        CellError: It is none.
    """
    if not isinstance(value, str):
        raise CellError(
            f"{column} is {shown(value)}, expected text.", advice="Put it in quotes, or convert the column to text."
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        half = value[error.start]
        raise CellError(f"{column} holds half a character ({half!r}), which no model can read.") from None
    return value


def settings(column: str, value: object) -> dict[str, Any]:
    """Decoding settings of one row: a dict or JSON text.

    Raises:
        CellError: Neither, or faulty settings.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return {}
    config = value
    if isinstance(value, str):
        try:
            config = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise CellError(
                f"{column} is {shown(value)}, which is not JSON: {error}.",
                advice='Write decoding settings as JSON, with double quotes: {"max_new_tokens": 10}.',
            ) from None
    if not isinstance(config, dict):
        raise CellError(f'{column} is {shown(value)}, expected decoding settings such as {{"max_new_tokens": 10}}.')
    faults = problems(config)
    if faults:
        raise CellError(*(f"{column}: {fault}" for fault in faults))
    return config
