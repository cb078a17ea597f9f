"""Asks a pyfunc that is not ours: a user's own `PythonModel`, a transformers-flavour model, any other.

What it wants to be given is read from its signature; what it returns is read by `outputs.py`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_llmcompare.decoding.settings import DEFAULTS, KNOWN_KEYS, complete
from pytest_llmcompare.errors import GenerationError, ModelError
from pytest_llmcompare.records import Case
from pytest_llmcompare.suite.column_names import INPUT_COLUMNS

from .faults import reason
from .inputs import CONFIG, EXAMPLES, INPUT, SEED, json_text
from .outputs import texts_of

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel
    from mlflow.types import ColSpec, TensorSpec
    from pandas import DataFrame

__all__ = ["answers", "input_frame", "params_of", "predict_each", "texts_of"]


def input_frame(model: PyFuncModel, cases: Sequence[Case]) -> DataFrame:
    """The input that a model's signature asks for, one row per case.

    A single column, or no signature, gets the whole prompt. Several columns are each taken from the row.

    Raises:
        ModelError: The signature requires what the table does not have.
    """
    import pandas as pd

    metadata: Any = model.metadata
    schema = metadata.get_input_schema()
    wanted: list[ColSpec | TensorSpec] = list(schema.inputs) if schema is not None else []
    if len(wanted) <= 1:
        name = next((column.name for column in wanted if column.name), INPUT)
        return pd.DataFrame({name: [case.prompt for case in cases]})
    if not schema.has_input_names():
        raise no_names(cases, len(wanted))
    names = [str(column.name) for column in wanted]
    rows = [cells(case, names) for case in cases]
    present = [name for name in names if any(row.get(name) is not None for row in rows)]
    if lacking := [str(column.name) for column in wanted if column.required and column.name not in present]:
        raise lacks(cases, rows, lacking)
    columns = {name: [row.get(name) for row in rows] for name in present}
    # As objects texts stay as they are: pandas' own type for them makes NaN of None.
    kinds = {name: object if any(isinstance(cell, str) for cell in found) else None for name, found in columns.items()}
    return pd.DataFrame({name: pd.Series(found, dtype=kinds[name]) for name, found in columns.items()})


def cells(case: Case, names: Sequence[str]) -> dict[str, Any]:
    """What a case has to offer for a signature of these columns, by name of the column.

    Examples go where the signature has a column for them, else before the input. The table's own columns come first.
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


def answers(model: PyFuncModel, cases: Sequence[Case], note: Callable[[str], None]) -> list[str | GenerationError]:
    """The same as `predict_each`, and a note where decoding settings of the cases do not reach the model.

    Raises:
        ModelError: The signature requires what the table does not have.
    """
    texts = predict_each(model, cases)
    if (unused := unused_settings(model, cases)) and CONFIG not in input_frame(model, cases[:1]).columns:
        note(
            f"model {cases[0].key.group.model!r} has its own decoding settings: {', '.join(unused)} of the table does "
            f"not reach it. It would through a column {CONFIG!r} or params in its signature, equal for all rows."
        )
    return texts


def unused_settings(model: PyFuncModel, cases: Sequence[Case]) -> list[str]:
    """Names of the settings that somebody chose and that the model does not get as params."""
    passed = params_of(model, cases)
    chosen: set[str] = set()
    for case in cases:
        usual = complete({"do_sample": case.samples})
        usual["do_sample"] = DEFAULTS["do_sample"]
        chosen.update(name for name, value in case.gen_config.items() if usual.get(name) != value)
    return sorted(chosen - passed.keys())


def predict_each(model: PyFuncModel, cases: Sequence[Case]) -> list[str | GenerationError]:
    """The texts of a model for all cases, asked for at once; row by row where that raises, to find who is guilty.

    Raises:
        ModelError: The signature requires what the table does not have.
    """
    frame, params = input_frame(model, cases), params_of(model, cases)
    whole = ask(model, frame, params)
    if isinstance(whole, list):
        return whole
    alone = [ask(model, frame.iloc[[place]].reset_index(drop=True), params) for place in range(len(cases))]
    if not any(isinstance(found, list) for found in alone):
        return [GenerationError(str(whole)) for _ in cases]
    return [found[0] if isinstance(found, list) else found for found in alone]


def ask(
    model: PyFuncModel, frame: DataFrame, params: Mapping[str, Any]
) -> list[str | GenerationError] | GenerationError:
    """One call of the model; the error instead where it raises."""
    try:
        return texts_of(model.predict(frame, params=dict(params) or None), len(frame))
    except Exception as error:  # it runs somebody's own code
        return GenerationError(f"the model raised {reason(error)}")


def lacks(cases: Sequence[Case], rows: Sequence[Mapping[str, Any]], lacking: Sequence[str]) -> ModelError:
    """The error for columns that a signature requires and no row of the table has."""
    group = cases[0].key.group
    offered = list(dict.fromkeys(name for row in rows for name, value in row.items() if value is not None))
    lines = []
    for name in lacking:
        near = difflib.get_close_matches(name, offered, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        lines.append(
            f"model {group.model!r}: its signature requires the column {name!r}, "
            f"which table {group.table!r} does not have.{hint}"
        )
    lines.append(f"The table offers {', '.join(offered)}.")
    lines.append("Add the column to the table, or log the model with a signature that does not require it.")
    return ModelError("\n".join(lines))


def no_names(cases: Sequence[Case], count: int) -> ModelError:
    """The error for a signature whose columns cannot be told from each other."""
    return ModelError(
        f"model {cases[0].key.group.model!r}: its signature has {count} columns without names, "
        "so it does not say which of them is the prompt.\n"
        f"Log the model with a signature that names them, the prompt {INPUT!r}."
    )
