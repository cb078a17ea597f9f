"""The DataFrames of an evaluation: the prompt table as MLflow's dataset, and the scores of a results table."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import pandas as pd

from pytest_llmcompare.models.conversation import Conversation
from pytest_llmcompare.records import Case, RowKey

T = TypeVar("T")

SCALARS = (str, int, float, bool)
OURS = (
    "input_text", "outputs", "baseline", "prompt_id", "variant", "messages", "tools", "few_shot_examples",
    "config_dict", "seed", "target", "expect",
)  # fmt: skip
"""Columns of the results table that are not metrics, in their order: MLflow's page that compares runs groups by the
first column and compares the second."""

LARGEST = 2**63 - 1  # the largest whole number that MLflow reads again from a table

SCORE = "/score"
"""End of the name of a metric's column in the results table."""

SHOWN = frozenset({"verdict", "margin", "likelihood_drift", "token_count", "expect"})
"""Metrics of this plugin that reports show as facts of a case."""

LONGEST_TEXT = 1000  # characters of a metric's text that reports show


class Shared(NamedTuple):
    """Examples and decoding settings that all cases have in common."""

    examples: str
    gen_config: dict[str, Any]


def shared_settings(cases: Sequence[Case]) -> Shared | None:
    """Settings that all cases share; None if they differ, or are sampled, because then each case has its own seed."""
    first = cases[0]
    alike = all(case.examples == first.examples and case.gen_config == first.gen_config for case in cases)
    return Shared(first.examples, dict(first.gen_config)) if alike and not first.samples else None


def fixed_settings(cases: Sequence[Case]) -> Shared | None:
    """Settings to log a pyfunc with; None if it has to read them, or conversations, from columns."""
    return None if any(case.row.conversation for case in cases) else shared_settings(cases)


def frame_of(cases: Sequence[Case]) -> pd.DataFrame:
    """The prompt table as MLflow's dataset: the same for every model of the table, whatever its settings and baselines.

    Args:
        cases: The cases, a row each.

    Returns:
        Columns `input_text`, `prompt_id`, `variant` if any case has one, `messages` and `tools` if any row is a
        conversation, `target` and `expect` if any row has one, and the table's own.
    """
    columns: dict[str, list[Any]] = {
        "input_text": [case.row.input for case in cases],
        "prompt_id": [case.row.id for case in cases],
    }
    if any(case.key.variant for case in cases):
        columns["variant"] = [case.key.variant for case in cases]
    if any(case.row.conversation for case in cases):
        asked = [Conversation.from_json(case.row.conversation) if case.row.conversation else None for case in cases]
        columns["messages"] = [one and one.messages_json() for one in asked]
        columns["tools"] = [one and one.tools_json() for one in asked]
    if any(case.row.target is not None for case in cases):
        columns["target"] = [case.row.target for case in cases]
    if any(case.row.expect for case in cases):
        columns["expect"] = ["\n".join(case.row.expect) for case in cases]
    for name in dict.fromkeys(name for case in cases for name in case.row.columns):
        columns[name] = plain([case.row.columns.get(name) for case in cases])
    return storable_frame(columns)


def settings_of(cases: Sequence[Case]) -> pd.DataFrame:
    """Examples, decoding settings and seed of each case, as columns that a pyfunc reads."""
    return storable_frame(
        {
            "few_shot_examples": [case.examples for case in cases],
            "config_dict": [json.dumps(dict(case.gen_config), sort_keys=True) for case in cases],
            "seed": [case.seed for case in cases],
        }
    )


def storable_frame(columns: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """A DataFrame whose texts and names can be stored."""
    return pd.DataFrame({storable(name): list(map(storable, values)) for name, values in columns.items()})


def scores_in(table: pd.DataFrame, cases: Sequence[Case]) -> dict[str, dict[RowKey, float]]:
    """The finite scores in a results table, by column and row.

    Args:
        table: MLflow's results table, a row per case.
        cases: The cases; their own columns are equal for every model, so they are not scores.
    """
    rows = _rows(table)
    scores: dict[str, dict[RowKey, float]] = {}
    for column in table.columns.difference([*_others(cases)]):
        values = dict(zip(rows, table[column].tolist(), strict=True))
        numbers = {row: float(value) for row, value in values.items() if isinstance(value, int | float)}
        finite = {row: number for row, number in numbers.items() if math.isfinite(number)}
        if finite:
            scores[str(column)] = finite
    return scores


def metrics_by_row(table: Mapping[str, Any], cases: Sequence[Case]) -> dict[RowKey, dict[str, float | str]]:
    """What metrics give each row in a results table: finite numbers, and texts such as a judge's reasons.

    Args:
        table: MLflow's results table as JSON has it, `columns` and `data` with a row per case.
        cases: The cases, whose own columns are left out.

    Returns:
        By row, the values by name of their metric: `toxicity/v1`, or `tone/justification` for a reason.
    """
    others = _others(cases)
    names = {
        at: name.removesuffix(SCORE)
        for at, name in enumerate(table["columns"])
        if name not in others and name.removesuffix(SCORE) not in SHOWN
    }
    place = {name: at for at, name in enumerate(table["columns"])}
    rows: dict[RowKey, dict[str, float | str]] = {}
    for row in table["data"]:
        given = {name: value for at, name in names.items() if (value := _shown(row[at])) is not None}
        if given:
            rows[RowKey(row[place["prompt_id"]], row[place["variant"]] or "" if "variant" in place else "")] = given
    return rows


def _rows(table: pd.DataFrame) -> list[RowKey]:
    """Names of the rows of a results table."""
    variants = table["variant"] if "variant" in table else [""] * len(table)
    return [RowKey(prompt_id, variant or "") for prompt_id, variant in zip(table["prompt_id"], variants, strict=True)]


def _others(cases: Sequence[Case]) -> set[str]:
    """Columns of a results table that no metric gave."""
    return {*OURS, *(storable(name) for case in cases for name in case.row.columns)}


def _shown(value: Any) -> float | str | None:
    """A value of a metric as reports show it; None if there is nothing to show."""
    if isinstance(value, str):
        return value[:LONGEST_TEXT] or None
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def plain(values: Sequence[Any]) -> list[Any]:
    """Cells of a column as MLflow can store them: all of one simple type, else as JSON text."""
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) <= 1 and kinds <= set(SCALARS) and not any(is_too_large(value) for value in values):
        return list(values)
    return [
        value if value is None or isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
        for value in values
    ]


def storable(value: T) -> T:
    r"""A value as pandas and MLflow can store it: a lone surrogate, which is not UTF-8, is written as `\ud83d`."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value  # type: ignore[return-value]


def is_too_large(value: Any) -> bool:
    """True if a value is an integer beyond 64 bits, which would make the table unreadable."""
    return isinstance(value, int) and not -LARGEST <= value <= LARGEST
