"""The file format, to the byte."""

from __future__ import annotations

import difflib
import subprocess
from pathlib import Path

import pytest

from pytest_llmcompare.baselines import store
from pytest_llmcompare.baselines.case_lines import text_lines
from pytest_llmcompare.errors import BaselineError
from pytest_llmcompare.records import GroupKey, RowKey

from .samples import GPU, GROUP, baseline, by_row, contents_of, many, tokens_of, with_text

LONG = (
    "The sky looks blue because air scatters short waves more than long ones. At dusk the light takes a longer way. "
    'Then "red is left." So it goes.'
)
RECORDS = [
    baseline("sky_color", " Blue.\n\nQ: What color is the grass?", logprobs=(-2e-7, -1)),
    baseline("sky_color", " Grey.", variant="top_k", environment=GPU, stop="eos", logprobs=None),
    baseline("dusk", LONG, token_ids=None, stop="", environment=()),
    baseline("a @b", "tab\there, end \n\nback\\slash\u202e", token_ids=(), logprobs=()),
    baseline("Zoe", "", settings_hash="", stop="stop"),
]
TEXT = r"""#llmcompare-baseline 1
#table trivia
#model distilgpt2
#env e1 device=cpu dtype=float32 torch=2.13.0
#env e2 device=cuda dtype=bfloat16 torch=2.13.0

case Zoe
.input aacd82be  .env e1  .stop stop  .tokens 2
|

case a \@b
.input aacd82be  .settings 7d21a0c4  .env e1  .stop length  .tokens 0
|tab\there, end\s
|
|back\\slash\u202e

case dusk
.input aacd82be  .settings 7d21a0c4
|The sky looks blue because air scatters short waves more than long ones.
~ At dusk the light takes a longer way.
~ Then "red is left."
~ So it goes.

case sky_color
.input aacd82be  .settings 7d21a0c4  .env e1  .stop length  .tokens 2
| Blue.
|
|Q: What color is the grass?

case sky_color @top_k
.input aacd82be  .settings 7d21a0c4  .env e2  .stop eos  .tokens 2
| Grey.
"""
TOKENS = r"""{"id": "Zoe", "variant": "", "text": "e3b0c442", "tokens": [4518, 13], "logprobs": [-0.250000, -0.500000]}
{"id": "a @b", "variant": "", "text": "501c43ab", "tokens": [], "logprobs": []}
{"id": "sky_color", "variant": "", "text": "0feb8e30", "tokens": [4518, 13], "logprobs": [0.000000, -1.000000]}
{"id": "sky_color", "variant": "top_k", "text": "d11bd332", "tokens": [4518, 13], "logprobs": null}
"""


ATTRIBUTES = "*.baseline text eol=lf\n*.tokens.jsonl -diff merge=union text eol=lf\n"


def test_the_three_files_are_written_exactly_so(tmp_path: Path) -> None:
    """One file for people, one for the decoder, one for git; sorted by id, whatever order they came in."""
    store.update(tmp_path, GROUP, RECORDS)
    assert {name: data.decode() for name, (data, _) in contents_of(tmp_path).items()} == {
        "tests/__baselines__/.gitattributes": ATTRIBUTES,
        "tests/__baselines__/trivia/distilgpt2.baseline": TEXT,
        "tests/__baselines__/trivia/distilgpt2.tokens.jsonl": TOKENS,
    }


def test_the_files_are_read_as_they_stand(tmp_path: Path) -> None:
    """The text above gives the records above; log-probabilities come back with 6 decimals."""
    path = store.path_of(tmp_path, GROUP)
    path.parent.mkdir(parents=True)
    path.write_text(TEXT, "utf-8")
    tokens_of(path).write_text(TOKENS, "utf-8")
    rounded = baseline("sky_color", RECORDS[0].generation.text, logprobs=(0.0, -1.0))
    stored = store.load(tmp_path, GROUP)
    assert stored == store.BaselineSet(path, by_row([rounded, *RECORDS[1:]]))
    assert stored.rows == {record.row for record in RECORDS}


@pytest.mark.parametrize(
    "damaged",
    [
        TEXT.replace("\n", "\r\n"),
        "\ufeff" + TEXT,
        TEXT.replace("\n", "  \n"),
        TEXT.replace("\n", "\t\n"),
        TEXT.replace("\n\n", "\n"),
        TEXT.replace("\n", "\n\n"),
        TEXT.replace("\n", " \n\n \t\n"),
        TEXT + "\n\n",
        TEXT.replace("\n\ncase", "\ncase"),
    ],
    ids=["crlf", "bom", "spaces", "tabs", "no blank lines", "blank lines", "both", "at the end", "close cases"],
)
def test_white_space_of_editors_and_hooks_means_nothing(tmp_path: Path, damaged: str) -> None:
    """Line breaks of Windows, a byte order mark, white space at line ends, blank lines: the records are the same."""
    path = store.path_of(tmp_path, GROUP)
    path.parent.mkdir(parents=True)
    path.write_bytes(damaged.encode())
    texts = {row: one.generation.text for row, one in store.load(tmp_path, GROUP).baselines.items()}
    assert texts == {record.row: record.generation.text for record in RECORDS}


