"""Names of columns: roles without case and blanks; slips and names that would set nothing are errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from transformers import GenerationConfig

from pytest_llmcompare.errors import TableError
from pytest_llmcompare.models.gen_config import REFUSED, RULES
from pytest_llmcompare.suite.column_names import INPUT_COLUMNS, MARKER_KEYWORDS, ORDINARY, slips
from pytest_llmcompare.suite.table import read_table

from .test_table_sources import cells, json_lines


def message(source: Any, base: Path | None = None, **columns: Any) -> str:
    with pytest.raises(TableError) as caught:
        read_table(source, base=base or Path.cwd(), **columns)
    return str(caught.value)


def parquet(path: Path, record: dict[str, Any]) -> None:
    pd.DataFrame([record]).to_parquet(path)


def as_source(kind: str, record: dict[str, Any], folder: Path) -> Any:
    """One row, as each kind of table holds it."""
    if kind == "list":
        return [record]
    if kind == "DataFrame":
        return pd.DataFrame([record])
    path = folder / kind
    if kind == "t.parquet":
        parquet(path, record)
        return path
    write: dict[str, Callable[[list[dict[str, Any]]], str]] = {
        "t.csv": cells,
        "t.tsv": lambda rows: cells(rows, "\t"),
        "t.jsonl": json_lines,
        "t.json": json.dumps,
    }
    text = write[kind]([record]) if kind in write else yaml.safe_dump([record], sort_keys=False)
    path.write_text(text, encoding="utf-8", newline="")
    return path


KINDS = ["t.csv", "t.tsv", "t.jsonl", "t.json", "t.yaml", "t.parquet", "list", "DataFrame"]
SPELLINGS: dict[str, Callable[[str], str]] = {
    "upper case": str.upper,
    "title": str.title,
    "blanks": lambda name: f"  {name} ",
    "no-break space": lambda name: f"{name}\xa0",
    "byte order mark": lambda name: f"\ufeff{name}",
    "zero width": lambda name: f"\u200b{name}\u2060",
    "full width": lambda name: "".join(chr(ord(char) + 0xFEE0) if char.isalpha() else char for char in name),
}


@pytest.mark.parametrize("spelling", list(SPELLINGS))
@pytest.mark.parametrize("kind", KINDS)
def test_a_role_is_known_in_every_spelling_and_every_format(kind: str, spelling: str, tmp_path: Path) -> None:
    record = {"id": "sky", "prompt": "Why?", "target": "so", "few_shot_examples": "Q\n", "config_dict": '{"top_k": 3}'}
    spelled = {SPELLINGS[spelling](name): value for name, value in record.items()}
    (row,) = read_table(as_source(kind, spelled, tmp_path), base=tmp_path)
    assert (row.id, row.input, row.target, row.examples) == ("sky", "Why?", "so", "Q\n")
    assert (row.gen_config, row.columns) == ({"top_k": 3}, {})


@pytest.mark.parametrize("name", INPUT_COLUMNS)
def test_prompt_columns_are_known_without_case(name: str) -> None:
    (row,) = read_table([{name.upper(): "Hi"}], base=Path.cwd())
    assert (row.input, row.columns) == ("Hi", {})


@pytest.mark.parametrize("given", ["Frage ", "frage", "FRAGE", " Frage"])
def test_the_marker_names_columns_without_case_as_well(given: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id; Frage ;Gold\na;Was?;so\n", encoding="utf-8")
    (row,) = read_table("t.csv", base=tmp_path, input=given, target="gold")
    assert (row.input, row.target, row.columns) == ("Was?", "so", {})


def test_the_marker_may_name_one_of_two_spellings_to_the_letter() -> None:
    rows = [{"Q": "this", "q": "that"}]
    assert read_table(rows, base=Path.cwd(), input="q")[0].columns == {"Q": "this"}
    assert "input='q ' fits several columns: 'Q', 'q'" in message(rows, input="q ")


def test_rows_may_spell_a_role_differently() -> None:
    rows = read_table([{"ID": "a", "Prompt": "x"}, {"id": "b", "prompt": "y"}], base=Path.cwd())
    assert [(row.id, row.input, row.columns) for row in rows] == [("a", "x", {}), ("b", "y", {})]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pair", [("id", "ID"), ("prompt", " Prompt"), ("Target", "target")])
def test_two_columns_of_one_role_are_an_error(kind: str, pair: tuple[str, str], tmp_path: Path) -> None:
    record = {"prompt": "x", pair[0]: "a", pair[1]: "b"}
    found = message(as_source(kind, record, tmp_path))
    shown = [name.strip() if kind in {"t.csv", "t.tsv"} else name for name in pair]
    assert f"columns {shown[0]!r} and {shown[1]!r} are both {pair[0].casefold()!r}." in found


@pytest.mark.parametrize(
    ("column", "role"),
    [
        *((name, "target") for name in ("targets", "Targets", "traget", "taget", "tar-get", "t_arget", "targe")),
        *((name, "id") for name in ("ids", "IDs", "_id", "id_", "I.D.", "#id", "(id)")),
        *((name, "few_shot_examples") for name in ("few_shot_example", "few-shot-examples", "fewShotExamples")),
        *((name, "few_shot_examples") for name in ("few shot examples", "few_shots", "fewshot", "few_shot")),
        *((name, "few_shot_examples") for name in ("few_shots_examples", "few_shot_exmaples", "fewshotexample")),
        *((name, "config_dict") for name in ("config", "Config", "configs", "config_dct", "configDict", "confg_dict")),
        *((name, "config_dict") for name in ("generation_config", "gen_kwargs", "sampling_params", "config-dict")),
    ],
)
def test_a_slip_names_the_role_and_a_way_out(column: str, role: str) -> None:
    """The way out is another name; it is taken at its word."""
    found = message([{"prompt": "x", "n": 1}, {"prompt": "y", column: "z"}])
    assert found.startswith(f"list of prompts, item 2: column {column!r} is not read. Did you mean {role!r}?")
    other = found.rpartition("e.g. ")[2].strip("'.")
    assert read_table([{"prompt": "y", other: "z"}], base=Path.cwd())[0].columns == {other: "z"}


@pytest.mark.parametrize("column", ["promt", "Prompts", "pormpt", "questions", "input_txt", "inputText", "in-puts"])
def test_a_slip_in_the_prompts_names_the_nearest(column: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"id,{column}\na,What is it?\n", encoding="utf-8")
    found = message("t.csv", tmp_path)
    assert "Did you mean '" in found
    assert f'input="{column}"' in found
    assert read_table("t.csv", base=tmp_path, input=column)[0].input == "What is it?"


def test_a_slip_in_a_column_that_would_come_first_is_found_beside_another() -> None:
    """`text` would be asked in place of what was meant; `input=` says that it is meant."""
    rows = [{"promt": "What is it?", "text": "a source"}]
    assert "Did you mean 'prompt'?" in message(rows)
    assert read_table(rows, base=Path.cwd(), input="text")[0].columns == {"promt": "What is it?"}


@pytest.mark.parametrize(
    "column",
    [
        *("idx", "index", "uid", "kid", "grid", "id2", "prompt2", "text2", "target2", "test", "next", "context"),
        *("label", "category", "answer", "answers", "options", "choices", "reference", "passage", "subject", "topic"),
        *("target_language", "target_lang", "source", "gold", "ideal", "expected", "message", "tool", "key", "score"),
        *("config_name", "few_shot_count", "example", "n_examples", "model", "name", "input", "table", "experiment"),
        *("length", "k", "p", "n", "stop", "max", "tags", "notes", "level", "sample", "variants_of", "type", "seeds"),
        *("constraints", "text_id", "question_id", "output", "tokens", "difficulty", "unit", "Ziel", "対象"),
    ],
)
def test_ordinary_names_are_left_alone(column: str) -> None:
    (row,) = read_table([{"prompt": "x", column: "y"}], base=Path.cwd())
    assert row.columns == {column: "y"}


@pytest.mark.parametrize(("column", "role"), [("ids", "id"), ("targets", "target"), ("config", "config_dict")])
def test_a_column_like_a_role_is_ordinary_where_the_role_is_there(column: str, role: str) -> None:
    rows = [{"prompt": "x", role: None if role == "config_dict" else "a", column: "y"}]
    assert read_table(rows, base=Path.cwd())[0].columns == {column: "y"}


def test_a_column_like_the_target_is_ordinary_where_the_marker_names_another() -> None:
    rows = [{"prompt": "x", "gold": "a", "targets": "y"}]
    assert read_table(rows, base=Path.cwd(), target="gold")[0].columns == {"targets": "y"}


FIELDS = sorted({name for name in vars(GenerationConfig()) if name[0] != "_"} - ORDINARY)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    "column",
    [
        *FIELDS,
        "maxNewTokens",
        "Max New Tokens",
        "max-new-tokens",
        "Temperature",
        "topk",
        "temprature",
        "do_smaple",
        "stop_string",
        "max_tokens",
        "stop_sequences",
    ],
)
def test_a_column_named_like_a_decoding_setting_is_refused(column: str) -> None:
    found = message([{"prompt": "x", column: "1"}])
    assert "named like the decoding setting" in found
    assert "Did you mean 'config_dict'?" in found
    assert f"'own_{column}'" in found


def test_every_known_setting_is_refused_as_a_column() -> None:
    for name in {*RULES, *REFUSED} - ORDINARY - {"seed"}:
        assert "Did you mean 'config_dict'?" in message([{"prompt": "x", name: 1}]), name


@pytest.mark.parametrize("column", sorted(MARKER_KEYWORDS))
def test_a_column_named_like_a_keyword_of_the_marker_is_refused(column: str) -> None:
    for spelled in (column, f" {column.upper()}"):
        found = message([{"prompt": "x", spelled: "y"}])
        assert f"column {spelled!r} is named like a keyword of the marker, and sets nothing." in found
        assert f"llm_prompts(..., {column}=...)" in found
    meant = {"examples": "few_shot_examples", "gen_config": "config_dict"}.get(column)
    assert (f"Did you mean {meant!r}?" in found) is (meant is not None)


@pytest.mark.parametrize("column", ["expect", "Expect", " expect "])
def test_assertions_may_be_spelled_like_other_columns(column: str) -> None:
    (row,) = read_table([{"prompt": "x", column: "contains: y"}], base=Path.cwd())
    assert row.expect == ("contains: y",)


@pytest.mark.parametrize("column", ["messages", " Messages "])
def test_messages_beside_prompts_that_the_marker_names(column: str) -> None:
    found = message([{"prompt": "x", column: "y"}], input="prompt")
    assert f"column {column!r} has the name of a column of the results table." in found


@pytest.mark.parametrize("column", ["messages", "examples", "temperature", "targets"])
def test_a_column_that_the_marker_names_may_be_called_anything(column: str) -> None:
    assert read_table([{column: "x"}], base=Path.cwd(), input=column)[0].input == "x"
    assert read_table([{"prompt": "x", column: "y"}], base=Path.cwd(), target=column)[0].target == "y"


@pytest.mark.parametrize("column", ["pro\x1b[2Jmpt", "tar\u202eget", "i\nd", "see\x1bd", "\x1bnote"])
def test_no_character_of_a_name_acts_in_a_message(column: str) -> None:
    """Whatever is wrong with the column, or with another."""
    record = {column: "x y", "text": 3, "prompt_id": "a", "ids": "b"}
    for source in ([record], pd.DataFrame([record])):
        assert all(line.isprintable() for line in message(source).splitlines())
        assert all(line.isprintable() for line in message(source, input="nowhere").splitlines())


def test_faults_of_names_and_of_rows_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("ids,prompt,seed,verdict,expects\na,,,,\nb,x\n", encoding="utf-8")
    found = message("t.csv", tmp_path).splitlines()
    places = [line.partition("t.csv, ")[2].partition(":")[0] for line in found if "t.csv" in line]
    assert places == ["line 1"] * 4 + ["row 1, line 2", "row 2, line 3"]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("target", "target", 0),
        ("target", "traget", 1),
        ("target", "targets", 1),
        ("ab", "ba", 1),
        ("abc", "", 3),
        ("target", "tgt", 3),
        ("config", "few", 5),
        ("abcdefgh", "a", 4),
    ],
)
def test_slips(one: str, other: str, expected: int) -> None:
    """From four on it is not counted on where lengths differ by as many."""
    assert slips(one, other) == slips(other, one) == expected
