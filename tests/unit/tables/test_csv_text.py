"""CSV and TSV: the same rows whatever separates and ends them; what is quoted or cut wrongly is named."""

from __future__ import annotations

import csv
import io
import string
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_llmcompare.errors import TableError
from pytest_llmcompare.records import Row
from pytest_llmcompare.suite.table import read_table

ENDS = ["\n", "\r\n", "\r"]
SEPARATORS = [",", ";", "\t", "|"]
CELL = st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]) | st.sampled_from('",;|\t\n '))


def read(folder: Path, text: str, name: str = "t.csv", **columns: Any) -> tuple[Row, ...]:
    (folder / name).write_bytes(text.encode())
    return read_table(name, base=folder, **columns)


def message(folder: Path, text: str, name: str = "t.csv", **columns: Any) -> str:
    with pytest.raises(TableError) as caught:
        read(folder, text, name, **columns)
    return str(caught.value).replace(folder.as_posix() + "/", "")


@given(
    pairs=st.lists(st.tuples(CELL.filter(str.strip), CELL), min_size=1),
    separator=st.sampled_from(SEPARATORS),
    end=st.sampled_from(ENDS),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    suffix=st.sampled_from(["csv", "tsv"]),
    last=st.booleans(),
)
@example([(' "a" ', ' "b"'), ("a;b|c\td,e", "\n\n")], ";", "\r\n", csv.QUOTE_MINIMAL, "csv", True)
def test_what_any_dialect_writes_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    pairs: list[tuple[str, str]],
    separator: str,
    end: str,
    quoting: Any,
    suffix: str,
    last: bool,
) -> None:
    """Any separator in either kind of file, any line ends (also in cells), any quoting, with a last line end or not."""
    records = [{"id": str(at), "prompt": prompt, "note": note} for at, (prompt, note) in enumerate(pairs)]
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, ["id", "prompt", "note"], delimiter=separator, lineterminator="\n", quoting=quoting)
    writer.writeheader()
    writer.writerows(records)
    text = stream.getvalue() if last else stream.getvalue().removesuffix("\n")
    path = tmp_path_factory.getbasetemp() / f"dialect.{suffix}"
    path.write_bytes(text.replace("\n", end).encode())
    rows = read_table(path, base=path.parent)
    assert [{"id": row.id, "prompt": row.input, **row.columns} for row in rows] == records


@pytest.mark.parametrize("end", ENDS)
def test_line_ends_inside_cells_do_not_depend_on_the_file(end: str, tmp_path: Path) -> None:
    """In every column: a checkout with other line ends asks the same, and gives rows the same ids."""
    text = 'prompt,target,few_shot_examples,config_dict,note\n"Q: a\nA:","b\nc","d\n\n","{\n""top_k"": 5}","e\nf"\n'
    (row,) = read(tmp_path, text.replace("\n", end))
    (as_is,) = read(tmp_path, text)
    assert row == as_is == Row(as_is.id, "Q: a\nA:", "b\nc", "d\n\n", {"top_k": 5}, {"note": "e\nf"})


