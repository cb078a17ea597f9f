"""Obsolete is what the table no longer has; only `prune` deletes it, and not much at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_llmcompare.baselines import store
from pytest_llmcompare.errors import BaselineError
from pytest_llmcompare.records import GroupKey, RowKey

from .samples import GROUP, baseline, by_row, contents_of, many, stored_blocks, stored_tokens

CONFLICT = """#llmcompare-baseline 1
#table trivia
#model distilgpt2

case a
| One.

<<<<<<< HEAD
case b
| Two.
=======
case b
| Zwei.
>>>>>>> other

case c
| Three.
"""


def rows(*names: str) -> list[RowKey]:
    return [RowKey(name) for name in names]


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ([*rows("a", "b"), RowKey("a", "v")], ()),
        ([*rows("a", "b", "c"), RowKey("a", "v"), RowKey("b", "v")], ()),
        (rows("a", "b"), (RowKey("a", "v"),)),
        (rows("b"), (RowKey("a"), RowKey("a", "v"))),
        (rows("A", "b@v"), (RowKey("a"), RowKey("a", "v"), RowKey("b"))),
        ([], (RowKey("a"), RowKey("a", "v"), RowKey("b"))),
    ],
)
def test_obsolete_is_stored_less_declared(tmp_path: Path, declared: list[RowKey], expected: tuple[RowKey, ...]) -> None:
    """Rows in the file that were not declared, variants apart, sorted."""
    store.update(tmp_path, GROUP, [baseline("b"), baseline("a", variant="v"), baseline("a")])
    assert store.obsolete(store.load(tmp_path, GROUP), declared) == expected


def test_no_file_has_nothing_obsolete(tmp_path: Path) -> None:
    """Loading and pruning what is not there gives nothing and makes nothing."""
    assert store.obsolete(store.load(tmp_path, GROUP), rows("a")) == ()
    assert store.prune(tmp_path, GROUP, rows("a"), confirmed=True) == ()
    assert list(tmp_path.iterdir()) == []


def test_prune_deletes_what_is_obsolete(tmp_path: Path) -> None:
    """Up to a fifth of the file goes at the first word; all other lines stay, in both files."""
    store.update(tmp_path, GROUP, many(10))
    blocks, tokens = stored_blocks(tmp_path), stored_tokens(tmp_path)
    declared = [one.row for one in many(10)[1:9]]
    assert store.prune(tmp_path, GROUP, declared, confirmed=False) == (RowKey("row_000"), RowKey("row_009"))
    assert stored_blocks(tmp_path) == {name: block for name, block in blocks.items() if RowKey(name) in declared}
    assert stored_tokens(tmp_path) == tokens[1:9]


def test_nothing_obsolete_touches_no_file(tmp_path: Path) -> None:
    """Pruning a file without obsolete rows leaves bytes and times."""
    store.update(tmp_path, GROUP, many(10))
    before = contents_of(tmp_path)
    assert store.prune(tmp_path, GROUP, [one.row for one in many(12)], confirmed=True) == ()
    assert contents_of(tmp_path) == before


@pytest.mark.parametrize(
    ("total", "gone", "names"),
    [
        (10, 3, "'row_000', 'row_001', 'row_002'"),
        (4, 1, "'row_000'"),
        (10, 10, "'row_000', 'row_001', 'row_002' and 7 more"),
    ],
)
def test_more_than_a_fifth_wants_a_second_word(tmp_path: Path, total: int, gone: int, names: str) -> None:
    """Beyond 20 % of a file nothing is deleted, and the message says what would be; `=yes` deletes it."""
    store.update(tmp_path, GROUP, many(total))
    before = contents_of(tmp_path)
    declared = [one.row for one in many(total)[gone:]]
    with pytest.raises(BaselineError) as caught:
        store.prune(tmp_path, GROUP, declared, confirmed=False)
    assert str(caught.value) == (
        f"tests/__baselines__/trivia/distilgpt2.baseline: the table no longer has {gone} of its {total} rows: {names}. "
        "More than 20% of a file are not deleted without confirmation.\n"
        "Nothing was deleted from this file. To delete them: pytest --llm-prune=yes"
    )
    assert contents_of(tmp_path) == before
    assert len(store.prune(tmp_path, GROUP, declared, confirmed=True)) == gone
    assert store.load(tmp_path, GROUP).baselines == by_row(many(total)[gone:])


def test_the_last_row_takes_the_file_along(tmp_path: Path) -> None:
    """A file without cases is removed with its tokens, and the table's folder where it is empty then."""
    other = GroupKey(GROUP.folder, GROUP.table, "gpt2")
    for group in (GROUP, other):
        store.update(tmp_path, group, many(2))
    store.prune(tmp_path, GROUP, [], confirmed=True)
    assert list(contents_of(tmp_path / "tests/__baselines__")) == [
        ".gitattributes",
        "trivia/gpt2.baseline",
        "trivia/gpt2.tokens.jsonl",
    ]
    assert store.load(tmp_path, GROUP).rows == frozenset()
    store.prune(tmp_path, other, [], confirmed=True)
    assert [path.name for path in (tmp_path / "tests/__baselines__").iterdir()] == [".gitattributes"]


def test_cases_in_conflict_count(tmp_path: Path) -> None:
    """A case that a merge left in two versions is obsolete like any other, and stays in conflict while declared."""
    path = store.path_of(tmp_path, GROUP)
    path.parent.mkdir(parents=True)
    path.write_text(CONFLICT)
    assert store.obsolete(store.load(tmp_path, GROUP), rows("a")) == tuple(rows("b", "c"))
    assert store.prune(tmp_path, GROUP, rows("a", "b"), confirmed=True) == tuple(rows("c"))
    assert path.read_text() == CONFLICT.replace("\ncase c\n| Three.\n", "")
    assert store.prune(tmp_path, GROUP, rows("a"), confirmed=True) == tuple(rows("b"))
    assert path.read_text() == "#llmcompare-baseline 1\n#table trivia\n#model distilgpt2\n\ncase a\n| One.\n\n#end\n"
