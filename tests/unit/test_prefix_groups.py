"""Prompts are grouped by the tokens that they start with, in several groups if that saves more."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcompare.decoding.prefix_cache import PrefixGroup, group_by_prefix

A, B = list(range(100, 130)), list(range(200, 220))


@pytest.mark.parametrize(
    ("prompts", "expected"),
    [
        ([], []),
        ([[1, 2, 3]], [PrefixGroup(0, (0,))]),
        ([[*A, 1], [*A, 2], [*A, 3]], [PrefixGroup(0, (0, 1, 2))]),
        ([[*A, 1], [*A, 2], [*A, 3], [*A, 4]], [PrefixGroup(30, (0, 1, 2, 3))]),
        (
            [[*A, *A, 1], [*B, *A, 1], [*A, *A, 2], [*B, *A, 2], [*A, *A, 3], [*B, *A, 3]],
            [PrefixGroup(60, (0, 2, 4)), PrefixGroup(50, (1, 3, 5))],
        ),
        ([[*A, *A, *A, 1], [7, 7], [*A, *A, *A, 2], [8]], [PrefixGroup(90, (0, 2)), PrefixGroup(0, (1, 3))]),
        ([[*A, *A], [*A, *A, 1], [*A, *A, 2]], [PrefixGroup(59, (0, 1, 2))]),
        ([[*A, *A, *A], [*A, *A, *A]], [PrefixGroup(89, (0, 1))]),
        ([[1, 2, 3], [1, 2, 4]], [PrefixGroup(0, (0, 1))]),
        ([[*A, 5, number] for number in range(3)] + [[*A, 6]], [PrefixGroup(30, (0, 1, 2, 3))]),
        ([[*A, *B, 1], [*A, *B, 2], [*A, 3], [*A, 4]], [PrefixGroup(30, (0, 1, 2, 3))]),
        (
            [[*A, *B, n] for n in range(9)] + [[*A, 1, n] for n in range(9)],
            [PrefixGroup(31, tuple(range(9, 18))), PrefixGroup(50, tuple(range(9)))],
        ),
    ],
)
def test_group_by_prefix(prompts: list[list[int]], expected: list[PrefixGroup]) -> None:
    """The groups that save most, each prompt with a token of its own left; the rest last."""
    found = [PrefixGroup(group.length, tuple(sorted(group.members))) for group in group_by_prefix(prompts)]
    assert found == expected


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=30), max_size=20), st.integers(1, 5))
def test_every_prompt_is_in_one_group(prompts: list[list[int]], least: int) -> None:
    """All members start with the same tokens, as many as `length` and worth it, with at least one more each."""
    found = group_by_prefix(prompts, least)
    assert sorted(place for group in found for place in group.members) == list(range(len(prompts)))
    for group in found:
        assert len({tuple(prompts[place][: group.length]) for place in group.members}) == 1
        assert group.length == 0 or (group.length >= least and len(group.members) > 1)
        assert group.length < min(len(prompts[place]) for place in group.members)


def test_questions_that_begin_alike_stay_with_the_others() -> None:
    """A few words that some questions have in common as well do not break up the group of the examples."""
    draw = random.Random(3)
    starts = [[1, 2, 3], [1, 2, 9], [4, 5], [6]]
    prompts = [[*A, *A, *draw.choice(starts), *draw.choices(range(50), k=5)] for _ in range(30)]
    assert [group.length for group in group_by_prefix(prompts)] == [60]


def test_many_prompts_that_contain_each_other() -> None:
    """A thousand prompts of growing length are no deep recursion."""
    prompts = [[1] * length for length in range(1, 1001)]
    assert sum(len(group.members) for group in group_by_prefix(prompts)) == 1000
