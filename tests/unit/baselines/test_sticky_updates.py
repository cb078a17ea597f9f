"""Updates touch what changed and nothing else."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from pytest_llmcompare.baselines import store
from pytest_llmcompare.records import Baseline, RowKey

from .samples import (
    CPU,
    GPU,
    GROUP,
    baseline,
    by_row,
    contents_of,
    many,
    stored_blocks,
    stored_tokens,
    tokens_of,
    with_text,
)

NEWER = (("device", "cpu"), ("dtype", "float32"), ("torch", "2.14.0"))


def noisy(one: Baseline) -> Baseline:
    """The same output on another machine: other log-probabilities in the last digits, another environment."""
    generation = dataclasses.replace(one.generation, logprobs=(-0.250003, -0.499999), environment=NEWER)
    return dataclasses.replace(one, generation=generation)


def test_equal_outputs_touch_no_file(tmp_path: Path) -> None:
    """Where every case says the same as before, bytes and modification times of all files stay."""
    store.update(tmp_path, GROUP, many(20))
    before = contents_of(tmp_path)
    for again in (many(20), many(20)[3:5], [], [noisy(one) for one in many(20)]):
        report = store.update(tmp_path, GROUP, again)
        assert report == store.UpdateReport(report.path)
        assert not report.written
    assert contents_of(tmp_path) == before


def test_unchanged_cases_keep_their_lines(tmp_path: Path) -> None:
    """Among noisy repetitions one changed case changes its own lines, in both files, and none of the others."""
    store.update(tmp_path, GROUP, many(20))
    blocks, tokens = stored_blocks(tmp_path), stored_tokens(tmp_path)
    changed = with_text(noisy(many(20)[7]), " Something else.")
    report = store.update(tmp_path, GROUP, [changed if at == 7 else noisy(one) for at, one in enumerate(many(20))])
    assert report.changed == (RowKey("row_007"),)
    assert (report.added, report.refreshed) == ((), ())
    now = stored_blocks(tmp_path)
    assert now.pop("row_007") != blocks.pop("row_007")
    assert now == blocks
    assert [at for at, line in enumerate(stored_tokens(tmp_path)) if line != tokens[at]] == [7]
    assert store.load(tmp_path, GROUP).baselines == by_row([*many(7), changed, *many(20)[8:]])


def test_hand_made_lines_stay(tmp_path: Path) -> None:
    """Lines that a person wrote otherwise than we would are kept, as long as they say the same."""
    store.update(tmp_path, GROUP, many(3))
    path = store.path_of(tmp_path, GROUP)
    text = path.read_text("utf-8").replace("| Answer 1.", "| Answer\n~ 1.").replace("  .env e1", " .env e1", 1)
    path.write_text(text, "utf-8")
    assert not store.update(tmp_path, GROUP, many(3)).written
    store.update(tmp_path, GROUP, [baseline("z")])
    assert path.read_text("utf-8").startswith(text.rstrip("\n"))


@pytest.mark.parametrize(
    "facts",
    [
        {"text": " Red."},
        {"token_ids": (4518, 14)},
        {"token_ids": None},
        {"stop": "eos"},
        {"prompt": "another"},
        {"settings_hash": "00000000"},
    ],
    ids=lambda facts: str(*facts),
)
def test_what_counts_as_a_change(tmp_path: Path, facts: dict[str, object]) -> None:
    """Text, tokens, stop and hashes; the new baseline is what is loaded then."""
    store.update(tmp_path, GROUP, [baseline("a"), baseline("b")])
    changed = baseline("a", **facts)  # type: ignore[arg-type]
    assert store.update(tmp_path, GROUP, [changed]).changed == (RowKey("a"),)
    assert store.load(tmp_path, GROUP) == store.BaselineSet(
        store.path_of(tmp_path, GROUP), by_row([changed, baseline("b")])
    )


def test_a_refresh_writes_new_facts(tmp_path: Path) -> None:
    """With `refresh` environment and log-probabilities become today's, also where the text is the same."""
    store.update(tmp_path, GROUP, many(3))
    report = store.update(tmp_path, GROUP, [noisy(one) for one in many(2)], refresh=True)
    assert report == store.UpdateReport(report.path, refreshed=(RowKey("row_000"), RowKey("row_001")))
    assert report.written
    assert store.load(tmp_path, GROUP).baselines == by_row([*map(noisy, many(2)), many(3)[2]])
    before = contents_of(tmp_path)
    assert not store.update(tmp_path, GROUP, [noisy(one) for one in many(2)], refresh=True).written
    assert contents_of(tmp_path) == before


