"""Faulty prompt tables: the whole text of every message."""

# ruff: noqa: E501 - a table of faults reads best with a fault on a line

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pytest_llmcompare.errors import TableError
from pytest_llmcompare.suite.column_names import RESERVED_COLUMNS
from pytest_llmcompare.suite.table import read_table

KINDS = ".csv, .tsv, .jsonl, .ndjson, .json, .parquet, .yaml, .yml"
LOOKED = "Looked for input_text, prompt, question, text, inputs"
GIVE_IDS = "Give every prompt its own id, or drop the column to have ids made from the prompts."
ONE_EACH = "Remove the repeated rows, or add a column id with a different id for each."
WRITE = "Write a prompt, or remove the row."
QUOTES = 'Inside a cell in double quotes, write a double quote as "".'
QUOTE_TEXT = "Put it in quotes, or convert the column to text."
COMMAS = 'Put cells that hold the separator in double quotes ("), with nothing before the first quote. Cells are separated by commas here.'
TABS = COMMAS.replace("commas", "tabs")
AS_MANY = "Give every row as many cells as the header has. Cells are separated by commas here."
HEADER = "The first line was taken as the header; if it is a row, write one above it, such as id,prompt,target. "
YAML_QUOTES = (
    "Put text into quotes that holds ': ' or ' #' or begins with a sign such as @ ` { [ & * ! | > % or a quote, "
    'or write it below "prompt: |-".'
)
MANY_ANSWERS = (
    "Write the answer to compare with as text. To keep all accepted answers, rename the column, e.g. to 'answers': "
    "it is then in llm_case.columns, for an assert of your own."
)
JSON_SETTINGS = 'Write decoding settings as JSON, with double quotes: {"max_new_tokens": 10}.'


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, so that messages name files relative to it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def message(source: Any, base: Path, **columns: Any) -> str:
    with pytest.raises(TableError) as caught:
        read_table(source, base=base, **columns)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        # the file as a whole
        ("t.csv", "", ["t.csv: the file is empty. Write one row per prompt."]),
        ("t.json", " \n", ["t.json: the file is empty. Write one row per prompt."]),
        ("t.csv", "id,prompt\n", ["t.csv, line 1: the table has no rows, only the names of its columns ('id', 'prompt'). Write one row per prompt below them."]),
        ("t.json", "[]", ["t.json: the table has no rows. Write one row per prompt."]),
        ("t.csv", "a,prompt,a\n1,2,3\n", ["t.csv, line 1: two columns are called 'a'.", "Rename one of them."]),
        # columns
        ("t.csv", "id,Prompts\na,b\n", ["t.csv, line 1: column 'Prompts' is not read. Did you mean 'prompt'?", "Rename column 'Prompts' to 'prompt' or name it in the marker: input=\"Prompts\". A column of your own needs another name, e.g. 'own_Prompts'."]),
        ("t.csv", "id,satz\na,b\n", [f"t.csv, line 1: no column of prompts. {LOOKED}; found 'id', 'satz'.", f'{HEADER}Name the column: input="...".']),
        ("t.csv", "id~prompt\na~b\n", [f"t.csv, line 1: no column of prompts. {LOOKED}; found 'id~prompt'.", "The header seems to be separated by '~': use commas, semicolons, tabs or pipes. Name the column: input=\"...\"."]),
        ("t.csv", "prompt,verdict\na,b\n", ["t.csv, line 1: column 'verdict' has the name of a column of the results table.", "Rename column 'verdict'."]),
        # rows of cells
        ("t.csv", "id,prompt\na,b,c\nb\nc,d\n", ["t.csv, row 1, line 2: 3 cells, expected 2 (id, prompt).", "t.csv, row 2, line 3: 1 cell, expected 2 (id, prompt).", COMMAS, AS_MANY]),
        ("t.tsv", "id\tprompt\na\tb\tc\n", ["t.tsv, row 1, line 2: 3 cells, expected 2 (id, prompt).", TABS]),
        ("t.csv", 'id,prompt\na,b\nc,"d\ne,f\n', ["t.csv, row 2, line 3: a double quote is opened and never closed.", QUOTES]),
        ("t.csv", 'id,prompt\na,"b\nb"c\n', ["t.csv, row 1, line 2: text follows a closing double quote (line 3).", QUOTES]),
        ("t.csv", '"id,prompt\na,b\n', ["t.csv, line 1: a double quote is opened and never closed.", QUOTES]),
        # where: rows count from the first after the header, lines as an editor does
        ("t.csv", 'id,prompt\nparis,"two\nlines"\n\nrome,x\nparis,y\n', ["t.csv, row 3, line 6: id 'paris' occurs twice (first in row 1, line 2).", GIVE_IDS]),
        ("t.jsonl", '{"id": "a", "prompt": "x"}\n\n{"id": "a", "prompt": "y"}\n', ["t.jsonl, line 3: id 'a' occurs twice (first in line 1).", GIVE_IDS]),
        ("t.json", '[{"id": "a", "prompt": "x"},\n\n{"id": "a", "prompt": "y"}]', ["t.json, row 2: id 'a' occurs twice (first in row 1).", GIVE_IDS]),
        # prompts
        ("t.csv", "id,prompt\na,\nb,  \n", ["t.csv, row 1, line 2: prompt is empty.", "t.csv, row 2, line 3: prompt has only spaces.", WRITE]),
        ("t.json", '[{"prompt": null}, {"prompt": NaN}, {"prompt": "\\n"}]', ["t.json, row 1: prompt is empty.", "t.json, row 2: prompt is empty.", "t.json, row 3: prompt has only spaces.", WRITE]),
        ("t.json", '[{"prompt": "a"}, {"promt": "b"}, {}]', ["t.json, row 2: no 'prompt'. Did you mean 'promt'?", "t.json, row 3: no 'prompt'.", WRITE]),
        ("t.json", '[{"prompt": 42}]', ["t.json, row 1: prompt is 42, expected text.", QUOTE_TEXT]),
        ("t.yaml", "- prompt: no\n", ["t.yaml, row 1: prompt is False, expected text.", QUOTE_TEXT]),
        ("t.jsonl", '{"prompt": "a\\ud83d"}', ["t.jsonl, line 1: prompt holds half a character ('\\ud83d'), which no model can read."]),
        # ids
        ("t.csv", "id,prompt\n,a\n  ,b\n", ["t.csv, row 1, line 2: id is empty.", "t.csv, row 2, line 3: id has only spaces.", GIVE_IDS]),
        ("t.csv", "id,prompt\na ,b\n", ["t.csv, row 1, line 2: id 'a ' has spaces at its ends.", "Remove the spaces around ids."]),
        ("t.json", '[{"id": "a\\tb", "prompt": "x"}, {"id": "\\u202ea", "prompt": "y"}]', ["t.json, row 1: id 'a\\tb' holds characters that do not show.", "t.json, row 2: id '\\u202ea' holds characters that do not show.", "Use letters and digits in ids."]),
        ("t.json", '[{"id": true, "prompt": "x"}, {"id": ["a"], "prompt": "y"}]', ["t.json, row 1: id is True, expected text or a number.", "t.json, row 2: id is ['a'], expected text or a number.", QUOTE_TEXT]),
        ("t.json", '[{"id": "a", "prompt": "x"}, {"prompt": "y"}]', ["t.json, row 2: no 'id'. Known: prompt.", GIVE_IDS]),
        ("t.json", '[{"id": 1, "prompt": "x"}, {"id": "1", "prompt": "y"}]', ["t.json, row 2: id '1' occurs twice (first in row 1).", GIVE_IDS]),
        ("t.csv", "prompt,target\na,x\nb,x\na,y\n", ["t.csv, row 3, line 4: the same prompt, examples and settings as in row 1, line 2.", ONE_EACH]),
        # targets, examples
        ("t.json", '[{"prompt": "x", "target": ["a"], "few_shot_examples": 1}]', ["t.json, row 1: target is a list: ['a'], expected one text.", "t.json, row 1: few_shot_examples is 1, expected text.", MANY_ANSWERS, QUOTE_TEXT]),
        # settings
        ("t.csv", "prompt,config_dict\nx,{'top_k': 5}\n", ["t.csv, row 1, line 2: config_dict is \"{'top_k': 5}\", which is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1).", JSON_SETTINGS]),
        ("t.json", '[{"prompt": "x", "config_dict": [1]}, {"prompt": "y", "config_dict": "3"}]', ["t.json, row 1: config_dict is [1], expected decoding settings such as {\"max_new_tokens\": 10}.", "t.json, row 2: config_dict is '3', expected decoding settings such as {\"max_new_tokens\": 10}."]),
        ("t.json", '[{"prompt": "x", "config_dict": {"top_kk": 5, "max_new_tokens": 0}}]', ["t.json, row 1: config_dict: unknown decoding setting 'top_kk'. Did you mean 'top_k'?", "t.json, row 1: config_dict: max_new_tokens=0, expected a whole number from 1."]),
        # JSON and YAML
        ("t.jsonl", '{"prompt": "a"}\n{"prompt": }\n\n7\n', ["t.jsonl, line 2: broken JSON: Expecting value at column 12.", 't.jsonl, line 4: 7, expected an object such as {"prompt": "..."}.', "Write one JSON object per line."]),
        ("t.jsonl", '{"prompt":\n"a"}\n', ["t.jsonl, line 1: broken JSON: Expecting value at column 11.", "t.jsonl, line 2: broken JSON: Extra data at column 4.", "Write one JSON object per line."]),
        ("t.json", '{"prompt": "a"}\n{"prompt": "b"}\n', ["t.json, line 2, column 1: broken JSON: Extra data. For one object per line, name the file .jsonl."]),
        ("t.json", '[{"prompt": "a"},\n {"prompt" "b"}]', ["t.json, line 2, column 12: broken JSON: Expecting ':' delimiter."]),
        ("t.json", '{"prompt": "a"}', ["t.json: {'prompt': 'a'}, expected a list of objects such as [{\"prompt\": \"...\"}]. Put a single row into a list, too."]),
        ("t.json", '["a", {"prompt": "b"}, 3]', ["t.json, row 2: {'prompt': 'b'}, expected a text, as in the first row.", "t.json, row 3: 3, expected a text, as in the first row."]),
        ("t.yaml", "prompt: a\n", ["t.yaml: {'prompt': 'a'}, expected a list of objects such as [{\"prompt\": \"...\"}]. Put a single row into a list, too."]),
        ("t.yaml", "- prompt: a\n- prompt: [b\n", [f"t.yaml, line 3, column 1: broken YAML: while parsing a flow sequence that begins in line 2: did not find expected ',' or ']'. {YAML_QUOTES}"]),
        ("t.yaml", "- !!python/object/apply:os.getcwd []\n", ["t.yaml, line 1, column 3: broken YAML: could not determine a constructor for the tag 'tag:yaml.org,2002:python/object/apply:os.getcwd'. Only plain values are read; remove the tag (the word after !), or put the text into quotes."]),
    ],
)  # fmt: skip
def test_faults_of_files(name: str, text: str, expected: list[str], here: Path) -> None:
    (here / name).write_bytes(text.encode())
    assert message(name, here).splitlines() == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ([], ["list of prompts: the table has no rows. Write one row per prompt."]),
        (pd.DataFrame({"prompt": []}), ["DataFrame: the table has no rows. Write one row per prompt."]),
        (["a", "b", "a"], ["list of prompts, item 3: the same prompt, examples and settings as in item 1.", ONE_EACH]),
        (["a", ""], ["list of prompts, item 2: prompt is empty.", WRITE]),
        ([3], ['list of prompts, item 1: 3, expected an object such as {"prompt": "..."}.']),
        (
            pd.DataFrame({"prompt": ["a", float("nan")]}, index=["x", "y"]),
            ["DataFrame, row 2, index 'y': prompt is empty.", WRITE],
        ),
        (
            pd.DataFrame({"prompt": [1, 2]}),
            [
                "DataFrame, row 1, index 0: prompt is 1, expected text.",
                "DataFrame, row 2, index 1: prompt is 2, expected text.",
                QUOTE_TEXT,
            ],
        ),
        (
            pd.DataFrame([["a", "b"]], columns=["prompt", "prompt"]),
            ["DataFrame: two columns are called 'prompt'. Rename one of them."],
        ),
        (
            7,
            [
                (
                    f"7 is not a prompt table. Expected the path of a {KINDS} file, a list of texts, a list of dicts, "
                    "or a pandas DataFrame."
                )
            ],
        ),
    ],
)
def test_faults_of_lists_and_frames(source: Any, expected: list[str], here: Path) -> None:
    assert message(source, here).splitlines() == expected