def test_line_ends_written_in_json_are_content(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(b'{"prompt": "a\\r\\nb"}\r\n{"prompt": "c\\rd"}\r\n')
    assert [row.input for row in read_table("t.jsonl", base=tmp_path)] == ["a\r\nb", "c\rd"]


@pytest.mark.parametrize("end", ENDS)
def test_json_lines_end_in_any_way(end: str, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(f'{{"prompt": "a"}}{end}{{"prompt": "b"}}'.encode())
    assert [row.input for row in read_table("t.jsonl", base=tmp_path)] == ["a", "b"]


@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize("name", ["t.csv", "t.tsv"])
def test_the_header_says_what_separates(name: str, separator: str, tmp_path: Path) -> None:
    """The other separators are text then, also where every row has one of them."""
    others = "".join(set(SEPARATORS) - {separator})
    text = "\n".join(separator.join(cells) for cells in [("id", "prompt", "target"), ("a", f"Hi{others} you", "b")])
    assert read(tmp_path, text, name) == (Row("a", f"Hi{others} you", "b"),)


def test_the_usual_separator_is_taken_where_the_header_can_be_read_with_it(tmp_path: Path) -> None:
    assert read(tmp_path, "prompt\na;b\nc;d\n")[0].input == "a;b"
    assert read(tmp_path, "id,prompt\na,b;c\n")[0].input == "b;c"
    assert read(tmp_path, "prompt,x;text\na,b;c\n")[0].columns == {"x;text": "b;c"}


def test_a_column_that_the_marker_names_makes_the_separator_certain(tmp_path: Path) -> None:
    (row,) = read(tmp_path, "nr;satz\na;Hallo, du\n", input="Satz")
    assert (row.input, row.columns) == ("Hallo, du", {"nr": "a"})


def test_a_header_without_a_known_column_is_cut_as_all_rows_are(tmp_path: Path) -> None:
    """So that the message names columns that can be named in the marker."""
    found = message(tmp_path, "nr;satz\na;Hallo, du da\nb;Na, so, was\n")
    assert "found 'nr', 'satz'." in found
    assert 'input="satz"' in found


def test_a_row_with_too_many_cells_says_what_separates(tmp_path: Path) -> None:
    found = message(tmp_path, "id;prompt\na;b;c\n")
    assert "row 1, line 2: 3 cells, expected 2 (id, prompt)." in found
    assert "Cells are separated by semicolons here." in found


@pytest.mark.parametrize("mark", [*"~^#:/", "\x1f", "；", "，"])
def test_another_separator_is_named(mark: str, tmp_path: Path) -> None:
    found = message(tmp_path, f"id{mark}prompt\na{mark}b\n")
    assert f"The header seems to be separated by {mark!r}: use commas, semicolons, tabs or pipes." in found


@pytest.mark.parametrize(
    ("line", "separator"),
    [
        ("sep=;", ";"),
        ("SEP=;", ";"),
        ('"sep=;"', ";"),
        ("sep=,", ","),
        ("sep=\t", "\t"),
        ("sep=\\t", "\t"),
        ("sep=|", "|"),
        ("sep=;;;", ";"),
        ("sep=~", "~"),
        ("\ufeffsep=;", ";"),
    ],
)
@pytest.mark.parametrize("end", ENDS)
def test_excels_first_line_is_honoured(line: str, separator: str, end: str, tmp_path: Path) -> None:
    rows = [line, separator.join(["id", "prompt"]), separator.join(["a", "b"]), separator.join(["c", ""])]
    found = message(tmp_path, end.join(rows))
    assert found.startswith("t.csv, row 2, line 4: prompt is empty.")
    assert read(tmp_path, end.join(rows[:3])) == (Row("a", "b"),)


@pytest.mark.parametrize("line", ["sep=", "sep=;x", "sep=ab"])
def test_a_broken_first_line_of_excels_is_named(line: str, tmp_path: Path) -> None:
    assert f"t.csv, line 1: '{line}' tells Excel the separator" in message(tmp_path, f"{line}\nid,prompt\na,b\n")


@pytest.mark.parametrize("separator", SEPARATORS)
def test_a_blank_before_a_quote_is_named(separator: str, tmp_path: Path) -> None:
    """Unnamed it would either cut the cell, or put its quotes into the prompt."""
    rows = [("id", " prompt", "note"), ("sky", f' "Hello{separator} what?"', "x"), ("sun", ' "So?"', ' "y\nz" ')]
    found = message(tmp_path, "\n".join(separator.join(cells) for cells in rows))
    assert "row 1, line 2: a space is before the double quote that opens cell 2." in found
    assert "row 2, line 3: a space is before the double quote that opens cell 3." in found
    assert "Remove spaces before double quotes" in found


def test_a_quote_inside_a_cell_is_text(tmp_path: Path) -> None:
    """It neither opens a cell after a blank, where text follows its end, nor ends one without quotes."""
    rows = read(tmp_path, 'prompt,note\nIs it "so"?, "no" he said\n5" wide, x"\n')
    assert [(row.input, row.columns["note"]) for row in rows] == [('Is it "so"?', ' "no" he said'), ('5" wide', ' x"')]


@pytest.mark.parametrize("blank", [" ", "   ", "\t", " \t "])
def test_blanks_after_a_closing_quote_do_not_count(blank: str, tmp_path: Path) -> None:
    assert read(tmp_path, f'id,prompt\n"a"{blank},"life?"{blank}\nb,"x\n y"{blank}') == (
        Row("a", "life?"),
        Row("b", "x\n y"),
    )


def test_a_tab_after_a_closing_quote_separates_in_tsv(tmp_path: Path) -> None:
    assert read(tmp_path, 'id\tprompt\tnote\n"a"\t"b" \t\n', "t.tsv") == (Row("a", "b", columns={"note": ""}),)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('id,prompt\na,"b" c\n', "text follows a closing double quote (line 2)."),
        ('id,prompt\na,"b\n\nc"d\n', "text follows a closing double quote (line 4)."),
        ('id,prompt\na,"say \\"hi\\""\n', "text follows a closing double quote (line 2)."),
        ('id,prompt\na,"b\nc,d\n', "a double quote is opened and never closed."),
        ('id,prompt\na,"b ""c\nd\n', "a double quote is opened and never closed."),
        ('id,prompt\na,"b""\n', "a double quote is opened and never closed."),
    ],
)
def test_quotes_in_the_wrong_place(text: str, what: str, tmp_path: Path) -> None:
    assert message(tmp_path, text).startswith(f"t.csv, row 1, line 2: {what}")