@pytest.mark.parametrize(("moved", "written"), [(1e-7, False), (2e-5, False), (2e-4, True)])
def test_a_refresh_of_noise_touches_no_file(moved: float, *, written: bool, tmp_path: Path) -> None:
    """Log-probabilities that moved by what one pass differs from many are the same; what weights do is written."""
    store.update(tmp_path, GROUP, [baseline("a", logprobs=(-0.25, -0.5))])
    before = contents_of(tmp_path)
    store.update(tmp_path, GROUP, [baseline("a", logprobs=(-0.25 - moved, -0.5))], refresh=True)
    assert (contents_of(tmp_path) != before) is written


def test_each_row_is_reported_once_and_in_order(tmp_path: Path) -> None:
    """A report tells additions from changes, in the order given; a baseline that stays the same is in neither."""
    store.update(tmp_path, GROUP, [baseline("b"), baseline("c")])
    report = store.update(
        tmp_path, GROUP, [baseline("z"), baseline("c", " New."), baseline("b"), baseline("a", variant="v")]
    )
    assert report == store.UpdateReport(
        store.path_of(tmp_path, GROUP),
        added=(RowKey("z"), RowKey("a", "v")),
        changed=(RowKey("c"),),
    )


def test_environments_are_shared_and_keep_their_names(tmp_path: Path) -> None:
    """A new environment gets the next number; one that no case refers to any more goes, the others keep theirs."""
    store.update(tmp_path, GROUP, [baseline("a"), baseline("b"), baseline("c", environment=GPU)])
    store.update(tmp_path, GROUP, [baseline("a", " New.", environment=NEWER)])
    store.update(tmp_path, GROUP, [baseline("c", " New.", environment=NEWER)])
    text = store.path_of(tmp_path, GROUP).read_text("utf-8")
    assert [line for line in text.splitlines() if line.startswith("#env")] == [
        "#env e1 device=cpu dtype=float32 torch=2.13.0",
        "#env e3 device=cpu dtype=float32 torch=2.14.0",
    ]
    loaded = store.load(tmp_path, GROUP).baselines
    assert {row.prompt_id: one.generation.environment for row, one in loaded.items()} == {
        "a": NEWER,
        "b": CPU,
        "c": NEWER,
    }


@pytest.mark.parametrize("facts", [{}, {"token_ids": None}], ids=["tokens", "texts"])
def test_the_header_alone_changes_when_all_move_to_one_environment(tmp_path: Path, facts: dict[str, Any]) -> None:
    """The new environment takes over the name, so the lines of cases stay; one left behind keeps the old name."""
    path = store.path_of(tmp_path, GROUP)
    store.update(tmp_path, GROUP, many(5, **facts))
    before = path.read_text("utf-8")
    for torch in ("2.14.0", "2.15.0"):
        environment = (("device", "cpu"), ("dtype", "float32"), ("torch", torch))
        moved = many(5, environment=environment, **facts)
        assert len(store.update(tmp_path, GROUP, moved, refresh=True).refreshed) == 5
        assert path.read_text("utf-8") == before.replace("torch=2.13.0", f"torch={torch}")
        stored = store.load(tmp_path, GROUP)
        assert (stored.baselines, stored.warnings) == (by_row(moved), ())
        assert not store.update(tmp_path, GROUP, moved, refresh=True).written
    store.update(tmp_path, GROUP, many(4, environment=GPU, **facts), refresh=True)
    assert [path.read_text("utf-8").count(f".env {name}") for name in ("e1", "e2", "e3")] == [1, 4, 0]
    store.update(tmp_path, GROUP, many(5, environment=NEWER, **facts), refresh=True)
    assert [path.read_text("utf-8").count(f".env {name}") for name in ("e1", "e2", "e3")] == [0, 5, 0]
    assert store.load(tmp_path, GROUP).baselines == by_row(many(5, environment=NEWER, **facts))


def test_the_tokens_file_alone_changes_when_tokens_come_back(tmp_path: Path) -> None:
    """Where only the tokens were lost, an update restores them and leaves the text as it is."""
    store.update(tmp_path, GROUP, many(5))
    path = store.path_of(tmp_path, GROUP)
    text, tokens = path.read_bytes(), tokens_of(path).read_bytes()
    tokens_of(path).unlink()
    assert len(store.update(tmp_path, GROUP, many(5)).changed) == 5
    assert (path.read_bytes(), tokens_of(path).read_bytes()) == (text, tokens)


def test_own_git_attributes_stay(tmp_path: Path) -> None:
    """What a user tells git about the folder is not written over."""
    attributes = tmp_path / "tests/__baselines__/.gitattributes"
    attributes.parent.mkdir(parents=True)
    attributes.write_text("* text\n")
    store.update(tmp_path, GROUP, many(2))
    assert attributes.read_text() == "* text\n"
