"""Asks a pyfunc that this plugin did not log: a user's own `PythonModel`, a transformers-flavour model, any other.

Its signature names the columns it takes. A table is asked in parts, so that an interrupted run keeps the answers so
far. The sizes of the parts follow from the number of rows alone: a model may pad or batch the rows of one call, and a
repeated run must ask it in the same way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_llmcompare.baselines.journal import row_answer_key
from pytest_llmcompare.errors import GenerationError, ModelError, nearest_hint
from pytest_llmcompare.models.conversation import Conversation, prompt_of
from pytest_llmcompare.models.gen_config import DEFAULTS, KNOWN_KEYS, complete
from pytest_llmcompare.records import Case
from pytest_llmcompare.suite.column_names import INPUT_COLUMNS
from pytest_llmcompare.text import error_line

from .echo_model import is_echo
from .pyfunc_input import CONFIG, EXAMPLES, INPUT, MESSAGES, SEED, TOOLS, json_text
from .pyfunc_output import WrongCountError, texts_of

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel
    from mlflow.types import ColSpec, TensorSpec
    from pandas import DataFrame

    from .answers import Asking

SMALLEST_LIMIT = 8
"""Rows of a part once parts have grown to their full size, in a small table."""


def input_frame(model: PyFuncModel, cases: Sequence[Case]) -> DataFrame:
    """The input that a model's signature asks for, one row per case.

    A single column gets the whole prompt, and so does a model without a signature. Several columns are each taken from
    the table's row.

    Raises:
        ModelError: The signature requires a column that the table does not have, or has no column for conversations.
    """
    import pandas as pd

    if any(case.row.conversation for case in cases) and is_echo(model):
        return pd.DataFrame({INPUT: [case.input for case in cases]})
    metadata: Any = model.metadata
    schema = metadata.get_input_schema()
    wanted: list[ColSpec | TensorSpec] = list(schema.inputs) if schema is not None else []
    takes_messages = next((column for column in wanted if column.name == MESSAGES), None)
    if takes_messages is None and any(case.row.conversation for case in cases):
        raise no_messages_error(cases)
    if len(wanted) <= 1 and not takes_messages:
        name = next((column.name for column in wanted if column.name), INPUT)
        return pd.DataFrame({name: [case.prompt for case in cases]})
    if not schema.has_input_names():
        raise unnamed_columns_error(cases, len(wanted))
    names = [str(column.name) for column in wanted]
    rows = [cells(case, names) for case in cases]
    if takes_messages is not None:
        as_text = getattr(takes_messages.type, "name", "") == "string"
        rows = [{**row, **conversation_cells(case, as_text=as_text)} for row, case in zip(rows, cases, strict=True)]
    present = [name for name in names if any(row.get(name) is not None for row in rows)]
    if lacking := [str(column.name) for column in wanted if column.required and column.name not in present]:
        raise missing_columns_error(cases, rows, lacking)
    columns = {name: [row.get(name) for row in rows] for name in present}
    # As objects texts stay as they are: pandas' own type for them makes NaN of None.
    kinds = {
        name: object if any(isinstance(cell, str) for cell in values) else None for name, values in columns.items()
    }
    return pd.DataFrame({name: pd.Series(values, dtype=kinds[name]) for name, values in columns.items()})


def conversation_cells(case: Case, *, as_text: bool) -> dict[str, Any]:
    """Cells with the messages and tools of a case, a text as the only message; as JSON text, or as lists of dicts."""
    prompt = prompt_of(case)
    asked = prompt if isinstance(prompt, Conversation) else Conversation.of_text(prompt)
    if as_text:
        return {MESSAGES: asked.messages_json(), TOOLS: asked.tools_json()}
    fields = asked.fields()
    return {MESSAGES: fields["messages"], TOOLS: fields.get("tools")}


def cells(case: Case, names: Sequence[str]) -> dict[str, Any]:
    """Cells that a case can fill, by column name; the table's own columns take precedence over ours.

    Few-shot examples get their own column if the signature has one, else they are put before the input.
    """
    prompt = case.input if EXAMPLES in names else case.prompt
    column = next((name for name in INPUT_COLUMNS if name in names and name not in case.columns), INPUT)
    ours = {
        column: prompt,
        EXAMPLES: case.examples,
        CONFIG: json_text(case.gen_config),
        SEED: case.seed,
        "id": case.id,
        "target": case.target,
    }
    return {**ours, **case.columns}


def params_of(model: PyFuncModel, cases: Sequence[Case]) -> dict[str, Any]:
    """The decoding settings that the model takes as MLflow params and that all cases share.

    A call has one set of params for all of its rows, so what differs between them cannot be passed.
    """
    metadata: Any = model.metadata
    schema = metadata.get_params_schema()
    known = [param.name for param in schema.params if param.name in KNOWN_KEYS] if schema is not None else []
    shared = cases[0].gen_config if cases else {}
    return {
        name: shared[name]
        for name in known
        if name in shared and all(case.gen_config.get(name) == shared[name] for case in cases)
    }


class Questions:
    """The input of a model for a table: a row per case, and params that hold for all of them.

    Raises:
        ModelError: The signature requires a column that the table does not have.
    """

    def __init__(self, model: PyFuncModel, cases: Sequence[Case]) -> None:
        self.model = model
        self.cases = cases
        self.frame = input_frame(model, cases)
        self.params = params_of(model, cases)

    @property
    def facts(self) -> list[dict[str, Any]]:
        """Everything the model is given for each case."""
        return [{"input": row, "params": self.params} for row in self.frame.to_dict("records")]

    @property
    def note(self) -> str:
        """A note on decoding settings of the cases that do not reach the model; empty if all do."""
        unused = unused_settings(self.model, self.cases)
        if not unused or CONFIG in self.frame.columns:
            return ""
        return (
            f"model {self.cases[0].key.group.model!r} decodes with its own settings: the table's {', '.join(unused)} "
            f"have no effect on it. To pass them, give its signature a column {CONFIG!r}, or params if they are equal "
            "for all rows."
        )

    def ask(self, places: Sequence[int]) -> list[str | GenerationError]:
        """Ask some of the cases in one call; if that raises, row by row, to find the row at fault."""
        whole = ask(self.model, self.rows(places), self.params)
        if isinstance(whole, list):
            return whole
        alone = [ask(self.model, self.rows([place]), self.params) for place in places]
        if not any(isinstance(answer, list) for answer in alone):
            return [GenerationError(whole.reason) for _ in places]
        return [answer[0] if isinstance(answer, list) else answer for answer in alone]

    def rows(self, places: Sequence[int]) -> DataFrame:
        """Some rows of the input, numbered from 0."""
        return self.frame.iloc[[*places]].reset_index(drop=True)


def answers_in_parts(
    questions: Questions, places: Sequence[int], done: Callable[[int, str | GenerationError, float], None]
) -> None:
    """Ask some of the cases, part by part.

    Args:
        questions: Input of the table.
        places: Indices of the cases to ask.
        done: Called with the index and the answer of each case once its part is answered, and with its share of the
            part's time (seconds).

    Raises:
        WrongCountError: A part has more or fewer outputs than rows. Then no output of the model can be trusted, not
            even those of parts that fit by chance.
    """
    for start, end in parts(len(places)):
        some = places[start:end]
        started = time.perf_counter()
        answers = questions.ask(some)
        share = (time.perf_counter() - started) / len(some)
        if isinstance(answers[0], WrongCountError) and all(isinstance(answer, WrongCountError) for answer in answers):
            raise answers[0]
        for place, answer in zip(some, answers, strict=True):
            done(place, answer, share)


def parts(count: int) -> list[tuple[int, int]]:
    """Starts and ends of the parts that a table is asked in: 2, 4, 8, ... rows, then at most a sixteenth of them.

    Small parts lose little in an interruption; large ones suit a model that answers many rows together.
    """
    most = max(SMALLEST_LIMIT, -(-count // 16))
    bounds: list[tuple[int, int]] = []
    start, size = 0, 2
    while start < count:
        end = start + size if start + size < count - 1 else count  # no call for a single row that is left over
        bounds.append((start, end))
        start, size = end, min(2 * size, most)
    return bounds


def key_of(asking: Asking, facts: Mapping[str, Any]) -> str:
    """Key in the journal of the answer to a question."""
    return row_answer_key(facts, asking.identity.text)


def unused_settings(model: PyFuncModel, cases: Sequence[Case]) -> list[str]:
    """Names of the settings that the user chose and the model does not get as params."""
    passed = params_of(model, cases)
    chosen: set[str] = set()
    for case in cases:
        usual = complete({"do_sample": case.samples})
        usual["do_sample"] = DEFAULTS["do_sample"]
        chosen.update(name for name, value in case.gen_config.items() if usual.get(name) != value)
    return sorted(chosen - passed.keys())


def ask(
    model: PyFuncModel, frame: DataFrame, params: Mapping[str, Any]
) -> list[str | GenerationError] | GenerationError:
    """Call the model once; its texts, or the error that it raised."""
    try:
        return texts_of(model.predict(frame, params=dict(params) or None), len(frame))
    except Exception as error:  # from the user's own code
        return GenerationError(f"the model raised {error_line(error)}")


def missing_columns_error(
    cases: Sequence[Case], rows: Sequence[Mapping[str, Any]], lacking: Sequence[str]
) -> ModelError:
    """The error for columns that a signature requires and the table does not have."""
    group = cases[0].key.group
    offered = list(dict.fromkeys(name for row in rows for name, value in row.items() if value is not None))
    lines = [
        f"model {group.model!r}: its signature requires the column {name!r}, "
        f"which table {group.table!r} does not have.{nearest_hint(name, offered)}"
        for name in lacking
    ]
    return ModelError(
        "\n".join(lines) + f"\nThe table offers {', '.join(offered)}.\n"
        "Add the column to the table, or log the model with a signature that does not require it."
    )


def no_messages_error(cases: Sequence[Case]) -> ModelError:
    """The error for conversations and a signature without a column for them."""
    group = cases[0].key.group
    return ModelError(
        f"model {group.model!r}: table {group.table!r} holds conversations, and its signature has no column "
        f"{MESSAGES!r}.\nLog the model with a signature that has one (JSON text, or a list of objects), "
        "or compare it on a table of plain prompts."
    )


def unnamed_columns_error(cases: Sequence[Case], count: int) -> ModelError:
    """The error for a signature with several columns and no names."""
    return ModelError(
        f"model {cases[0].key.group.model!r}: its signature has {count} columns without names, "
        "so it does not say which of them is the prompt.\n"
        f"Log the model with a signature that names them, the prompt {INPUT!r}."
    )
