"""Turns the input of a pyfunc (texts, lists, dicts, arrays, DataFrames) into rows. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pytest_llmcompare.decoding.request import Request
from pytest_llmcompare.errors import GenerationError, UsageError, nearest_hint
from pytest_llmcompare.models.conversation import Conversation, Prompt
from pytest_llmcompare.models.gen_config import complete, problems
from pytest_llmcompare.suite.cells import CellError, settings, text
from pytest_llmcompare.suite.conversation import FORM, NO_EXAMPLES, from_json, question, tools
from pytest_llmcompare.suite.raw_rows import from_frame, is_frame, plain_value, shown_value

INPUT, EXAMPLES, CONFIG, SEED = "input_text", "few_shot_examples", "config_dict", "seed"
MESSAGES, TOOLS = "messages", "tools"
SEEDS = (-(2**63), 2**64)  # what torch takes: from the first, below the second
FORMS = "a text, a list of texts or of dicts, a dict of columns, or a pandas DataFrame"

Record = Mapping[str, Any]


def records_in(given: object) -> list[Record]:
    """The rows of a pyfunc's input; a single text is one row with a column `input_text`.

    Raises:
        UsageError: It has no rows, or columns of different length.
        TableError: A DataFrame with two columns of one name.
    """
    if isinstance(given, str):
        return [{INPUT: given}]
    rows = rows_in(given)
    # MLflow makes a single row of a dict of columns.
    if len(rows) == 1 and isinstance(rows[0].get(INPUT), list):
        return records_of_columns(rows[0])
    return rows


def rows_in(given: object) -> list[Record]:
    """The rows of a DataFrame, dict of columns, array or list."""
    if is_frame(given):
        return [record.cells for record in from_frame("model input", given, lambda number, _: f"row {number}").records]
    if isinstance(given, Mapping):
        if isinstance(given.get(MESSAGES), list) and all(isinstance(one, Mapping) for one in given[MESSAGES]):
            return [{str(name): plain_value(cell) for name, cell in given.items()}]
        return records_of_columns({str(name): plain_value(cells) for name, cells in given.items()})
    rows = plain_value(list(given)) if isinstance(given, (list, tuple)) else plain_value(given)
    if not isinstance(rows, list):
        raise UsageError(f"the model's input is {shown_value(given)}, expected {FORMS}.")
    return [row if isinstance(row, Mapping) else {INPUT: only(row)} for row in rows]


def only(row: object) -> object:
    """The single cell of a row that is a list, as in an array of one column."""
    return row[0] if isinstance(row, list) and len(row) == 1 else row


def records_of_columns(columns: Mapping[str, Any]) -> list[Record]:
    """Rows of a dict of columns; a value that isn't a list is repeated in every row.

    Raises:
        UsageError: Columns of different length.
    """
    lengths = {name: len(cells) for name, cells in columns.items() if isinstance(cells, list)}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise UsageError(f"the model's input has columns of different length ({listed}). Give each one cell per row.")
    count = next(iter(lengths.values()), 1)
    return [
        {name: cells[index] if name in lengths else cells for name, cells in columns.items()} for index in range(count)
    ]


def input_column(records: Sequence[Record], *, named: bool) -> str:
    """Name of the column with the prompts: `input_text`, `messages`, or the only column.

    Args:
        records: The rows.
        named: Whether it has to be called `input_text`.

    Raises:
        UsageError: There is no such column.
    """
    columns = list(dict.fromkeys(str(name) for record in records for name in record))
    if INPUT in columns or not records:
        return INPUT
    if MESSAGES in columns:
        return MESSAGES
    if len(columns) == 1 and not named:
        return columns[0]
    listed = ", ".join(map(repr, columns)) or "none"
    raise UsageError(
        f"the model's input has no column {INPUT!r}, which holds the prompts; its columns: {listed}."
        f"{nearest_hint(INPUT, columns)}\n"
        f'Rename it: frame.rename(columns={{"...": "{INPUT}"}})'
    )


def shared_requests(given: object, examples: str, gen_config: Mapping[str, Any]) -> list[Request | GenerationError]:
    """A request per text, all with the same examples and settings; an error in place of a cell that holds no text."""
    records = records_in(given)
    column = input_column(records, named=False)
    return [shared_request(record, column, examples, gen_config) for record in records]


def shared_request(
    record: Record, column: str, examples: str, gen_config: Mapping[str, Any]
) -> Request | GenerationError:
    """The request of one text."""
    try:
        return Request(prompt_in(record, column, examples), gen_config)
    except CellError as error:
        return cell_fault(error)


def own_requests(given: object) -> list[Request | GenerationError]:
    """A request per row, each with its own examples, settings and seed; an error in place of a faulty row."""
    records = records_in(given)
    input_column(records, named=True)
    return [own_request(record) for record in records]


def own_request(record: Record) -> Request | GenerationError:
    """The request of one row."""
    try:
        examples = record.get(EXAMPLES)
        prompt = prompt_in(record, INPUT, "" if examples is None else text(EXAMPLES, examples))
        return Request(prompt, settings_in(record.get(CONFIG)), seed_in(record.get(SEED)))
    except CellError as error:
        return cell_fault(error)


def prompt_in(record: Record, column: str, examples: str) -> Prompt:
    """The prompt of a row: its messages, else its text after the examples.

    A cell of messages may also hold an object with `messages` and `tools`, as requests to chat models do.

    Raises:
        CellError: It is faulty, or there are examples before a conversation.
    """
    value, offered = record.get(MESSAGES), record.get(TOOLS)
    if value is None and offered is None:
        return examples + text(column, record.get(column))
    value = record.get(column) if value is None else value
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        value = from_json(MESSAGES, value, FORM)
    if isinstance(value, Mapping) and MESSAGES in value:
        value, offered = value[MESSAGES], value.get(TOOLS, offered)
    offered = tools(TOOLS, offered)
    asked = question(MESSAGES, value, named=True)
    if isinstance(asked, str) and not offered:
        return examples + asked
    if examples:
        raise CellError(NO_EXAMPLES)
    return Conversation((Conversation.of_text(asked) if isinstance(asked, str) else asked).messages, offered)


def settings_in(value: object) -> dict[str, Any]:
    """The decoding settings of a cell, completed with the defaults.

    Raises:
        CellError: They are faulty, alone or together with the defaults.
    """
    gen_config = complete(settings(CONFIG, value))
    if faults := problems(gen_config):
        raise CellError(*(f"{CONFIG}: {fault}" for fault in faults))
    return gen_config


def seed_in(value: object) -> int | None:
    """The seed of a cell; pandas makes it a float if other rows have none.

    Raises:
        CellError: It is not an integer of at most 64 bits.
    """
    if value is None:
        return None
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    if not isinstance(whole, int) or isinstance(whole, bool) or not SEEDS[0] <= whole < SEEDS[1]:
        raise CellError(f"{SEED} is {shown_value(value)}, expected an integer of at most 64 bits.")
    return whole


def cell_fault(error: CellError) -> GenerationError:
    """The outcome of a faulty row."""
    return GenerationError("\n".join([*error.whats, error.advice] if error.advice else error.whats))


def json_text(config: Mapping[str, Any]) -> str:
    """Decoding settings as the text of a `config_dict` cell."""
    return json.dumps(dict(config), sort_keys=True)


def faulty_rows(faults: Iterable[tuple[int, GenerationError]], count: int) -> GenerationError:
    """One error for all faulty rows, which it numbers from 1."""
    return GenerationError("\n".join(f"row {index + 1} of {count}: {error}" for index, error in sorted_faults(faults)))


def sorted_faults(faults: Iterable[tuple[int, GenerationError]]) -> list[tuple[int, GenerationError]]:
    """Faults in the order of their rows."""
    return sorted(faults, key=lambda numbered: numbered[0])
