"""Check the conversations of a prompt table: columns `messages` and `tools`, and lists of messages as prompts. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_llmcompare.errors import UsageError, nearest_hint
from pytest_llmcompare.models.chat_template import SERVER, TOKENIZER
from pytest_llmcompare.models.conversation import ROLES, Conversation
from pytest_llmcompare.models.spec import ModelSpec, SourceKind
from pytest_llmcompare.records import Row

from .cells import WRITE_PROMPT, CellError, prompt
from .column_names import MESSAGES, folded
from .json_text import RepeatedNameError, advice_for, syntax_fault, unique_names
from .raw_rows import shown_value

FORM = 'Write a list of messages such as [{"role": "user", "content": "Hi"}].'
TOOLS_FORM = 'Write a list of tools such as [{"type": "function", "function": {"name": "clock"}}].'
TEXT_ONLY = "Write the text of a message as its content; images and other parts are not supported."
NO_EXAMPLES = "few-shot examples cannot be put before a conversation. Write them as messages of user and assistant."
MOST_FAULTS = 3  # of one conversation


def question(column: str, value: object, *, named: bool = False) -> str | Conversation:
    """Check a prompt: a text, or a list of messages; in the column `messages` also as JSON text.

    Args:
        column: The column, for messages.
        value: The cell.
        named: Whether the marker names the column; then text without brackets is a prompt in any column.

    Raises:
        CellError: Neither, or faulty messages.
    """
    is_plain = named and isinstance(value, str) and value.lstrip()[:1] not in ("[", "{")
    if folded(column) == MESSAGES and not is_plain:
        if value is None or (isinstance(value, str) and not value.strip()):
            raise CellError(f"{column} is empty.", advice=WRITE_PROMPT)
        return conversation(column, from_json(column, value, FORM))
    if isinstance(value, list) and any(isinstance(part, Mapping) and "role" in part for part in value):
        return conversation(column, value)
    return prompt(column, value)


def from_json(column: str, value: object, form: str) -> object:
    """The content of a cell with JSON text; any other cell as it is.

    Raises:
        CellError: Broken JSON, a name twice in one object, or a number that JSON does not have.
    """
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value, object_pairs_hook=unique_names, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        what, advice = syntax_fault(error, form)
        raise CellError(f"{column} is {shown_value(value)}, which is not JSON: {what}.", advice=advice) from None
    except (ValueError, RecursionError) as error:
        advice = advice_for(error, form) if isinstance(error, RepeatedNameError | RecursionError) else form
        raise CellError(f"{column} is {shown_value(value)}: {error}.", advice=advice) from None


def conversation(column: str, value: object) -> Conversation:
    """Check a list of messages.

    Raises:
        CellError: It is something else, or messages are faulty.
    """
    if not isinstance(value, list):
        raise CellError(f"{column} is {shown_value(value)}, expected a list of messages.", advice=FORM)
    if not value:
        raise CellError(f"{column} is an empty list, expected at least one message.", advice=FORM)
    whats: list[str] = []
    advice: dict[str, None] = {}
    for number, message in enumerate(value, 1):
        for what, hint in message_faults(message):
            whats.append(f"{column}, message {number} of {len(value)}: {what}")
            advice[hint] = None
    if not whats and value[-1]["role"] not in ("user", "tool"):
        role = value[-1]["role"]
        whats.append(f"{column}: the last message is of role {role!r}, expected user or tool: the model answers it.")
        advice["Remove the messages after the last one of the user; an answer to compare with goes into target."] = None
    elif not whats and value[-1]["role"] == "user" and not value[-1]["content"].strip():
        whats.append(f"{column}: the last message is empty.")
        advice[WRITE_PROMPT] = None
    if len(whats) > MOST_FAULTS:
        whats[MOST_FAULTS:] = [f"{column}: {len(whats) - MOST_FAULTS} more faults in its messages."]
    if whats:
        raise CellError(*whats, advice="\n".join(filter(None, advice)))
    return Conversation([_given(message) for message in value])


def message_faults(message: object) -> Iterator[tuple[str, str]]:
    """What is wrong with a message, and what to do."""
    if not isinstance(message, Mapping):
        yield f"{shown_value(message)}, expected an object with role and content.", FORM
        return
    given = _given(message)
    role, content = given.get("role"), given.get("content")
    if "role" not in given:
        yield f"no role.{nearest_hint('role', map(str, given))}", FORM
    elif role not in ROLES:
        near = nearest_hint(role, ROLES) if isinstance(role, str) else ""
        yield f"role is {shown_value(role)}, expected {', '.join(ROLES[:-1])} or {ROLES[-1]}.{near}", ""
    if isinstance(content, list):
        yield f"content is a list of parts ({shown_value(content)}), expected text.", TEXT_ONLY
    elif content is None and not (role == "assistant" and given.get("tool_calls")):
        written = "content is empty" if "content" in message else "no content"
        yield f"{written}, expected text.{nearest_hint('content', map(str, set(given) - {'role'}))}", ""
    elif content is not None and not isinstance(content, str):
        yield f"content is {shown_value(content)}, expected text.", "Put it in quotes."
    if fault := json_fault({name: value for name, value in given.items() if name != "role"}):
        yield fault, ""


def tools(column: str, value: object) -> Sequence[Mapping[str, Any]]:
    """Check the tools that a model may call: a list, or JSON text.

    Raises:
        CellError: It is something else, or a tool is faulty.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return ()
    given = from_json(column, value, TOOLS_FORM)
    if not isinstance(given, list):
        raise CellError(f"{column} is {shown_value(given)}, expected a list of tools.", advice=TOOLS_FORM)
    whats = []
    for number, tool in enumerate(given, 1):
        fault = json_fault(tool) if isinstance(tool, Mapping) else f"{shown_value(tool)}, expected an object."
        if fault:
            whats.append(f"{column}, tool {number} of {len(given)}: {fault}")
    if whats:
        raise CellError(*whats[:MOST_FAULTS], advice=TOOLS_FORM)
    return tuple(given)


