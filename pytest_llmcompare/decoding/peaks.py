"""The best score at a position, and how far it stands out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Peak:
    """The best scores of some rows.

    Attributes:
        scores: All scores, [rows, vocab].
        best: The best of each row, [rows].
        place: One of the tokens that have it, [rows].
        margin: Distance from the second best, [rows].
        total: Logarithm of the sum of all exponentiated scores, [rows].
    """

    scores: Tensor
    best: Tensor
    place: Tensor
    margin: Tensor
    total: Tensor

    @property
    def tokens(self) -> Tensor:
        """The tokens that `generate` chooses, [rows]: of equal ones the first, which `topk` does not promise."""
        return self.place if bool((self.margin > 0).all()) else self.scores.argmax(-1)


def peak(scores: Tensor) -> Peak:
    """The best of scores [rows, vocab].

    On a CPU `topk` and `log_softmax` take half the time of `argmax`, `max` and `logsumexp`, and with a vocabulary of
    50,000 these are a tenth of what reading a draft takes.
    """
    top = scores.topk(min(2, scores.shape[-1]), dim=-1)
    best, place = top.values[:, 0], top.indices[:, 0]
    share = scores.log_softmax(-1).gather(-1, place[:, None])[:, 0]
    total = torch.where(best.isfinite(), best - share, best)  # of nothing but -inf it is -inf, as in `logsumexp`
    return Peak(scores, best, place, best - top.values[:, -1], total)
