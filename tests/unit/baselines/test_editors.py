"""What editors, hooks and git do to files: each is read as if it had not been, or refused; no text changes unseen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_llmcompare.baselines import store
from pytest_llmcompare.errors import BaselineError
from pytest_llmcompare.records import Baseline

from .samples import GROUP, baseline, by_row, contents_of, many, tokens_of

TEXTS = ["", "ends in a blank ", "two\nlines\n", "C:\\dir \u00e9\U0001f600\t", "\u2028\r"]
EDITS: dict[str, Callable[[bytes], bytes]] = {
    "no line break at the end": lambda data: data.removesuffix(b"\n"),
    "three line breaks at the end": lambda data: data + b"\n\n",
    "a blank at the end": lambda data: data.removesuffix(b"\n") + b" ",
    "CRLF": lambda data: data.replace(b"\n", b"\r\n"),
    "CRLF, none at the end": lambda data: data.replace(b"\n", b"\r\n").removesuffix(b"\r\n"),
    "CRLF twice over": lambda data: data.replace(b"\n", b"\r\r\n"),
    "CR": lambda data: data.replace(b"\n", b"\r"),
    "one CRLF among LF": lambda data: data.replace(b"\n", b"\r\n", 1),
    "byte order mark": lambda data: b"\xef\xbb\xbf" + data,
    "byte order mark, CRLF, none at the end": lambda data: (
        b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n").removesuffix(b"\r\n")
    ),
    "UTF-16": lambda data: data.decode().encode("utf-16"),
    "UTF-16 of another byte order": lambda data: b"\xfe\xff" + data.decode().encode("utf-16-be"),
    "white space at the ends of lines": lambda data: data.replace(b"\n", b" \t\n"),
}


def recorded(root: Path, text: str, *, tokens: bool) -> list[Baseline]:
    """Three baselines in a file, the last of which has this text; models without tokens have no tokens file."""
    ids = (1, 2) if tokens else None
    stored = [baseline("a", token_ids=ids), baseline("b", "B\n", token_ids=ids), baseline("c", text, token_ids=ids)]
    store.update(root, GROUP, stored)
    return stored


@pytest.mark.parametrize("tokens", [True, False], ids=["tokens", "texts alone"])
@pytest.mark.parametrize("edit", EDITS)
def test_every_text_is_read_as_it_was(tmp_path: Path, edit: str, *, tokens: bool) -> None:
    """Whatever was done to both files, the baselines are the same, and the next update adds to them."""
    for number, text in enumerate(TEXTS):
        root = tmp_path / str(number)
        stored = recorded(root, text, tokens=tokens)
        path = store.path_of(root, GROUP)
        for file in (path, tokens_of(path)):
            if file.exists():
                file.write_bytes(EDITS[edit](file.read_bytes()))
        found = store.load(root, GROUP)
        assert (found.baselines, found.warnings) == (by_row(stored), ()), text
        if number:
            continue
        before = contents_of(root)
        store.update(root, GROUP, stored)
        assert contents_of(root) == before, "nothing has changed, so nothing is written"
        store.update(root, GROUP, [baseline("d")])
        assert store.load(root, GROUP).baselines == by_row([*stored, baseline("d")])


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "shift-jis", "utf-16-le", "utf-32"])
def test_another_encoding_is_one_error(tmp_path: Path, encoding: str) -> None:
    """It names the file and says what to do; an update writes nothing over it."""
    recorded(tmp_path, " \u00fc\u00b0" if encoding in ("latin-1", "cp1252") else " \u8349", tokens=True)
    path = store.path_of(tmp_path, GROUP)
    path.write_bytes(path.read_text("utf-8").encode(encoding))
    before = contents_of(tmp_path)
    for call in (lambda: store.load(tmp_path, GROUP), lambda: store.update(tmp_path, GROUP, many(2))):
        with pytest.raises(BaselineError, match=r"distilgpt2\.baseline.*\n.*git checkout -- "):
            call()
    assert contents_of(tmp_path) == before


@pytest.mark.parametrize("tokens", [True, False], ids=["tokens", "texts alone"])
def test_what_was_cut_off_is_never_taken_for_whole(tmp_path: Path, *, tokens: bool) -> None:
    """A cut at any byte: an error, or all baselines before the cut as they were, where it fell between two cases."""
    stored = recorded(tmp_path, "One.\nTwo.", tokens=tokens)
    path = store.path_of(tmp_path, GROUP)
    whole = path.read_bytes()
    for cut in range(len(whole) - 1):
        path.write_bytes(whole[:cut])
        try:
            found = store.load(tmp_path, GROUP).baselines
        except BaselineError:
            continue
        assert whole[:cut].endswith(b"\n") or found == by_row(stored), cut
        last = max(found, default=None)
        for one in stored:
            if one.row in found and one.row != last:
                assert found[one.row] == one


def test_without_proof_the_message_names_both_ways_out(tmp_path: Path) -> None:
    """Where the tokens file is gone, nobody can tell an editor's work from a cut."""
    recorded(tmp_path, "Two.", tokens=True)
    path = store.path_of(tmp_path, GROUP)
    tokens_of(path).unlink()
    path.write_bytes(path.read_bytes().removesuffix(b"\n"))
    with pytest.raises(BaselineError) as caught:
        store.load(tmp_path, GROUP)
    assert "no line break at its end" in str(caught.value)
    assert "echo >> tests/__baselines__/trivia/distilgpt2.baseline" in str(caught.value)
    assert "git checkout -- tests/__baselines__/trivia/distilgpt2.baseline" in str(caught.value)
    with path.open("ab") as file:
        file.write(b"\n")
    assert len(store.load(tmp_path, GROUP).baselines) == 3


