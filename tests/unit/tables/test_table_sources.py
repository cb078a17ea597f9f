"""Prompt tables: what each kind of source gives, and that cells stay as they were written."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcompare.records import Row
from pytest_llmcompare.suite.column_names import INPUT_COLUMNS
from pytest_llmcompare.suite.table import read_table

RECORDS: list[dict[str, Any]] = [
    {"id": "sky", "prompt": "What color is the sky?", "target": "Blue", "topic": "nature"},
    {"id": "snow", "prompt": "What color\nis snow, say?", "target": "White", "topic": "nature"},
]
ROWS = (
    Row("sky", "What color is the sky?", "Blue", None, {}, {"topic": "nature"}),
    Row("snow", "What color\nis snow, say?", "White", None, {}, {"topic": "nature"}),
)


def cells(records: list[dict[str, Any]], separator: str = ",") -> str:
    """Text of a CSV or TSV file, written by the standard library."""
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, list(records[0]), delimiter=separator)
    writer.writeheader()
    writer.writerows(records)
    return stream.getvalue()


def json_lines(records: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


WRITERS: dict[str, Callable[[list[dict[str, Any]]], str]] = {
    "t.csv": cells,
    "t.CSV": cells,
    "t.tsv": lambda records: cells(records, "\t"),
    "t.jsonl": json_lines,
    "t.json": json.dumps,
    "t.yaml": lambda records: yaml.safe_dump(records, sort_keys=False),
    "t.yml": yaml.safe_dump,
}


@pytest.mark.parametrize("name", list(WRITERS))
def test_every_text_format_gives_the_same_rows(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(WRITERS[name](RECORDS).encode())
    assert read_table(name, base=tmp_path) == ROWS


def test_parquet_gives_the_same_rows(tmp_path: Path) -> None:
    pd.DataFrame(RECORDS).to_parquet(tmp_path / "t.parquet")
    assert read_table("t.parquet", base=tmp_path) == ROWS


@pytest.mark.parametrize(
    "source", [RECORDS, tuple(RECORDS), pd.DataFrame(RECORDS), pd.DataFrame(RECORDS, index=["x", "y"])]
)
def test_lists_and_frames_give_the_same_rows(source: Any, tmp_path: Path) -> None:
    assert read_table(source, base=tmp_path) == ROWS


def test_a_path_may_be_a_path_object_or_lie_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "t.csv").write_text(cells(RECORDS), encoding="utf-8")
    for source in (Path("../data/t.csv"), "../data/t.csv", tmp_path / "data" / "t.csv"):
        assert read_table(source, base=tmp_path / "tests") == ROWS


@pytest.mark.parametrize("texts", [["Hi there", "Ho"], ("Hi there", "Ho")])
def test_a_list_of_texts_is_a_list_of_prompts(texts: Any, tmp_path: Path) -> None:
    assert [row.input for row in read_table(texts, base=tmp_path)] == ["Hi there", "Ho"]
    assert [row.input for row in read_table(texts, base=tmp_path, input="q")] == ["Hi there", "Ho"]


@pytest.mark.parametrize(
    ("name", "text"), [("t.json", '["Hi", "Ho"]'), ("t.jsonl", '"Hi"\n\n"Ho"'), ("t.yaml", "- Hi\n- Ho\n")]
)
def test_a_file_may_be_a_plain_list_of_prompts(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert [row.input for row in read_table(name, base=tmp_path)] == ["Hi", "Ho"]


@pytest.mark.parametrize("text", ["007", "NA", "None", "nan", "null", "1e5", "TRUE", " spaced ", "2024-01-02", "=1+1"])
@pytest.mark.parametrize("name", ["t.csv", "t.tsv"])
def test_cells_of_csv_and_tsv_stay_text(name: str, text: str, tmp_path: Path) -> None:
    """What pandas would turn into a number or a missing value is what the model is asked."""
    record = {"id": text.strip(), "prompt": text, "target": text, "note": text}
    (tmp_path / name).write_text(WRITERS[name]([record]), encoding="utf-8")
    assert read_table(name, base=tmp_path) == (Row(text.strip(), text, text, None, {}, {"note": text}),)


def test_an_empty_cell_of_csv_is_no_target_no_examples_no_settings(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,prompt,target,few_shot_examples,config_dict,note\na,Hi,,,,\n", encoding="utf-8")
    assert read_table("t.csv", base=tmp_path) == (Row("a", "Hi", None, None, {}, {"note": ""}),)


def test_an_empty_text_outside_csv_is_meant(tmp_path: Path) -> None:
    """`""` as examples says "none", where the marker has some; a null says nothing."""
    rows = read_table(
        [
            {"id": "a", "prompt": "Hi", "few_shot_examples": "", "target": ""},
            {"id": "b", "prompt": "Hi", "few_shot_examples": None},
        ],
        base=tmp_path,
    )
    assert [(row.examples, row.target) for row in rows] == [("", ""), (None, None)]


def test_json_values_keep_their_types(tmp_path: Path) -> None:
    record = {"prompt": "Hi", "id": 7, "target": 4, "n": 7, "share": 0.5, "on": True, "tags": ["a"], "none": None}
    (tmp_path / "t.json").write_text(json.dumps([record]), encoding="utf-8")
    (row,) = read_table("t.json", base=tmp_path)
    assert (row.id, row.target) == ("7", "4")
    assert row.columns == {"n": 7, "share": 0.5, "on": True, "tags": ["a"], "none": None}


def test_values_of_a_frame_become_plain_python(tmp_path: Path) -> None:
    """numpy's numbers, missing values and arrays would not survive on their way into JSON."""
    frame = pd.DataFrame(
        {"id": [1, 2], "prompt": ["a", "b"], "n": [1, 2], "x": [0.5, float("nan")], "tags": [["t"], None]}
    )
    frame.to_parquet(tmp_path / "t.parquet")
    for source in (frame, "t.parquet"):
        rows = read_table(source, base=tmp_path)
        assert [row.id for row in rows] == ["1", "2"]
        assert json.dumps([row.columns for row in rows]) == json.dumps(
            [{"n": 1, "x": 0.5, "tags": ["t"]}, {"n": 2, "x": None, "tags": None}]
        )


