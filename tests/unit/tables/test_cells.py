"""Values with a role, in the types that files and libraries give them."""

from __future__ import annotations

import datetime
import enum
import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pytest_llmcompare.errors import TableError
from pytest_llmcompare.suite.table import read_table

HERE = Path.cwd()


class Name(enum.StrEnum):
    """An id as a member of an Enum."""

    ONE = "one"


def message(source: Any, **columns: Any) -> str:
    with pytest.raises(TableError) as caught:
        read_table(source, base=HERE, **columns)
    return str(caught.value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((1, "1"), (1.0, "1"), (-2.0, "-2"), (-0.0, "0"), (0.5, "0.5"), (2**53 - 1.0, "9007199254740991")),
        *((2**70, "1180591620717411303424"), (np.int64(7), "7"), (np.float64(7), "7"), (np.float32(0.5), "0.5")),
        *((Decimal("1.0"), "1"), (Decimal("1.50"), "1.50"), (Decimal("1E+3"), "1000"), (Decimal("-0.25"), "-0.25")),
        *((np.str_("a"), "a"), (Name.ONE, "one")),
    ],
)
def test_an_id_and_a_target_as_text(value: Any, text: str) -> None:
    (row,) = read_table([{"prompt": "x", "id": value, "target": value}], base=HERE)
    assert (row.id, row.target) == (text, text)
    assert (type(row.id), type(row.target)) == (str, str)


@pytest.mark.parametrize(
    "value",
    [
        1e300,
        -1e16,
        float("inf"),
        float("-inf"),
        2.0**53,
        Decimal("1E+999999"),
        Decimal("Infinity"),
        np.float64("inf"),
        1j,
        Fraction(1, 2),
        datetime.date(2024, 1, 2),
        np.datetime64("2024-01-02T00:00:00.000000000"),
        pd.Timestamp("2024-01-02"),
        b"a",
        object(),
        np.longdouble(1),
        pytest.param(10**5000, id="5000 digits"),
    ],
)
def test_a_value_without_one_spelling_is_refused(value: Any) -> None:
    """Nobody could say which text of it was recorded."""
    found = message([{"prompt": "x", "id": value, "target": value}])
    assert "item 1: id is " in found
    assert "item 1: target is " in found
    assert found.endswith("Put it in quotes, or convert the column to text.")


@pytest.mark.parametrize("value", [None, float("nan"), pd.NA, pd.NaT, np.nan, np.float32("nan"), Decimal("NaN")])
def test_nothing_is_no_id_and_no_target(value: Any) -> None:
    (row,) = read_table([{"prompt": "x", "target": value, "note": value}], base=HERE)
    assert (row.target, row.columns) == (None, {"note": None})
    assert "item 1: id is empty." in message([{"prompt": "x", "id": value}])


def test_ids_do_not_depend_on_what_a_file_was_written_from(tmp_path: Path) -> None:
    """A missing id that is dropped leaves pandas' other ids as floats."""
    frame = pd.DataFrame({"id": [1, 2, None], "target": [4, 5, None], "prompt": ["x", "y", "z"]}).dropna()
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    (tmp_path / "t.csv").write_text("id,target,prompt\n1,4,x\n2,5,y\n", encoding="utf-8")
    expected = [("1", "4"), ("2", "5")]
    for source in (frame, "t.parquet", "t.jsonl", "t.csv"):
        assert [(row.id, row.target) for row in read_table(source, base=tmp_path)] == expected


def test_equal_numbers_of_different_types_are_one_id() -> None:
    assert "id '1' occurs twice" in message([{"prompt": "x", "id": 1}, {"prompt": "y", "id": 1.0}])


def test_decimals_and_dates_of_parquet(tmp_path: Path) -> None:
    frame = pd.DataFrame({"prompt": ["x"], "id": [Decimal("3.0")], "day": [datetime.date(2024, 1, 2)]})
    frame.to_parquet(tmp_path / "t.parquet")
    assert read_table("t.parquet", base=tmp_path)[0].id == "3"
    assert "day is datetime.date(2024, 1, 2)" in message(tmp_path / "t.parquet", target="day")