@pytest.mark.parametrize(
    "text",
    [
        "What is 2+2?,4\nWhat is 3+3?,6\n",
        "What is, you say, 2+2?,4\nWhat is 3+3?,6\n",
        "sky,What color is it?\nice,Is it cold?\n",
        "Tell me a joke.\nTell me another one.\n",
        "4,4\n6,7\n",
    ],
)
def test_a_missing_header_is_named(text: str, tmp_path: Path) -> None:
    found = message(tmp_path, text)
    assert found.startswith("t.csv, line 1: ")
    assert "The first line was taken as the header; if it is a row, write one above it" in found
    assert 'input="What' not in found


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("rest", ["", ",,", ",,,,", ",", " ,, \n,,", '"","",""'])
def test_empty_rows_and_columns_at_the_edges_are_skipped(rest: str, end: str, tmp_path: Path) -> None:
    text = f",,,\n\nid,prompt,,\na,b,,\nc,d,,\n{rest}\n{rest}\n".replace("\n", end)
    assert read(tmp_path, text) == (Row("a", "b"), Row("c", "d"))


def test_an_empty_row_between_others_is_one_fault(tmp_path: Path) -> None:
    assert message(tmp_path, "id,prompt\na,b\n,\nc,d\n,\n").splitlines() == [
        "t.csv, row 2, line 3: the row is empty.",
        "Remove empty rows, or write a prompt there.",
    ]


def test_a_column_without_a_name_is_kept_where_it_holds_something(tmp_path: Path) -> None:
    assert read(tmp_path, "prompt,,\na,,\nb,,x\n")[1].columns == {"Unnamed: 2": "x"}


@pytest.mark.parametrize(
    "text", ["", " \n", "\ufeff", "\ufeff \r\n", ",,\n,,\n", "id,prompt\n", "id,prompt\n,\n", "sep=;\nid;prompt\n"]
)
def test_a_table_without_rows(text: str, tmp_path: Path) -> None:
    found = message(tmp_path, text)
    assert "the file is empty" in found or "the table has no rows" in found


def test_columns_of_one_name_are_all_named(tmp_path: Path) -> None:
    found = message(tmp_path, "prompt,a, a,b,\ufeffb\n1,2,3,4,5\n")
    assert "t.csv, line 1: two columns are called 'a'." in found
    assert "t.csv, line 1: two columns are called 'b'." in found


@pytest.mark.parametrize("quote", ['"', ""])
def test_cells_may_be_enormous(quote: str, tmp_path: Path) -> None:
    long = "word " * 400_000
    assert read(tmp_path, f"id,prompt\na,{quote}{long}{quote}\n")[0].input == long


@pytest.mark.parametrize(
    "row",
    [
        'a,"' + '""' * 200_000 + "\n",
        "a," + " " * 400_000 + "\n",
        'a,"' + '"",' * 100_000 + '" x\n',
        '"a" ' * 100_000 + "\n",
    ],
)
def test_reading_takes_time_by_length_only(row: str, tmp_path: Path) -> None:
    """No row makes the reader go back and forth: a hundred times longer must not take ten thousand times as long."""
    begin = time.process_time()
    message(tmp_path, f"id,prompt\n{row}")
    assert time.process_time() - begin < 5


@given(st.text(st.sampled_from('",;\t|\r\n \\x=' + string.ascii_letters), max_size=60))
def test_any_text_is_read_or_refused_in_words(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder, told = tmp_path_factory.getbasetemp(), []
    for start in ("", "id,prompt\n", "sep=", "prompt;note\n"):
        try:
            read(folder, start + text)
        except TableError as error:
            told.append(str(error))
    assert all(text.endswith((".", "?")) for text in told)


@pytest.mark.parametrize("text", ["| prompt |\n|---|\n| Hi |\n", "|id|prompt|\n|:--|--:|\n|1|Hi|\n"])
def test_a_markdown_table_is_named(text: str, tmp_path: Path) -> None:
    """Its rule is no prompt."""
    assert "line 2 is a rule, expected a row" in message(tmp_path, text)


def test_separators_at_the_ends_of_rows_alone(tmp_path: Path) -> None:
    """The advice is not to quote anything."""
    assert "Remove the separators at the ends of the rows" in message(tmp_path, "id,prompt\n1,Hi,\n2,Ho,\n")
