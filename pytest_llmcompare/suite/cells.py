"""Check and convert the cells of a prompt table that have a role: prompt, id, target, examples, settings. Pure."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from typing import Any

from pytest_llmcompare.models.gen_config import problems

from .raw_rows import shown_value

GIVE_IDS = "Give every prompt its own id, or drop the column to have ids made from the prompts."
WRITE_PROMPT = "Write a prompt, or remove the row."
CHAT = (
    'Write a conversation as a list of messages, [{"role": "user", "content": "Hi"}], in a column \'messages\'; in CSV '
    "as JSON text."
)
ONE_TEXT = "Write one row per text, or join the texts to one."
QUOTE_TEXT = "Put it in quotes, or convert the column to text."
MANY_ANSWERS = (
    "Write the answer to compare with as text. To keep all accepted answers, rename the column, e.g. to 'answers': "
    "it is then in llm_case.columns, for an assert of your own."
)
YES_OR_NO = 'Write the answer as the model should give it, in quotes: "yes" or "true".'
MOST_EXACT = 2**53  # beyond it, floats skip whole numbers
JOINERS = "\u200c\u200d"  # zero-width, and part of the spelling of Persian words and of emoji


class CellError(ValueError):
    """A faulty cell.

    Attributes:
        whats: What is wrong with it, a sentence per fault.
        advice: What to do about it.
    """

    def __init__(self, *whats: str, advice: str = "") -> None:
        super().__init__(*whats)
        self.whats = whats
        self.advice = advice


class WantedError(ValueError):
    """What an assertion on an output wants cannot be read."""


def prompt(column: str, value: object) -> str:
    """Check a prompt.

    Raises:
        CellError: Not text, or empty.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        raise CellError(f"{column} {'has only spaces' if value else 'is empty'}.", advice=WRITE_PROMPT)
    if is_chat(value) or (isinstance(value, str) and is_chat_json(value)):
        raise CellError(f"{column} holds chat messages ({shown_value(value)}), expected one text.", advice=CHAT)
    if isinstance(value, list):
        raise CellError(f"{column} is a list: {shown_value(value)}, expected one text.", advice=ONE_TEXT)
    return text(column, value)


def is_chat(value: object) -> bool:
    """True if a value is a chat: messages with a role and a content, as OpenAI or ShareGPT name them."""
    if isinstance(value, list):
        return bool(value) and all(isinstance(part, Mapping) and is_chat(part) for part in value)
    if not isinstance(value, Mapping):
        return False
    names = set(value)
    return (
        {"role", "content"} <= names
        or {"from", "value"} <= names
        or any(isinstance(value[name], list) and is_chat(value[name]) for name in names & {"messages", "conversations"})
    )


def is_chat_json(value: str) -> bool:
    """True if a text is a chat as JSON."""
    if value.lstrip()[:1] not in {"[", "{"} or not any(name in value for name in ('"role"', '"from"')):
        return False
    try:
        return is_chat(json.loads(value))
    except (ValueError, RecursionError):
        return False


def prompt_id(column: str, value: object) -> str:
    """Check an id; the whole number `7` is the same id as integer and as float.

    Raises:
        CellError: Not text or a number, or text that cannot be part of a test's name.
    """
    if is_number(value):
        return number_text(column, value)
    if value is None or (isinstance(value, str) and not value.strip()):
        raise CellError(f"{column} {'has only spaces' if value else 'is empty'}.", advice=GIVE_IDS)
    if not isinstance(value, str):
        raise CellError(f"{column} is {shown_value(value)}, expected text or a number.", advice=QUOTE_TEXT)
    if value != value.strip():
        raise CellError(f"{column} {value!r} has spaces at its ends.", advice="Remove the spaces around ids.")
    hidden = [char for char in value if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]
    if set(hidden) - set(JOINERS):
        raise CellError(
            f"{column} {value!r} holds characters that do not show.", advice="Use letters and digits in ids."
        )
    return value


def target(column: str, value: object) -> str | None:
    """Check an expected answer; a number becomes its text.

    Raises:
        CellError: Not text or a number.
    """
    if is_number(value):
        return number_text(column, value)
    if isinstance(value, bool):
        raise CellError(f"{column} is {str(value).lower()}, expected text.", advice=YES_OR_NO)
    if isinstance(value, (list, Mapping)):
        kind = "a list" if isinstance(value, list) else "an object"
        raise CellError(f"{column} is {kind}: {shown_value(value)}, expected one text.", advice=MANY_ANSWERS)
    return None if value is None else text(column, value)


def is_number(value: object) -> bool:
    """True if a value is a number, booleans excluded; decimals come from parquet and databases."""
    return (isinstance(value, (int, float)) and not isinstance(value, bool)) or type(value).__name__ == "Decimal"


def number_text(column: str, value: Any) -> str:
    """A number as text, without `.0`.

    Raises:
        CellError: A number without an exact spelling.
    """
    exact = isinstance(value, int) or abs(value) < MOST_EXACT  # neither infinite nor NaN
    if not exact:
        what = f"{column} is {shown_value(value)}: this number cannot be written as text without loss."
        raise CellError(what, advice=QUOTE_TEXT)
    try:
        return str(int(value)) if value == int(value) else f"{value:f}" if not isinstance(value, float) else str(value)
    except ValueError:
        raise CellError(f"{column} is a number with too many digits.", advice=QUOTE_TEXT) from None


def examples(column: str, value: object) -> str | None:
    """Check the few-shot examples of one row.

    Raises:
        CellError: Not text.
    """
    return None if value is None else text(column, value)


def text(column: str, value: object) -> str:
    """Check that a value is text that a tokenizer can take.

    Raises:
        CellError: Not text, or a lone surrogate in it.
    """
    if not isinstance(value, str):
        raise CellError(f"{column} is {shown_value(value)}, expected text.", advice=QUOTE_TEXT)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        half = value[error.start]
        raise CellError(f"{column} holds half a character ({half!r}), which no model can read.") from None
    return value


def settings(column: str, value: object) -> dict[str, Any]:
    """Check the decoding settings of one row: a dict or JSON text.

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
                f"{column} is {shown_value(value)}, which is not JSON: {error}.",
                advice='Write decoding settings as JSON, with double quotes: {"max_new_tokens": 10}.',
            ) from None
    if not isinstance(config, dict):
        raise CellError(
            f'{column} is {shown_value(value)}, expected decoding settings such as {{"max_new_tokens": 10}}.'
        )
    faults = problems(config)
    if faults:
        raise CellError(*(f"{column}: {fault}" for fault in faults))
    return config