def test_a_named_index_counts_as_a_column(tmp_path: Path) -> None:
    frame = pd.DataFrame(RECORDS).set_index("id")
    frame.to_parquet(tmp_path / "t.parquet")
    assert read_table(frame, base=tmp_path) == ROWS
    assert read_table("t.parquet", base=tmp_path) == ROWS


def test_reading_leaves_the_source_alone(tmp_path: Path) -> None:
    settings = {"top_k": 5}
    source = [{"prompt": "Hi", "config_dict": settings}]
    (row,) = read_table(source, base=tmp_path)
    settings["top_k"] = 6
    assert row.gen_config == {"top_k": 5}
    assert source == [{"prompt": "Hi", "config_dict": {"top_k": 6}}]


@pytest.mark.parametrize("column", INPUT_COLUMNS)
def test_each_known_input_column_is_found(column: str, tmp_path: Path) -> None:
    assert [row.input for row in read_table([{"a": "x", column: "Hi"}], base=tmp_path)] == ["Hi"]


def test_the_first_known_input_column_wins_and_the_other_is_kept(tmp_path: Path) -> None:
    (row,) = read_table([{"question": "no", "prompt": "yes"}], base=tmp_path)
    assert (row.input, row.columns) == ("yes", {"question": "no"})


def test_input_and_target_name_other_columns(tmp_path: Path) -> None:
    (row,) = read_table(
        [{"prompt": "p", "q": "Hi", "gold": "Ho", "z": 1, "b": 2}], base=tmp_path, input="q", target="gold"
    )
    assert (row.input, row.target) == ("Hi", "Ho")
    assert list(row.columns.items()) == [("prompt", "p"), ("z", 1), ("b", 2)]


def test_the_target_may_be_the_input(tmp_path: Path) -> None:
    (row,) = read_table([{"prompt": "Hi"}], base=tmp_path, target="prompt")
    assert (row.input, row.target) == ("Hi", "Hi")


