"""10,000 baselines are written and read within a small multiple of what plain JSON of the same data takes."""

from __future__ import annotations

import dataclasses
import json
import random
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from pytest_llmcompare.baselines import store
from pytest_llmcompare.records import Baseline

from .samples import GROUP, baseline, by_row, tokens_of, with_text

COUNT = 10_000
WORDS = ("sky", "is", "blue", "and", "grass", "green", "because", "chlorophyll", "water", "boils", "at", "hundred")


@pytest.fixture(scope="module")
def baselines() -> list[Baseline]:
    """10,000 answers of ten tokens."""
    draw = random.Random(0)
    return [
        baseline(
            f"row_{at:05}",
            f" {' '.join(draw.choices(WORDS, k=8))}.\n\nQ: {draw.choice(WORDS)}",
            token_ids=[draw.randrange(50_000) for _ in range(10)],
            logprobs=[-draw.randrange(10**7) / 10**6 for _ in range(10)],
        )
        for at in range(COUNT)
    ]


def fastest(*calls: Callable[[], object], tries: int = 3) -> list[float]:
    """Seconds of processor time of each call, the least of several in turn: other processes can only add to it."""
    rounds = []
    for _ in range(tries):
        marks = [time.process_time()]
        for call in calls:
            call()
            marks.append(time.process_time())
        rounds.append([end - start for start, end in pairwise(marks)])
    return [min(seconds) for seconds in zip(*rounds, strict=True)]


def test_writing_and_reading_take_a_small_multiple_of_json(tmp_path: Path, baselines: list[Baseline]) -> None:
    """Both directions, files on disk and all checks included, against `json` alone on the same records."""
    plain = [dataclasses.asdict(one) for one in baselines]
    text = json.dumps(plain)
    root, folders = tmp_path / "0", iter(range(10))
    dumps, write, loads, read, same = fastest(
        lambda: json.dumps(plain),
        lambda: store.update(tmp_path / str(next(folders)), GROUP, baselines),
        lambda: json.loads(text),
        lambda: store.load(root, GROUP),
        lambda: store.update(root, GROUP, baselines),
    )
    print(f"write {write:.3f} s ({write / dumps:.1f} x), read {read:.3f} s ({read / loads:.1f} x), same {same:.3f} s")
    assert store.load(root, GROUP).baselines == by_row(baselines)
    assert write < 8 * dumps
    assert read < 12 * loads
    assert same < 3 * read + write


def test_time_grows_with_the_number_of_cases_and_no_faster(tmp_path: Path, baselines: list[Baseline]) -> None:
    """Five times the cases take about five times as long, to write, to read, and to change one."""

    def calls(count: int) -> list[Callable[[], object]]:
        root = tmp_path / str(count)
        some = baselines[:count]
        texts = iter(f" New {at}." for at in range(10))
        return [
            lambda: store.update(root, GROUP, some, refresh=True),
            lambda: store.load(root, GROUP),
            lambda: store.update(root, GROUP, [with_text(some[0], next(texts))]),
        ]

    seconds = fastest(*calls(COUNT // 10), *calls(COUNT // 2))
    for few, many in zip(seconds[:3], seconds[3:], strict=True):
        assert many < 15 * few


def test_the_file_is_little_larger_than_its_texts(tmp_path: Path, baselines: list[Baseline]) -> None:
    """What people review is mostly text: names and facts take less than 150 bytes a case."""
    store.update(tmp_path, GROUP, baselines)
    path = store.path_of(tmp_path, GROUP)
    texts = sum(len(one.generation.text.encode()) for one in baselines)
    assert texts < path.stat().st_size < texts + 150 * COUNT
    assert tokens_of(path).stat().st_size < 300 * COUNT
