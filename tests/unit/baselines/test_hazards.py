"""200 good baselines, and everything that has destroyed such a file elsewhere: none is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_llmcompare.baselines import store
from pytest_llmcompare.errors import BaselineError
from pytest_llmcompare.records import GroupKey, RowKey

from .samples import GROUP, baseline, by_row, contents_of, many, stored_blocks, stored_tokens, tokens_of, with_text

OTHER = GroupKey("tests", "trivia", "gpt2-large")
TABLE = GroupKey("tests", "geo", "distilgpt2")
DECLARED = [one.row for one in many(200)]

Hazard = Callable[[Path], object]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two models of one table and another table, 200 good baselines each."""
    for group in (GROUP, OTHER, TABLE):
        store.update(tmp_path, group, many(200))
    return tmp_path


def refused(call: Hazard) -> Hazard:
    """The call, which must end in an error of ours."""

    def check(root: Path) -> None:
        with pytest.raises(BaselineError):
            call(root)

    return check


HARMLESS: dict[str, Hazard] = {
    "a run that compared nothing": lambda root: store.update(root, GROUP, []),
    "an update in which every group failed": lambda root: [store.update(root, key, []) for key in (GROUP, OTHER)],
    "an update with equal outputs": lambda root: store.update(root, GROUP, many(200)),
    "an update of a shard with equal outputs": lambda root: store.update(root, GROUP, many(200)[50:100]),
    "a refresh with equal outputs": lambda root: store.update(root, GROUP, many(200), refresh=True),
    "a partial selection that declares the whole table": lambda root: store.prune(
        root, GROUP, DECLARED, confirmed=True
    ),
    "a table that has grown": lambda root: store.prune(root, GROUP, [*DECLARED, RowKey("new")], confirmed=True),
    "a prune by a table of half the rows": refused(
        lambda root: store.prune(root, GROUP, DECLARED[:100], confirmed=False)
    ),
    "a prune by one row": refused(lambda root: store.prune(root, GROUP, DECLARED[:1], confirmed=False)),
    "a prune by a table without rows": refused(lambda root: store.prune(root, GROUP, [], confirmed=False)),
    "a prune by renamed ids": refused(
        lambda root: store.prune(root, GROUP, [RowKey(f"{row}_x") for row in DECLARED], confirmed=False)
    ),
    "a prune by new variants": refused(
        lambda root: store.prune(root, GROUP, [RowKey(row.prompt_id, "v") for row in DECLARED], confirmed=False)
    ),
    "a prune of a model without file": lambda root: store.prune(
        root, GroupKey("tests", "trivia", "x"), [], confirmed=True
    ),
    "a look at what is obsolete": lambda root: store.obsolete(store.load(root, GROUP), []),
}


@pytest.mark.parametrize("hazard", HARMLESS.values(), ids=HARMLESS)
def test_no_byte_of_any_file_changes(root: Path, hazard: Hazard) -> None:
    """Every file is as it was, time of modification included."""
    before = contents_of(root)
    hazard(root)
    assert contents_of(root) == before


@pytest.mark.parametrize("at", [0, 77, 199])
@pytest.mark.parametrize("refresh", [False, True])
def test_an_update_of_one_row_changes_that_row(root: Path, at: int, refresh: bool) -> None:
    """199 cases keep their lines in both files; other models and tables keep their files."""
    before, blocks, tokens = contents_of(root), stored_blocks(root), stored_tokens(root)
    new = with_text(many(200)[at], " New.")
    store.update(root, GROUP, [new], refresh=refresh)
    assert store.load(root, GROUP) == store.BaselineSet(store.path_of(root, GROUP), by_row([*many(200), new]))
    assert {name for name, block in stored_blocks(root).items() if block != blocks[name]} == {str(new.row)}
    assert [place for place, line in enumerate(stored_tokens(root)) if line != tokens[place]] == [at]
    assert {name for name, content in contents_of(root).items() if content != before[name]} == {
        f"tests/__baselines__/trivia/distilgpt2{suffix}" for suffix in (".baseline", ".tokens.jsonl")
    }


def test_a_new_row_is_added(root: Path) -> None:
    """A row inserted into the table leaves all others alone."""
    blocks = stored_blocks(root)
    store.update(root, GROUP, [baseline("row_100b")])
    now = stored_blocks(root)
    del now["row_100b"]
    assert now == blocks


def test_a_new_model_leaves_the_others(root: Path) -> None:
    """The first update of a third model touches no file of the first two."""
    before = contents_of(root)
    store.update(root, GroupKey("tests", "trivia", "distilgpt2-v2"), many(200))
    store.update(root, GroupKey("tests", "trivia", "DistilGPT2"), many(200))
    assert {name: content for name, content in contents_of(root).items() if name in before} == before


def test_a_run_that_stops_after_each_case(root: Path) -> None:
    """Updates of a few cases at a time, as `-x` and Ctrl-C make them, add up."""
    new = [with_text(one, " New.") for one in many(200)[:60]]
    for at in range(0, 60, 7):
        store.update(root, GROUP, new[at : at + 7])
    assert store.load(root, GROUP).baselines == by_row([*many(200), *new])


def test_a_prune_deletes_what_was_told_and_no_more(root: Path) -> None:
    """40 of 200 rows may go at once, a 41st wants a second word."""
    with pytest.raises(BaselineError, match="no longer has 41 of its 200 rows"):
        store.prune(root, GROUP, DECLARED[41:], confirmed=False)
    store.prune(root, GROUP, DECLARED[40:], confirmed=False)
    assert store.load(root, GROUP).baselines == by_row(many(200)[40:])
    for group in (OTHER, TABLE):
        assert store.load(root, group).baselines == by_row(many(200))


@pytest.mark.parametrize("damage", ["text", "tokens", "both"])
def test_damage_is_not_written_over(root: Path, damage: str) -> None:
    """A broken baseline file is left for its owner to restore; without tokens the texts are still there."""
    path = store.path_of(root, GROUP)
    whole = path.read_bytes()
    if damage != "text":
        tokens_of(path).write_bytes(tokens_of(path).read_bytes()[:5000])
    if damage == "tokens":
        store.update(root, GROUP, [baseline("row_000", " New.")])
        texts = {row: one.generation.text for row, one in store.load(root, GROUP).baselines.items()}
        assert texts == {one.row: one.generation.text for one in many(200)} | {RowKey("row_000"): " New."}
        return
    path.write_bytes(whole[: len(whole) // 2].rstrip(b"\n"))
    before = contents_of(root)
    with pytest.raises(BaselineError):
        store.load(root, GROUP)
    with pytest.raises(BaselineError):
        store.update(root, GROUP, many(3))
    assert contents_of(root) == before
    path.write_bytes(whole)
    assert len(store.load(root, GROUP).baselines) == 200