CHATS: list[Any] = [
    {"role": "user", "content": "Hi"},
    [{"from": "human", "value": "Hi"}],
    {"messages": [{"role": "user", "content": "Hi"}]},
    {"conversations": [{"from": "human", "value": "Hi"}]},
]


@pytest.mark.parametrize("chat", CHATS)
def test_chats_of_another_form_are_no_prompt(chat: Any, tmp_path: Path) -> None:
    """As they are, as JSON in a text, and out of parquet."""
    pd.DataFrame({"prompt": [chat]}).to_parquet(tmp_path / "t.parquet")
    for source in ([{"prompt": chat}], [{"prompt": f" {json.dumps(chat, indent=1)}"}], tmp_path / "t.parquet"):
        found = message(source)
        assert "prompt holds chat messages (" in found
        assert "in a column 'messages'; in CSV as JSON text." in found


@pytest.mark.parametrize("column", ["conversation", "dialog", "chat"])
def test_a_column_of_chats_is_to_be_called_messages(column: str) -> None:
    found = message([{column: [{"role": "user", "content": "Hi"}], "ideal": "so it is"}])
    assert f"Column {column!r} holds chat messages." in found
    assert f"Rename column {column!r} to 'messages'." in found
    assert "input=" not in found


@pytest.mark.parametrize("text", ['[{"role": 1', '["role"]', '{"role": "user"} is JSON', "[]", '{"name": "x"}'])
def test_text_that_only_looks_like_a_chat_is_a_prompt(text: str) -> None:
    assert read_table([text], base=HERE)[0].input == text


@pytest.mark.parametrize(
    ("record", "proposed"),
    [
        ({"question_id": 81, "category": "writing", "turns": ["a b", "c d"], "reference": ["e f"]}, "..."),
        ({"question_id": "q81", "turns": ["a b"]}, "..."),
        ({"prompt_id": 1, "Frage": "Was ist das?"}, "Frage"),
        ({"instruction": "Do it.", "output": "Done it."}, "instruction"),
        ({"id": "a b", "target": "c d", "satz": "Was ist das?"}, "satz"),
        ({"question_text": "Why?", "answer_text": "so"}, "question_text"),
        ({"nr": 1, "zahl": 2.5}, "..."),
        ({"one": "a b", "two": "c d"}, "..."),
        ({"prompt_hash": "aa bb", "url": "x y"}, "..."),
    ],
)
def test_only_a_column_of_text_is_proposed_for_prompts(record: dict[str, Any], proposed: str) -> None:
    """Never one of ids, numbers or lists, nor one that has another role."""
    assert f'Name the column: input="{proposed}".' in message([record])


def test_numbers_in_csv_are_not_proposed(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("question_id,input_number,share\n81,7,1.5%\n", encoding="utf-8")
    assert 'input="..."' in message(tmp_path / "t.csv")


def test_a_list_that_stands_for_prompts_is_named() -> None:
    found = message([{"question_id": 81, "turns": ["a", "b"]}])
    assert "Column 'turns' holds lists, and a prompt is one text." in found
    assert "prompt is a list: ['a', 'b'], expected one text." in message([{"prompt": ["a", "b"]}])


@pytest.mark.parametrize(
    ("value", "what", "advice"),
    [
        (["a", "b"], "target is a list: ['a', 'b'], expected one text.", "it is then in llm_case.columns"),
        (("a",), "target is a list: ['a'], expected one text.", "it is then in llm_case.columns"),
        (np.array(["a"]), "target is a list: ['a'], expected one text.", "it is then in llm_case.columns"),
        ({"text": ["a"], "answer_start": [1]}, "target is an object: {'text': ['a']", "it is then in llm_case.columns"),
        (True, "target is true, expected text.", 'in quotes: "yes" or "true"'),
        (np.bool_(False), "target is false, expected text.", 'in quotes: "yes" or "true"'),
    ],
)
def test_an_answer_that_is_no_text_says_what_to_do(value: Any, what: str, advice: str) -> None:
    found = message([{"prompt": "x", "target": value}])
    assert what in found
    assert advice in found
