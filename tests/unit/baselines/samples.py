"""Baselines to write, and what a folder holds afterwards."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

from pytest_llmcompare.baselines import store
from pytest_llmcompare.generation import Environment, Generation
from pytest_llmcompare.records import Baseline, GroupKey, RowKey
from pytest_llmcompare.text import digest

GROUP = GroupKey("tests", "trivia", "distilgpt2")
CPU: Environment = (("device", "cpu"), ("dtype", "float32"), ("torch", "2.13.0"))
GPU: Environment = (("device", "cuda"), ("dtype", "bfloat16"), ("torch", "2.13.0"))


def baseline(
    prompt_id: str,
    text: str = " Blue.",
    *,
    variant: str = "",
    token_ids: Sequence[int] | None = (4518, 13),
    logprobs: Sequence[float] | None = (-0.25, -0.5),
    stop: str = "length",
    environment: Environment = CPU,
    prompt: str = "Q: What color is the sky?\nA:",
    settings_hash: str = "7d21a0c4",
) -> Baseline:
    """A baseline, as a test would record it."""
    return Baseline(
        RowKey(prompt_id, variant),
        Generation(
            text,
            None if token_ids is None else tuple(token_ids),
            None if logprobs is None or token_ids is None else tuple(logprobs),
            stop,
            environment,
        ),
        digest(prompt),
        settings_hash,
    )


def many(count: int, text: str = " Answer {}.", **facts: object) -> list[Baseline]:
    """Baselines `row_000`, `row_001` and so on, each with a text of its own."""
    return [baseline(f"row_{at:03}", text.format(at), **facts) for at in range(count)]  # type: ignore[arg-type]


def with_text(old: Baseline, text: str) -> Baseline:
    """The same case with another answer."""
    return dataclasses.replace(old, generation=dataclasses.replace(old.generation, text=text))


def by_row(baselines: Iterable[Baseline]) -> dict[RowKey, Baseline]:
    """Baselines by their row, as `load` gives them."""
    return {one.row: one for one in baselines}


def tokens_of(path: Path) -> Path:
    """The tokens file that belongs to a baseline file."""
    return path.with_name(path.name.removesuffix(".baseline") + ".tokens.jsonl")


def contents_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Bytes and modification time of all files below a folder, by path."""
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def stored_blocks(root: Path, group: GroupKey = GROUP) -> dict[str, str]:
    """The lines of each case in a group's baseline file, by the case's first line."""
    head, *blocks = store.path_of(root, group).read_text("utf-8").split("\ncase ")
    assert head.startswith("#llmcompare-baseline 1\n")
    return {block.split("\n", 1)[0]: block.rstrip("\n") for block in blocks}


def stored_tokens(root: Path, group: GroupKey = GROUP) -> list[str]:
    """The lines of a group's tokens file."""
    return tokens_of(store.path_of(root, group)).read_text("utf-8").splitlines()