def test_a_hand_edit_of_the_last_text_that_lost_the_line_break(tmp_path: Path) -> None:
    """The tokens no longer prove the text, so it is not guessed."""
    recorded(tmp_path, "Two.", tokens=True)
    path = store.path_of(tmp_path, GROUP)
    path.write_bytes(path.read_bytes().removesuffix(b"Two.\n") + b"Three.")
    with pytest.raises(BaselineError, match="no line break at its end"):
        store.load(tmp_path, GROUP)


def test_the_end_line_is_written_once_and_only_where_it_proves_something(tmp_path: Path) -> None:
    """Files of models with tokens have none; the others have one, which an update of equal outputs does not move."""
    recorded(tmp_path, "Two.", tokens=True)
    path = store.path_of(tmp_path, GROUP)
    assert "#end" not in path.read_text("utf-8")
    store.update(tmp_path, GROUP, [baseline("d", "#end", token_ids=None)])
    store.update(tmp_path, GROUP, [baseline("e", "\n#end", token_ids=None)])
    assert path.read_text("utf-8").endswith("\n|\n|#end\n\n#end\n")
    assert path.read_text("utf-8").splitlines().count("#end") == 1
    texts = {row.prompt_id: one.generation.text for row, one in store.load(tmp_path, GROUP).baselines.items()}
    assert (texts["d"], texts["e"]) == ("#end", "\n#end")


def test_a_conflict_at_the_end_of_a_file_without_a_line_break(tmp_path: Path) -> None:
    """The closing marker is the end of what git has written, so nothing can be missing after it."""
    recorded(tmp_path, "Two.", tokens=True)
    path = store.path_of(tmp_path, GROUP)
    text = path.read_text("utf-8").replace("|Two.\n", "<<<<<<< HEAD\n|Two.\n=======\n|Zwei.\n>>>>>>> other")
    path.write_text(text, "utf-8")
    found = store.load(tmp_path, GROUP)
    assert {row.prompt_id for row in found.conflicts} == {"c"}
    assert {row.prompt_id for row in found.baselines} == {"a", "b"}


def test_a_case_that_stands_twice_in_a_file_without_a_line_break(tmp_path: Path) -> None:
    """Which of two versions is the last one is not guessed."""
    recorded(tmp_path, "Two.", tokens=True)
    path = store.path_of(tmp_path, GROUP)
    block = path.read_text("utf-8").partition("\ncase a\n")[2].partition("\n\n")[0]
    path.write_text(path.read_text("utf-8") + f"\ncase a\n{block} or so", "utf-8")
    with pytest.raises(BaselineError, match="no line break at its end"):
        store.load(tmp_path, GROUP)
