"""Every string makes the round trip through both files."""

from __future__ import annotations

import dataclasses
import tempfile
import unicodedata
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_llmcompare.baselines import escapes, file_format, group_file, pending, store
from pytest_llmcompare.baselines.case_lines import read_record, record_of
from pytest_llmcompare.baselines.document import Document
from pytest_llmcompare.baselines.pending import Entry, entry_line
from pytest_llmcompare.generation import Generation, joined
from pytest_llmcompare.judgement import Judgement, Verdict
from pytest_llmcompare.records import Baseline, CaseKey, GroupKey, RowKey

from .samples import by_row, stored_blocks

ANY_CHAR = st.characters(codec=None, categories=None)  # lone surrogates too
TRICKY = st.sampled_from(
    [
        *(
            " @",
            "@",
            " ",
            "  ",
            "\t",
            "\n",
            "\r",
            "\r\n",
            "\\",
            "\\n",
            "\\e",
            "\\s",
            "|",
            "~",
            ".",
            "case ",
            "\ncase a",
        ),
        *("<<<<<<<", "=======", ">>>>>>> b", "|||||||", "\n|||||||", "#env e1", "\u2028", "\u2029", "\x85", "\x1c"),
        *(
            "\x0b",
            "\x00",
            "\ud800",
            "\udfff",
            "\ud83d\ude00",
            "\ufeff",
            "\u202e",
            "\u200b",
            "\xa0",
            "One. Two.",
            "z" * 60,
        ),
        *("。", '"', "'", "{", "🙂", "e\u0301"),
    ]
)
TEXTS = st.lists(st.one_of(TRICKY, st.text(ANY_CHAR, max_size=5)), max_size=12).map("".join)
NAMES = TEXTS.filter(bool)
HASHES = st.text("0123456789abcdef", min_size=8, max_size=8)
ENVIRONMENTS = st.dictionaries(NAMES, TEXTS, max_size=3).map(lambda pairs: tuple(sorted(pairs.items())))
LOGPROBS = st.integers(-30_000_000, 0).map(lambda micro: micro / 1e6)


@st.composite
def generations(draw: st.DrawFn) -> Generation:
    tokens = draw(st.none() | st.lists(st.integers(0, 2**31), max_size=5).map(tuple))
    logprobs = None
    if tokens is not None and draw(st.booleans()):
        logprobs = tuple(draw(st.lists(LOGPROBS, min_size=len(tokens), max_size=len(tokens))))
    return Generation(
        draw(TEXTS), tokens, logprobs, draw(st.sampled_from(["", "eos", "length", "stop"])), draw(ENVIRONMENTS)
    )


ROWS = st.builds(RowKey, NAMES, TEXTS)
BASELINES = st.builds(Baseline, ROWS, generations(), HASHES, HASHES)


@given(TEXTS)
@settings(max_examples=300)
def test_a_text_comes_back(text: str) -> None:
    """What is written as lines is read as the same text, and the lines hold nothing that tools change."""
    lines = record_of(Baseline(RowKey("a"), Generation(text), "", ""), "").lines
    assert read_record(lines.removeprefix("case "), 1).text == text
    for line in lines.split("\n"):
        assert line == line.rstrip()
        assert {unicodedata.category(char) for char in line}.isdisjoint({"Cc", "Cs", "Zl", "Zp"})
        assert "\u202e" not in line
        assert line.encode("utf-8").decode("utf-8").splitlines() == [line]
        assert line.startswith(("case ", ".", "|", "~"))
        assert not line.startswith("|||||||")


@given(ROWS)
@settings(max_examples=300)
def test_a_name_comes_back(row: RowKey) -> None:
    """Ids and variants with ` @`, spaces at their ends or line breaks stay apart."""
    lines = record_of(Baseline(row, Generation(""), "", ""), "").lines
    assert read_record(lines.removeprefix("case "), 1).row == row


@given(st.lists(NAMES, min_size=2, max_size=2, unique=True))
def test_names_of_table_and_model_come_back(names: list[str]) -> None:
    """The head of the file carries the true names, whatever the file is called."""
    read = file_format.parse(file_format.dump(Document(names[0], names[1])), "x.baseline")
    assert (read.table, read.model) == (names[0], names[1])


@given(TEXTS)
def test_an_escaped_word_is_one_word(text: str) -> None:
    """Facts are parted by white space, so there is none in their values."""
    word = escapes.escape_word(text)
    assert word.split() == ([word] if text else [])
    assert escapes.unescape(word) == text