def test_a_missing_file_names_the_nearest(here: Path) -> None:
    (here / "trivia.csv").touch()
    (here / "notes.md").touch()
    assert message("trivai.csv", here) == "trivai.csv: no such file. Did you mean 'trivia.csv'?"
    assert message("geo.json", here) == "geo.json: no such file. Known: trivia.csv."


def test_a_missing_file_in_a_folder_without_tables(here: Path) -> None:
    assert message("geo.json", here) == "geo.json: no such file. Paths are relative to the test file."
    assert message("data/geo.json", here) == (
        "data/geo.json: no such file. The folder data does not exist; paths are relative to the test file."
    )


def test_a_file_beyond_the_current_folder_is_named_in_full(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "work").mkdir()
    monkeypatch.chdir(here / "work")
    assert message("../t.csv", here / "work").startswith(f"{here.as_posix()}/t.csv: no such file.")


@pytest.mark.parametrize(
    ("name", "way_on"),
    [
        ("t.txt", "Write prompts as a column"),
        ("t.xlsx", "Save the sheet as CSV UTF-8, or read it with pandas"),
        ("t.ods", "Save the sheet as CSV UTF-8, or read it with pandas"),
        ("t.csv.zip", "Unpack it, or compress it with gzip."),
        ("t.jsonl.bz2", "Unpack it, or compress it with gzip."),
        ("t.txt.gz", "Write prompts as a column"),
        ("t.tar.gz", "Unpack it"),
        ("t.xlsx.gz", "Save the sheet as CSV UTF-8"),
        ("t.jsnol", "Did you mean '.jsonl'?"),
        ("t.jsonlines", "Name it .jsonl."),
        ("t.pq", "Name it .parquet."),
        ("t.psv", "Name it .csv"),
        ("t.feather", "Read it with pandas in the test file and give the DataFrame, or write a hook"),
        ("Is 2 more than 1.5?", 'A prompt that is not in a file goes into a list: ["..."].'),
    ],
)
def test_an_unknown_kind_of_file(name: str, way_on: str, here: Path) -> None:
    suffix = Path(name).suffix
    found = message(name, here)
    assert found.startswith(f"{name}: unknown kind of table '{suffix}'. Known: {KINDS}. ")
    assert way_on in found


