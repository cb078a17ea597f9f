"""The two best scores of a position are those that torch finds, with ties and NaN included."""

from __future__ import annotations

import pytest
import torch

from pytest_llmcompare.decoding.recorder import top_two

INF, NAN = float("inf"), float("nan")
ROWS = {
    "plain": [0.5, 2.0, -1.0, 1.5],
    "tie": [1.0, 3.0, 0.0, 3.0],
    "all equal": [0.0, 0.0, 0.0, 0.0],
    "all but one excluded": [-INF, -INF, 4.0, -INF],
    "nothing left": [-INF] * 4,
    "not a number": [0.0, NAN, 1.0, 2.0],
    "without end": [0.0, INF, 1.0, 2.0],
    "large": [3e4, 2e4, -3e4, 3e4 - 1],
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_it_agrees_with_torch(row: list[float]) -> None:
    """Token as `argmax`, normaliser as `logsumexp`, margin as of the first two of a sorted list."""
    scores = torch.tensor([row, [1.0, 2.0, 3.0, 4.0]])
    found = top_two(scores)
    assert found.argmax.tolist() == scores.argmax(-1).tolist()
    torch.testing.assert_close(found.log_total, scores.logsumexp(-1), equal_nan=True)
    first, second = scores.sort(-1, descending=True).values[:, :2].unbind(-1)
    torch.testing.assert_close(found.best, first, equal_nan=True)
    torch.testing.assert_close(found.margin, first - second, equal_nan=True)


def test_the_first_of_equal_tokens_is_chosen() -> None:
    """As `generate` does, wherever in a large vocabulary they stand."""
    scores = torch.zeros(1, 50_257)
    scores[0, [49_000, 7, 30_000]] = 5.0
    assert top_two(scores).argmax.tolist() == [7]


def test_a_vocabulary_of_one() -> None:
    """There is no second best, so nothing stands out."""
    found = top_two(torch.tensor([[2.5]]))
    assert (found.argmax.tolist(), found.margin.tolist(), found.log_total.tolist()) == ([0], [0.0], [2.5])