@given(st.lists(BASELINES, max_size=6, unique_by=lambda one: one.row), NAMES, NAMES)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_baselines_come_back(baselines: list[Baseline], table: str, model: str) -> None:
    """Everything about every baseline, through the files on disk; writing it again changes nothing."""
    group = GroupKey("t", table, model)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        store.update(root, group, baselines)
        stored = store.load(root, group)
        assert stored.baselines == by_row(baselines)
        assert (dict(stored.conflicts), stored.warnings) == ({}, ())
        assert not store.update(root, group, baselines, refresh=True).written
        if baselines:
            assert len(stored_blocks(root, group)) == len(baselines)


EDITS: dict[str, Callable[[str], str]] = {
    "none": lambda text: text,
    "no line break at the end": lambda text: text.removesuffix("\n"),
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "CRLF, none at the end": lambda text: text.replace("\n", "\r\n").removesuffix("\r\n"),
    "byte order mark": lambda text: f"\ufeff{text}",
    "blank lines at the end": lambda text: f"{text}\n \n",
}


@given(st.lists(BASELINES, min_size=1, max_size=4, unique_by=lambda one: one.row), st.sampled_from(sorted(EDITS)))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_baselines_come_back_from_edited_files(baselines: list[Baseline], edit: str) -> None:
    """What editors and git do to the ends of lines and of files changes no baseline, whatever its text."""
    whole = group_file.empty(GroupKey("t", "table", "model"))
    for one in baselines:
        whole.put(one, refresh=False)
    found = group_file.read(EDITS[edit](whole.text()), EDITS[edit](whole.tokens_text()), "x.baseline", "x.tokens.jsonl")
    assert found.baselines == by_row(baselines)
    assert found.warnings == ()


JOINED = TEXTS.map(joined)  # in JSON two halves of a character, side by side, are that character
FILE_NAMES = JOINED.filter(bool)
ENTRIES = st.builds(
    lambda row, group, new, texts, judged: Entry(
        *(CaseKey(group, *dataclasses.astuple(row)), *texts, dataclasses.replace(new, row=row), judged, texts[0]),
    ),
    st.builds(RowKey, JOINED, JOINED),
    st.builds(GroupKey, st.just("tests"), FILE_NAMES, FILE_NAMES),
    st.builds(
        Baseline, st.just(RowKey("")), st.builds(Generation, JOINED, environment=st.just((("a", "b"),))), HASHES, HASHES
    ),
    st.tuples(JOINED, JOINED, JOINED, JOINED),
    st.builds(Judgement, st.sampled_from(Verdict), baseline_token=JOINED, candidate_token=JOINED, reason=JOINED),
)


@given(ENTRIES)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_pending_output_comes_back(entry: Entry) -> None:
    """Every line that we write fits the schema that lines of others are held to, and is one line of ASCII."""
    line = entry_line(entry)
    assert line.isascii()
    assert line.splitlines() == [line]
    found: dict[CaseKey, Entry] = {}
    pending._take(line, found)
    assert found == {entry.key: entry}


def test_what_a_server_shows_of_its_prompt(tmp_path: Path) -> None:
    """It stands with the case, is rewritten with another prompt alone, and is not there for other models."""
    group = GroupKey("tests", "zoo", "served")
    plain, shown, other = (Generation("Yes.", (1,), (-0.5,), prompt_shown=one) for one in ("", "12:3f1c9a2e", "13:ab"))
    lines = [record_of(Baseline(RowKey("yak"), one, "a", "b"), "e1").lines for one in (plain, shown)]
    assert lines[1] == lines[0].replace(".tokens 1", ".tokens 1  .prompt 12:3f1c9a2e")
    assert read_record(lines[1].removeprefix("case "), 1).prompt == "12:3f1c9a2e"
    contents = group_file.empty(group)
    changes = [
        contents.put(Baseline(RowKey("yak"), one, "a", "b"), refresh=False)
        for one in (plain, shown, shown, other, plain)
    ]
    added, unchanged, changed = group_file.Change.ADDED, group_file.Change.UNCHANGED, group_file.Change.CHANGED
    assert changes == [added, unchanged, unchanged, unchanged, unchanged]
    assert contents.put(Baseline(RowKey("yak"), shown, "a", "b"), refresh=True) is group_file.Change.REFRESHED
    before = contents.fingerprint(RowKey("yak"))
    assert contents.put(Baseline(RowKey("yak"), other, "a", "b"), refresh=False) is changed
    assert contents.fingerprint(RowKey("yak")) != before
    assert ".prompt 13:ab" in contents.text()
    again = group_file.read(contents.text(), contents.tokens_text(), "a", "b")
    assert again.baselines[RowKey("yak")].generation.prompt_shown == "13:ab"