def test_a_prompt_instead_of_a_path(here: Path) -> None:
    assert message("What is this?", here) == (
        f"What is this?: unknown kind of table ''. Known: {KINDS}. "
        'A prompt that is not in a file goes into a list: ["..."].'
    )


def test_a_folder_instead_of_a_file(here: Path) -> None:
    (here / "t.csv").mkdir()
    assert message("t.csv", here) == "t.csv: a folder, expected a file. Give the path of a table file."
    (here / "t.csv" / "a.jsonl").touch()
    assert message("t.csv", here) == "t.csv: a folder, expected a file. Give one of its files: a.jsonl."


def test_columns_that_are_not_there(here: Path) -> None:
    (here / "t.csv").write_text("id,prompt,answer\na,b,c\n", encoding="utf-8")
    assert message("t.csv", here, input="promt") == (
        "t.csv, line 1: no column 'promt', which input= names. Did you mean 'prompt'?"
    )
    assert message("t.csv", here, target="gold") == (
        "t.csv, line 1: no column 'gold', which target= names. Known: answer, id, prompt."
    )


@pytest.mark.parametrize("column", sorted(RESERVED_COLUMNS))
def test_columns_of_the_results_cannot_be_hidden(column: str, here: Path) -> None:
    found = message([{"prompt": "x"}, {"prompt": "a", column: "b"}], here)
    assert found.startswith(f"list of prompts, item 2: column '{column}' ")
    assert ("named like a keyword" if column == "seed" else "has the name of a column of the results table") in found