def check_no_examples(rows: Sequence[Row], examples: Mapping[str, str | None]) -> None:
    """Check that no few-shot examples would come before a conversation.

    Args:
        rows: The rows.
        examples: Examples by where they were given.

    Raises:
        UsageError: There are examples, and a row with messages or tools.
    """
    where = next((name for name, text in examples.items() if text), "")
    row = next((row for row in rows if row.conversation), None)
    if where and row:
        raise UsageError(f"llm_prompts: {where}: in row {row.id!r} {NO_EXAMPLES}")


def template_of(spec: ModelSpec, row: Row, rows: Sequence[Row]) -> str:
    """The chat template that applies to a row, as in `Case`.

    A served model is asked a whole table in one way: as chats if any row is a conversation.
    """
    if spec.kind is SourceKind.SERVER:
        return SERVER if spec.server.chat or any(one.conversation for one in rows) else ""
    return spec.chat_template or (TOKENIZER if row.conversation else "")


def json_fault(value: object) -> str:
    """Why a value cannot be sent as JSON; empty if it can."""
    try:
        return next(_json_faults(value), "")
    except RecursionError:
        return "it is nested too deeply."


def _json_faults(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from (f"the name {shown_value(name)} is not text." for name in value if not isinstance(name, str))
        for part in (*value, *value.values()):
            yield from _json_faults(part)
    elif isinstance(value, list):
        for part in value:
            yield from _json_faults(part)
    elif isinstance(value, str):
        if half := next((char for char in value if "\ud800" <= char <= "\udfff"), ""):
            yield f"it holds half a character ({half!r}), which no model can read."
    elif not (value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))):
        yield f"it holds {shown_value(value)}, which JSON cannot hold."


def _given(message: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a message that are there: parquet gives every message the names of all."""
    return {name: value for name, value in message.items() if value is not None}


def _refuse(name: str) -> float:
    raise ValueError(f"JSON has no number {name}")