def test_a_target_may_have_a_reserved_name(tmp_path: Path) -> None:
    (row,) = read_table([{"inputs": "Hi", "outputs": "Ho"}], base=tmp_path, target="outputs")
    assert (row.target, row.columns) == ("Ho", {})


@pytest.mark.parametrize("given", [{"top_k": 5, "do_sample": True}, '{"top_k": 5, "do_sample": true}'])
def test_settings_of_a_row_are_a_dict_or_json_text(given: Any, tmp_path: Path) -> None:
    (row,) = read_table([{"prompt": "Hi", "config_dict": given}], base=tmp_path)
    assert row.gen_config == {"top_k": 5, "do_sample": True}


@pytest.mark.parametrize("given", [None, "", "  ", float("nan"), {}, "{}"])
def test_a_row_may_have_no_settings(given: Any, tmp_path: Path) -> None:
    (row,) = read_table([{"prompt": "Hi", "config_dict": given}], base=tmp_path)
    assert row.gen_config == {}


def test_parquet_does_not_mix_the_settings_of_rows(tmp_path: Path) -> None:
    """Parquet gives every row's object the keys of all rows, as nulls; a null would take back a marker's setting."""
    frame = pd.DataFrame({"prompt": ["Hi", "Ho"], "config_dict": [{"top_k": 5, "stop_strings": ["x"]}, {"top_p": 0.5}]})
    frame.to_parquet(tmp_path / "t.parquet")
    rows = read_table("t.parquet", base=tmp_path)
    assert [row.gen_config for row in rows] == [{"top_k": 5, "stop_strings": ["x"]}, {"top_p": 0.5}]


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.json", "t.yaml"])
def test_a_byte_order_mark_is_no_part_of_the_text(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + WRITERS[name](RECORDS).encode())
    assert [row.id for row in read_table(name, base=tmp_path)] == ["sky", "snow"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_ends_a_line_of_csv(end: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(f"id,prompt{end}a,Hi{end}{end}b,Ho".encode())
    assert [(row.id, row.input) for row in read_table("t.csv", base=tmp_path)] == [("a", "Hi"), ("b", "Ho")]


def test_a_cell_may_be_longer_than_csv_allows_by_default(tmp_path: Path) -> None:
    limit = csv.field_size_limit()
    (tmp_path / "t.csv").write_text("prompt\n" + "x" * 300_000, encoding="utf-8")
    (row,) = read_table("t.csv", base=tmp_path)
    assert len(row.input) == 300_000
    assert csv.field_size_limit() == limit


def test_a_column_without_a_name_is_kept(tmp_path: Path) -> None:
    """`DataFrame.to_csv` writes one for the index."""
    pd.DataFrame(RECORDS).to_csv(tmp_path / "t.csv")
    rows = read_table("t.csv", base=tmp_path)
    assert [row.columns["Unnamed: 0"] for row in rows] == ["0", "1"]


def test_line_separators_inside_json_text_do_not_end_a_line(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"prompt": "a\u2028b\u0085c"}\r\n', encoding="utf-8")
    assert [row.input for row in read_table("t.jsonl", base=tmp_path)] == ["a\u2028b\u0085c"]


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(st.lists(st.tuples(TEXT.filter(str.strip), TEXT), min_size=1), st.sampled_from([",", "\t"]))
def test_what_csv_writes_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[Any], separator: str
) -> None:
    records = [{"id": str(at), "prompt": prompt, "note": note} for at, (prompt, note) in enumerate(pairs)]
    path = tmp_path_factory.getbasetemp() / ("round.csv" if separator == "," else "round.tsv")
    path.write_bytes(cells(records, separator).encode())
    rows = read_table(path, base=path.parent)
    line_ends = re.compile("\r\n?")  # which are those of the file, not of the text
    expected = [{name: line_ends.sub("\n", cell) for name, cell in record.items()} for record in records]
    assert [{"id": row.id, "prompt": row.input, **row.columns} for row in rows] == expected