@pytest.mark.parametrize(
    ("name", "data", "place"),
    [
        ("t.csv", 'id,prompt\na,"b\nb"\nc,café\n', "row 2, line 4: byte 23"),
        ("t.csv", "id,é\na,b\n", "line 1: byte 3"),
        ("t.csv", "id,prompt\na,b\né,c\n", "row 2, line 3: byte 14"),
        ("t.tsv", "id\tprompt\na\té\n", "row 1, line 2: byte 12"),
        ("t.jsonl", '{"prompt": "a"}\n{"prompt": "é"}\n', "line 2: byte 28"),
        ("t.json", '[\n{"prompt": "é"}]\n', "line 2: byte 14"),
        ("t.yaml", "- é\n", "line 1: byte 2"),
    ],
)
def test_another_encoding_names_the_byte_and_the_row(name: str, data: str, place: str, here: Path) -> None:
    raw = data.encode("cp1252")
    (here / name).write_bytes(raw)
    byte = int(place.rpartition(" ")[2])
    assert raw[byte] == 0xE9
    assert message(name, here) == (
        f"{name}, {place} is 0xe9, which is not UTF-8. Save the file as UTF-8 where it was written (in Excel: "
        f"'CSV UTF-8'). Otherwise find out its encoding: `file {name}` guesses it, and with the right one all letters "
        "look right. "
        f"Convert: iconv -f ENCODING -t UTF-8 {name} > utf-8.txt, and put that in its place."
    )


