"""A baseline file shows the first line of each case's prompt, as a comment that nothing depends on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings

from pytest_llmcompare.baselines import group_file, run_outputs, store
from pytest_llmcompare.baselines.case_lines import first_line, prompt_of, read_record, record_of
from pytest_llmcompare.errors import BaselineError
from pytest_llmcompare.records import Baseline, RowKey
from pytest_llmcompare.text import width

from .samples import GPU, GROUP, baseline, by_row, contents_of, many, with_text
from .test_merge_conflicts import Repository
from .test_round_trip import TEXTS

PROMPT = "Q: What color is the sky?\nA:"
SHOWN = "# Q: What color is the sky? …\n"


def with_prompt(one: Baseline, prompt: str = PROMPT) -> Baseline:
    return dataclasses.replace(one, input=prompt)


@pytest.mark.parametrize(
    ("prompt", "shown"),
    [
        ("Is ice cold?", "Is ice cold?"),
        ("", ""),
        (" \n\t\n", ""),
        ("\n  Is ice cold?  \n\n", "Is ice cold?"),
        ("One.\r\nTwo.", "One. …"),
        ("x" * 80, "x" * 80),
        ("x" * 81, "x" * 78 + "…"),
        ("x" * 81 + "\ny", "x" * 78 + "…"),
        ("x" * 77 + " y z", "x" * 77 + "…"),
        ("空" * 41, "空" * 39 + "…"),
        ("e" + "\u0301" * 500, "e" + "\u0301" * 4 + "\\u0301" * 12 + "…"),
        ("\x1b]0;title\x07" + "\u202e" * 90, r"\x1b]0;title\x07" + r"\u202e" * 10 + "…"),
        ("lone \ud800 \\ud800", r"lone \ud800 \\ud800"),
        ("case b\n.input 1", "case b …"),
        ("<<<<<<< HEAD", "<<<<<<< HEAD"),
        ("#end", "#end"),
        ("| text", "| text"),
        ("::error::no", r"\x3a:error::no"),
    ],
)
def test_what_is_shown(prompt: str, shown: str) -> None:
    """The first line that is not empty, escaped, in 80 columns, with a mark if there is more."""
    assert first_line(prompt) == shown


@given(TEXTS)
@settings(max_examples=300)
def test_any_prompt_is_one_harmless_line(prompt: str) -> None:
    """It is no case, fact, text or conflict marker; reading it and writing it again changes nothing."""
    lines = record_of(with_prompt(baseline("a"), prompt), "e1").lines
    plain = record_of(baseline("a"), "e1").lines.split("\n")
    shown = [line for line in lines.split("\n") if line not in plain]
    assert len(shown) == (1 if prompt.strip() else 0)
    for line in shown:
        assert line.startswith("# ")
        assert line.isprintable()
        assert line == line.rstrip()
        assert width(line) <= 82
    record = read_record(lines.removeprefix("case "), 1)
    assert record.lines == lines
    assert record._replace(comment="", lines="") == record_of(baseline("a"), "e1")._replace(lines="", number=1)
    assert first_line(prompt_of(record.comment)) == record.comment


def test_old_files_get_it_case_by_case(tmp_path: Path) -> None:
    """A case that is written gets its prompt; all others keep their lines, whatever the option."""
    store.update(tmp_path, GROUP, [*many(3), baseline("texts", token_ids=None)])
    before = contents_of(tmp_path)
    now = [with_prompt(one) for one in [*many(3), baseline("texts", token_ids=None)]]
    assert not store.update(tmp_path, GROUP, now).written
    assert not store.update(tmp_path, GROUP, now, refresh=True).written
    assert contents_of(tmp_path) == before
    path = store.path_of(tmp_path, GROUP)
    text = path.read_text("utf-8")
    store.update(tmp_path, GROUP, [with_text(now[1], " Green.")])
    assert path.read_text("utf-8") == text.replace("case row_001\n", f"case row_001\n{SHOWN}").replace(
        "Answer 1.", "Green."
    )


def test_it_stays_with_its_prompt(tmp_path: Path) -> None:
    """Renamed, re-recorded elsewhere or settled without knowing the prompt; it goes when the prompt is another."""
    path = store.path_of(tmp_path, GROUP)
    store.update(tmp_path, GROUP, [with_prompt(baseline("a"))])
    store.rename(tmp_path, GROUP, {RowKey("a"): RowKey("b")})
    assert f"case b\n{SHOWN}.input" in path.read_text("utf-8")
    store.update(tmp_path, GROUP, [baseline("b", " Green.", environment=GPU)])
    assert f"case b\n{SHOWN}.input" in path.read_text("utf-8")
    store.update(tmp_path, GROUP, [baseline("b", " Green.", prompt="another")])
    assert "case b\n.input" in path.read_text("utf-8")


def test_no_hash_sees_it(tmp_path: Path) -> None:
    """A pending output can be accepted after the comment was edited, which changes no fact of the case."""
    store.update(tmp_path, GROUP, [with_prompt(baseline("a"))])
    path = store.path_of(tmp_path, GROUP)
    text, fingerprints = path.read_text("utf-8"), store.fingerprints(tmp_path, GROUP)
    for comment in ("# mine \\q\n", "#\n", "#mine\n# and more\n", ""):
        path.write_text(text.replace(SHOWN, comment), "utf-8")
        assert store.fingerprints(tmp_path, GROUP) == fingerprints
        assert store.load(tmp_path, GROUP).baselines == by_row([baseline("a")])
        store.update(tmp_path, GROUP, [baseline("b")])
        assert f"case a\n{comment}.input" in path.read_text("utf-8")


def test_outputs_of_a_run_carry_it(tmp_path: Path) -> None:
    """So it gets into the files when they are copied there; an escape is not escaped again."""
    prompt = "Say \\ and \x1b:\n..."
    run_outputs.write(tmp_path, GROUP, [with_prompt(baseline("a"), prompt)])
    stored = run_outputs.read(tmp_path, "run")
    assert stored is not None
    store.update(tmp_path, GROUP, [*stored.baselines.values()], refresh=True)
    assert "case a\n# Say \\\\ and \\x1b: …\n" in store.path_of(tmp_path, GROUP).read_text("utf-8")


def test_merges() -> None:
    """Where one side of a merge has it and the other has not, that alone is no conflict; our lines stay."""
    ours, theirs = "case a\n| One.\n", "case a\n# Count.\n| One.\n"
    head = "#llmcompare-baseline 1\n#table t\n#model m\n\n"
    for sides in ((ours, theirs), (theirs, ours)):
        text = "{}<<<<<<< HEAD\n{}=======\n{}>>>>>>> other\n\n#end\n".format(head, *sides)
        contents = group_file.read(text, None, "x.baseline", "x.tokens.jsonl")
        assert not contents.document.conflicts
        assert contents.text() == f"{head}{sides[0]}\n#end\n"


def test_facts_and_text_of_two_branches_are_a_conflict(tmp_path: Path) -> None:
    """An answer to the old prompt is not merged with the hash of a new one: no comment parts their lines."""
    repository = Repository(tmp_path)
    base = [with_prompt(one) for one in many(9)]
    asked_anew = dataclasses.replace(base[4], input_hash="00000000")
    repository.merge(base, repository.put(asked_anew), repository.put(with_text(base[4], " Theirs.")))
    assert set(repository.load().conflicts) == {RowKey("row_004")}
    store.update(tmp_path, GROUP, [asked_anew])
    assert repository.path.read_text("utf-8").count(SHOWN) == 9


def test_a_comment_below_the_text_is_a_fault() -> None:
    """There it would look like part of the text."""
    text = "#llmcompare-baseline 1\n#table t\n#model m\n\ncase a\n| One.\n# Two.\n\n#end\n"
    with pytest.raises(BaselineError, match=r"line 7: '# Two.' is a comment after the text; they belong right below"):
        group_file.read(text, None, "x.baseline", "x.tokens.jsonl")
