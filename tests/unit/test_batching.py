"""Prompts are put into batches that hold each once, of similar length, within the limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcompare.decoding.batching import batches, chunks, left_padded

LENGTHS = st.lists(st.integers(1, 300), max_size=60)


@given(LENGTHS, st.integers(1, 2000), st.integers(0, 9))
def test_every_prompt_is_in_one_batch_within_the_limits(lengths: list[int], tokens: int, rows: int) -> None:
    """No prompt is lost or doubled, and only a single prompt may be larger than a batch."""
    found = batches(lengths, tokens=tokens, rows=rows)
    assert sorted(index for batch in found for index in batch) == list(range(len(lengths)))
    for batch in found:
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= tokens
        assert not rows or len(batch) <= rows


@given(LENGTHS, st.integers(1, 2000), st.integers(0, 9))
def test_longest_prompts_come_first(lengths: list[int], tokens: int, rows: int) -> None:
    """Lengths never rise from one prompt to the next, in a batch or over batches."""
    ordered = [lengths[index] for batch in batches(lengths, tokens=tokens, rows=rows) for index in batch]
    assert ordered == sorted(lengths, reverse=True)


@pytest.mark.parametrize(
    ("lengths", "tokens", "rows", "expected"),
    [
        ([], 10, 0, []),
        ([5], 1, 0, [[0]]),
        ([2, 2, 2, 2], 6, 0, [[0, 1, 2], [3]]),
        ([1, 9, 3, 9], 18, 0, [[1, 3], [2, 0]]),
        ([2, 2, 2, 2], 100, 3, [[0, 1, 2], [3]]),
    ],
)
def test_batches_are_as_large_as_the_limits_allow(
    lengths: list[int], tokens: int, rows: int, expected: list[list[int]]
) -> None:
    """Batches are filled in turn; equal lengths keep their order."""
    assert batches(lengths, tokens=tokens, rows=rows) == expected


@given(st.lists(st.integers()), st.integers(1, 9))
def test_parts_make_up_the_batch(batch: list[int], rows: int) -> None:
    """Splitting keeps order and prompts, and no part is larger than asked."""
    found = chunks(batch, rows)
    assert [index for part in found for index in part] == batch
    assert all(1 <= len(part) <= rows for part in found)


@given(st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=9), min_size=1, max_size=6))
def test_padding_stands_on_the_left_and_is_masked(prompts: list[list[int]]) -> None:
    """Rows have one width, end in the prompts, and the mask has a one for each of their tokens and no other."""
    ids, mask = left_padded(prompts, pad=7)
    width = max(map(len, prompts))
    for row, shown, prompt in zip(ids, mask, prompts, strict=True):
        assert row == [7] * (width - len(prompt)) + prompt
        assert shown == [0] * (width - len(prompt)) + [1] * len(prompt)