def test_the_byte_counts_from_the_start_of_the_file(here: Path) -> None:
    (here / "t.csv").write_bytes(b"\xef\xbb\xbfprompt\n\xe9\n")
    assert message("t.csv", here).startswith("t.csv, row 1, line 2: byte 10 is 0xe9")


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.yaml"])
@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("UTF-16", "\ufeff"),
        ("UTF-16LE", ""),
        ("UTF-16BE", ""),
        ("UTF-32", "\ufeff"),
        ("UTF-32LE", ""),
        ("UTF-32BE", ""),
    ],
)
@pytest.mark.parametrize("prompt", ["Hello, you", "これは日本語の文章です。とても良い。"])
def test_encodings_of_two_and_four_bytes_are_named(
    name: str, encoding: str, mark: str, prompt: str, here: Path
) -> None:
    """With or without a byte order mark, also where all bytes are valid UTF-8 because letters are Latin."""
    text = {"t.csv": f"prompt\n{prompt}\n", "t.jsonl": f'{{"prompt": "{prompt}"}}', "t.yaml": f"- {prompt}\n"}[name]
    order = "" if encoding[-1] == "E" else "LE"
    (here / name).write_bytes(f"{mark}{text}".encode(encoding + order))
    without = "" if mark else " without a byte order mark"
    found = message(name, here)
    assert found.startswith(f"{name}: the file is {encoding}{without}, expected UTF-8. ")
    assert f"iconv -f {encoding} -t UTF-8 {name} > " in found


@pytest.mark.parametrize("data", [b"id,prompt\na,b\0c\nxx,yy\n", b"id,prompt\na,b\0c\nxx,yy\nz"])
def test_a_nul_byte_is_no_other_encoding(data: bytes, here: Path) -> None:
    (here / "t.csv").write_bytes(data)
    assert message("t.csv", here).startswith("t.csv, row 1, line 2: byte 13 is NUL, which no text holds.")


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"PK\x03\x04\0", "Excel workbook"),
        (b"\x1f\x8b\x08\0", "Add .gz to its name"),
        (b"PAR1\xff", "Name it .parquet"),
    ],
)
def test_a_file_that_is_no_text_says_what_it_is(start: bytes, kind: str, here: Path) -> None:
    (here / "t.csv").write_bytes(start)
    assert kind in message("t.csv", here)


def test_text_that_begins_like_another_file_is_read(here: Path) -> None:
    (here / "t.csv").write_bytes(b"PAR1,prompt\na,b\n")
    assert read_table("t.csv", base=here)[0].columns == {"PAR1": "a"}


def test_json_nested_without_end(here: Path) -> None:
    (here / "t.json").write_text("[" * 100_000, encoding="utf-8")
    assert message("t.json", here).startswith("t.json: broken JSON: maximum recursion depth exceeded")


def test_broken_parquet(here: Path) -> None:
    (here / "t.parquet").write_bytes(b"PAR1 and no more")
    assert message("t.parquet", here).startswith("t.parquet: broken parquet: ")


def test_truncated_parquet(here: Path) -> None:
    pd.DataFrame({"prompt": ["a"] * 1000}).to_parquet(here / "t.parquet")
    (here / "t.parquet").write_bytes((here / "t.parquet").read_bytes()[:-20])
    assert message("t.parquet", here).startswith("t.parquet: broken parquet: ")


def test_all_faults_are_reported_at_once_in_the_order_of_the_rows(here: Path) -> None:
    (here / "t.csv").write_text('id,prompt\na,\na,x\nb\nc,"y\n', encoding="utf-8")
    assert message("t.csv", here).splitlines() == [
        "t.csv, row 1, line 2: prompt is empty.",
        "t.csv, row 2, line 3: id 'a' occurs twice (first in row 1, line 2).",
        "t.csv, row 3, line 4: 1 cell, expected 2 (id, prompt).",
        "t.csv, row 4, line 5: a double quote is opened and never closed.",
        WRITE,
        GIVE_IDS,
        AS_MANY,
        QUOTES,
    ]


@pytest.mark.parametrize(("rows", "lines"), [(20, 20), (33, 21)])
def test_the_list_of_faults_is_cut_at_20(rows: int, lines: int, here: Path) -> None:
    found = message([""] * rows, here).splitlines()
    assert found[19] == "list of prompts, item 20: prompt is empty."
    assert found[20:] == (["and 13 more"] if rows == 33 else []) + [WRITE]
    assert len(found) == lines + 1


def test_a_long_value_is_cut_in_messages(here: Path) -> None:
    found = message([{"prompt": ["x" * 1000]}], here).splitlines()[0]
    assert found == f"list of prompts, item 1: prompt is a list: ['{'x' * 54} ..., expected one text."
