"""What stands where a table should be: compressed files, addresses, pipes, folders, and objects of other libraries."""

from __future__ import annotations

import gzip
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pytest_llmcompare.errors import TableError
from pytest_llmcompare.suite import readers
from pytest_llmcompare.suite.marker import declare
from pytest_llmcompare.suite.table import read_table

from .test_table_sources import RECORDS, ROWS, WRITERS, json_lines


def message(source: Any, base: Path) -> str:
    with pytest.raises(TableError) as caught:
        read_table(source, base=base)
    return str(caught.value)


@pytest.mark.parametrize("name", [name for name in WRITERS if name != "t.CSV"])
def test_every_text_format_may_be_compressed(name: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(WRITERS[name](RECORDS).encode()))
    assert read_table(f"{name}.gz", base=tmp_path) == ROWS


def test_ndjson_is_json_lines(tmp_path: Path) -> None:
    (tmp_path / "t.ndjson").write_text(json_lines(RECORDS), encoding="utf-8")
    (tmp_path / "t.NDJSON.GZ").write_bytes(gzip.compress(json_lines(RECORDS).encode()))
    assert read_table("t.ndjson", base=tmp_path) == read_table("t.NDJSON.GZ", base=tmp_path) == ROWS


@pytest.mark.parametrize("name", ["trivia.jsonl.gz", "trivia.jsonl", "trivia.ndjson"])
def test_a_table_is_named_after_its_file_without_endings(name: str, tmp_path: Path) -> None:
    """The name is part of the path of its baselines."""
    data = json_lines(RECORDS).encode()
    (tmp_path / name).write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)
    for source in (name, Path(name)):
        assert declare([source], {}, test="test_it", folder=".", base=tmp_path).table == "trivia"


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"prompt\na\n", "Take .gz off its name if it is not compressed."),
        (gzip.compress(b"prompt\na\n", mtime=0)[:-9], "the gzip file is broken: "),
        (gzip.compress(b"prompt\na\n", mtime=0)[:12] + b"\xff" * 20, "the gzip file is broken: "),
        (gzip.compress(b" \n", mtime=0), "the file is empty."),
        (b"", "the file is empty."),
        (gzip.compress(b"prompt\n\xe9\n", mtime=0), "row 1, line 2: byte 7 is 0xe9, which is not UTF-8."),
    ],
)
def test_broken_compressed_files(data: bytes, what: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv.gz").write_bytes(data)
    assert what in message("t.csv.gz", tmp_path)


def test_a_file_beyond_reason_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither as it is nor as it would be unpacked."""
    monkeypatch.setattr(readers, "MOST_BYTES", 2**20)
    (tmp_path / "t.csv").write_text("prompt\n" + "x" * 2**20, encoding="utf-8")
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress((tmp_path / "t.csv").read_bytes()))
    for name in ("t.csv", "t.csv.gz"):
        assert "the file has more than 1 MiB." in message(name, tmp_path)


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("https://example.org/a.csv", "https://example.org/a.csv"),
        ("https://me:SECRET@example.org/a.csv?token=SECRET#SECRET", "https://example.org/a.csv"),
        ("hf://datasets/org/name/a.parquet", "hf://datasets/org/name/a.parquet"),
        ("s3://bucket/a.jsonl", "s3://bucket/a.jsonl"),
        ("file:///data/a.csv", "file:/data/a.csv"),
        (Path("https://example.org/a.csv"), "https:/example.org/a.csv"),
        ("https://[SECRET/a.csv", "https://..."),
    ],
)
def test_an_address_is_no_table(source: Any, shown: str, tmp_path: Path) -> None:
    found = message(source, tmp_path)
    assert found.startswith(f"{shown} is an address, and tables are files here")
    assert "Download it" in found
    assert "SECRET" not in found


@pytest.mark.skipif(os.name == "nt", reason="Windows has no named pipes in folders")
@pytest.mark.parametrize("kind", ["pipe", "link to a pipe", "device"])
def test_what_is_no_regular_file_is_not_opened(kind: str, tmp_path: Path) -> None:
    """A pipe that nobody writes to would keep pytest waiting for ever."""
    path = tmp_path / "t.csv"
    if kind == "device":
        path.symlink_to("/dev/zero")
    else:
        os.mkfifo(tmp_path / "pipe" if kind != "pipe" else path)
        if kind != "pipe":
            path.symlink_to(tmp_path / "pipe")
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(message("t.csv", tmp_path)), daemon=True)
    thread.start()
    thread.join(20)
    assert found
    assert "expected a file" in found[0]
    assert ("a named pipe (FIFO)" in found[0]) is (kind != "device")


@pytest.mark.parametrize("name", ["a\0b.csv", "half \ud83d.csv"])
def test_a_text_that_can_be_no_path(name: str, tmp_path: Path) -> None:
    found = message(name, tmp_path)
    assert "A prompt goes into a list" in found or "no such file" in found


def test_a_folder_or_a_file_without_an_ending(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "trivia.csv").touch()
    (tmp_path / "trivia").touch()
    assert message("data", tmp_path).endswith("data: a folder, expected a file. Give one of its files: trivia.csv.")
    assert message("trivia", tmp_path).endswith("Give the file the suffix of its format.")


def test_control_characters_of_a_path_are_escaped(tmp_path: Path) -> None:
    assert "\x1b" not in message("a\x1b[31m\n.csv", tmp_path)


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.parquet"])
def test_a_git_lfs_pointer_is_named(name: str, tmp_path: Path) -> None:
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert "git lfs pull" in message(name, tmp_path)


class Dataset:
    """Has what Hugging Face's has, for this."""

    column_names = ("prompt",)

    def to_pandas(self) -> pd.DataFrame:
        return pd.DataFrame({"prompt": ["a"]})

    def __iter__(self) -> Iterator[dict[str, str]]:
        yield {"prompt": "a"}


class Polars(Dataset):
    """Has what a DataFrame of polars has besides."""

    def to_dicts(self) -> list[dict[str, str]]:
        return [{"prompt": "a"}]


class Pair(NamedTuple):
    """A row as a tuple with names."""

    prompt: str


OBJECTS: dict[str, tuple[Any, str]] = {
    "Hugging Face": (Dataset(), "Give its DataFrame: .to_pandas()."),
    "splits": ({"test": Dataset()}, "Choose a split and give its DataFrame: dataset['test'].to_pandas()."),
    "polars": (Polars(), "Give its rows: .to_dicts()."),
    "arrow": (pa.table({"prompt": ["a"]}), "Give its rows: .to_pylist()."),
    "series": (pd.Series(["a"]), "Give .tolist()."),
    "array": (np.array(["a"]), "Give .tolist()."),
    "columns": ({"prompt": ["a", "b"]}, "Give a list with a dict for each row"),
    "generator": ((text for text in "ab"), "Give list(...) of it"),
    "set": ({"a"}, "Give list(...) of it"),
    "dict values": ({"a": 1}.values(), "Give list(...) of it"),
    "function": (lambda: ["a"], "Call it"),
    "class": (Dataset, "Call it"),
    "bytes": (b"t.csv", "Give a path as text."),
}


@pytest.mark.parametrize("kind", list(OBJECTS))
def test_other_objects_say_how_they_become_a_table(kind: str, tmp_path: Path) -> None:
    source, way_on = OBJECTS[kind]
    found = message(source, tmp_path)
    assert "is not a prompt table. Expected the path of a .csv" in found
    assert way_on in found


def test_an_open_file_says_to_give_its_path(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("prompt\na\n", encoding="utf-8")
    with (tmp_path / "t.csv").open(encoding="utf-8") as file:
        assert "Give the path of the file, not the open file." in message(file, tmp_path)


def test_rows_that_are_no_dicts_say_how_they_become_some(tmp_path: Path) -> None:
    assert "row._asdict()" in message([Pair("a")], tmp_path)
    assert "dataclasses.asdict(row)" in message([ROWS[0]], tmp_path)
