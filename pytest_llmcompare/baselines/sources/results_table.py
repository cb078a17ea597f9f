"""`eval_results_table.json` of any MLflow run: its outputs, matched with the rows of a prompt table. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pytest_llmcompare.baselines.document import shown_case
from pytest_llmcompare.baselines.store import BaselineSet
from pytest_llmcompare.errors import BaselineError
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.records import Baseline, Case, RowKey

NAME = "eval_results_table.json"
OUTPUTS = ("outputs", "predictions", "prediction", "output")
PROMPTS = ("input_text", "prompt", "question", "text", "inputs")
PROMPT_ID, VARIANT = "prompt_id", "variant"
OTHER_PROMPT = "-"
"""In the place of a hash: the row had another prompt."""


class OutputRow(NamedTuple):
    """One row of a results table.

    Attributes:
        number: Its number in the table, from 1.
        name: Prompt id and variant, if the table has a column `prompt_id`.
        prompt: The prompt, if the table has a column with prompts.
        text: The output.
    """

    number: int
    name: RowKey | None
    prompt: str | None
    text: str


def read(text: str | bytes, source: str) -> list[OutputRow]:
    """Read a results table.

    Args:
        text: Its JSON.
        source: Name of the table for messages.

    Raises:
        BaselineError: It is not such a table, or lacks a column with outputs or prompts.
    """
    try:
        table = json.loads(text)
        columns = [str(name) for name in table["columns"]]
        rows: list[dict[str, Any]] = [dict(zip(columns, row, strict=True)) for row in table["data"]]
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise BaselineError(f"{source}: is not UTF-8: byte 0x{byte:02x} at position {error.start}.") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BaselineError(f"{source}: this is not a results table of mlflow.models.evaluate.") from None
    output = next((name for name in OUTPUTS if name in columns), None)
    prompt = next((name for name in PROMPTS if name in columns), None)
    if output is None or not (PROMPT_ID in columns or prompt):
        lack = "outputs" if output is None else "prompts"
        known = ", ".join(OUTPUTS if output is None else (PROMPT_ID, *PROMPTS))
        raise BaselineError(
            f"{source}: no column with {lack}. Expected one of {known}; there are {', '.join(columns) or 'none'}."
        )
    return [
        OutputRow(
            number,
            RowKey(str(row[PROMPT_ID]), str(row.get(VARIANT) or "")) if PROMPT_ID in columns else None,
            str(row[prompt]) if prompt else None,
            str(row[output]),
        )
        for number, row in enumerate(rows, start=1)
        if isinstance(row[output], str)
    ]


def matched(rows: Sequence[OutputRow], cases: Sequence[Case], title: str) -> BaselineSet:
    """Baselines for cases, from a results table.

    The table does not have decoding settings, so they count as those of the case.

    Args:
        rows: Rows of the results table.
        cases: The cases.
        title: Name of the run for messages.

    Raises:
        BaselineError: It has no output for any of them.
    """
    baselines: dict[RowKey, Baseline] = {}
    faults: dict[RowKey, str] = {}
    by_name: dict[RowKey, list[OutputRow]] = {}
    by_prompt: dict[str | None, list[OutputRow]] = {}
    for row in rows:
        by_prompt.setdefault(row.prompt, []).append(row)
        if row.name is not None:
            by_name.setdefault(row.name, []).append(row)
    for case in cases:
        same = _rows_for(case, by_name, by_prompt)
        if len({row.text for row in same}) > 1:
            numbers = ", ".join(str(row.number) for row in same)
            faults[case.key.row] = (
                f"{title} has different outputs for '{shown_case(case.key.row)}' in rows {numbers} of {NAME}, "
                "so none of them counts"
            )
        elif same:
            baselines[case.key.row] = _baseline_of(case, same[0])
    if not baselines and not faults:
        raise BaselineError(f"{title} has none of the {len(cases)} prompts of table {cases[0].key.group.table!r}.")
    return BaselineSet(baselines=baselines, faults=faults, lacking=f"{title} has no output for this case")


def _rows_for(
    case: Case, by_name: Mapping[RowKey, list[OutputRow]], by_prompt: Mapping[str | None, list[OutputRow]]
) -> list[OutputRow]:
    """The rows for a case: by its prompt id if the table has such a column, else by its prompt."""
    if by_name:
        return by_name.get(case.key.row, [])
    return by_prompt.get(case.input) or by_prompt.get(case.prompt) or []


def _baseline_of(case: Case, row: OutputRow) -> Baseline:
    """A row as the baseline of a case; stale if it had another prompt."""
    same = row.prompt is None or row.prompt in (case.input, case.prompt)
    return Baseline(case.key.row, Generation(row.text), case.input_hash if same else OTHER_PROMPT, case.settings_hash)