def test_line_breaks_of_windows_stay(tmp_path: Path) -> None:
    """A file that git checked out with CRLF is written back so: an update changes the lines of its case only."""
    store.update(tmp_path, GROUP, RECORDS)
    path = store.path_of(tmp_path, GROUP)
    for file in (path, tokens_of(path)):
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    store.update(tmp_path, GROUP, [with_text(RECORDS[4], "now")])
    assert path.read_bytes().decode() == TEXT.replace("\n|\n\ncase a", "\n|now\n\ncase a").replace("\n", "\r\n")
    assert tokens_of(path).read_bytes().count(b"\r\n") == tokens_of(path).read_bytes().count(b"\n") == 4


def test_a_changed_word_changes_one_line(tmp_path: Path) -> None:
    """A long paragraph stands one sentence to a line, so a reviewer sees the sentence that drifted and no other."""
    store.update(tmp_path, GROUP, [baseline("dusk", LONG)])
    path = store.path_of(tmp_path, GROUP)
    before = path.read_text("utf-8").splitlines()
    store.update(tmp_path, GROUP, [baseline("dusk", LONG.replace("longer way", "longer path"))])
    after = path.read_text("utf-8").splitlines()
    assert [line for line in difflib.ndiff(before, after) if line[0] in "+-"] == [
        "- ~ At dusk the light takes a longer way.",
        "+ ~ At dusk the light takes a longer path.",
    ]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", ["|"]),
        ("\n", ["|", "|"]),
        ("One. Two.", ["|One. Two."]),
        (" " * 3, [r"|  \s"]),
        ("||||||| old", [r"|\||||||| old"]),
        ("|||||| old", [r"|\|||||| old"]),
        ("||||| old", ["|||||| old"]),
        ("<<<<<<< HEAD\n=======\n>>>>>>> b", ["|<<<<<<< HEAD", "|=======", "|>>>>>>> b"]),
        ("case b\n.input 1\n~ c", ["|case b", "|.input 1", "|~ c"]),
        ("z" * 99 + ". Next.", ["|" + "z" * 99 + ".", "~ Next."]),
        ("A. B. met X at 3.5 p.m. or so, " + "z" * 80, ["|A. B. met X at 3.5 p.m. or so, " + "z" * 80]),
        ("短い文です。" * 20, ["|短い文です。", *["~短い文です。"] * 19]),
        ("\u200bzero\xa0width\xa0", ["|\\u200bzero\xa0width\\xa0"]),
        ("\ud800 \U000e0041", [r"|\ud800 \U000e0041"]),
    ],
)
def test_lines_of_a_text(text: str, lines: list[str]) -> None:
    """Every line begins with its kind; nothing in a text can be taken for a case, a fact or a conflict marker."""
    assert text_lines(text) == lines


def test_git_names_the_case_in_each_hunk(tmp_path: Path) -> None:
    """`git diff` shows which case a hunk belongs to, and leaves the tokens file out."""
    store.update(tmp_path, GROUP, many(30, "One.\n\n\n\nAnswer {}."))
    for command in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True, timeout=30)
    store.update(tmp_path, GROUP, [baseline("row_017", "One.\n\n\n\nAnswer 18.")])
    diff = subprocess.run(["git", "diff"], cwd=tmp_path, check=True, timeout=30, capture_output=True, text=True).stdout
    assert [line.split("@@")[2] for line in diff.splitlines() if line.startswith("@@")] == [" case row_017"]
    assert "tokens.jsonl differ" in diff
    assert [line for line in diff.splitlines() if line[0] in "+-" and line[:3] not in ("+++", "---")] == [
        "-|Answer 17.",
        "+|Answer 18.",
    ]


def test_a_folder_may_lie_outside_of_the_root(tmp_path: Path) -> None:
    """Tests given by a path outside of pytest's root keep their baselines beside themselves."""
    group = GroupKey((tmp_path / "elsewhere").as_posix(), "trivia", "distilgpt2")
    report = store.update(tmp_path / "root", group, many(3))
    assert report.path == tmp_path / "elsewhere/__baselines__/trivia/distilgpt2.baseline"
    assert store.load(tmp_path / "root", group).baselines == by_row(many(3))
    assert store.prune(tmp_path / "root", group, [RowKey("row_000"), RowKey("row_001")], confirmed=True) == (
        RowKey("row_002"),
    )
    report.path.write_bytes(b"")
    with pytest.raises(BaselineError, match=f"^{report.path}, line 1: the file is empty"):
        store.load(tmp_path / "root", group)
