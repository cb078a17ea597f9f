"""Measures the noise of an unchanged server: asks some questions again, one at a time and all at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, takewhile

from pytest_llmcompare.comparison.noise import LearntNoise
from pytest_llmcompare.errors import GenerationError

from .answer import Answer, ShownToken
from .server import Question
from .threads import in_threads

CASES = 8
"""Questions that are asked again, each twice."""


def learn(
    ask: Callable[[Question], Answer], questions: Mapping[int, Question], answers: Mapping[int, Answer], count: int
) -> LearntNoise | None:
    """Ask questions again and compare the log-probs of their answers; None if no answers can be compared.

    Args:
        ask: Asks one question.
        questions: Greedy questions, by index; the first ones are asked again.
        answers: Answers to some of them.
        count: Requests in flight in the second round; one request at a time does not show all of the noise.
    """
    again = {index: questions[index] for index in [*questions][:CASES]}
    by_index = {index: [answers[index]] if index in answers else [] for index in again}
    for index, answer in (*in_threads(ask, again, 1), *in_threads(ask, again, count)):
        if not isinstance(answer, GenerationError):
            by_index[index].append(answer)
    shared = [_shared(*pair) for all_of_one in by_index.values() for pair in combinations(all_of_one, 2)]
    moves = [(_rms(*both), _lead_moved(*both)) for both in shared if both[0]]
    if not moves:
        return None
    return LearntNoise.from_movements(max(rms for rms, _ in moves), max(lead for _, lead in moves))


Tokens = Sequence[ShownToken]


def _shared(one: Answer, other: Answer) -> tuple[Tokens, Tokens]:
    """The tokens that both answers begin with, and the first other one, which shows how far a lead moved."""
    pairs = list(zip(one.tokens or (), other.tokens or (), strict=False))
    same = len(list(takewhile(lambda pair: pair[0].id == pair[1].id, pairs)))
    return [first for first, _ in pairs[: same + 1]], [second for _, second in pairs[: same + 1]]


def _rms(one: Tokens, other: Tokens) -> float:
    squares = [(a.logprob - b.logprob) ** 2 for a, b in zip(one, other, strict=True) if a.id == b.id]
    return math.sqrt(sum(squares) / len(squares)) if squares else 0.0


def _lead_moved(one: Tokens, other: Tokens) -> float:
    """The largest movement of a top-2 margin (nats); where another token is chosen, both margins count."""
    moves = (a.lead - b.lead if a.id == b.id else a.lead + b.lead for a, b in zip(one, other, strict=True))
    return max((abs(move) for move in moves if math.isfinite(move)), default=0.0)
