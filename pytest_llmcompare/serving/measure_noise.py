"""Measures the noise of an unchanged server: asks some questions again, one at a time.

The noise is between ways of asking, alone and with other requests in flight; repeats of one way are often equal bit for
bit. It is also rare in low precision: few answers move, but those by much. So as many different questions as possible
are asked again, each once, in the other way than before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile

from pytest_llmcompare.comparison.measured_noise import MeasuredNoise
from pytest_llmcompare.comparison.noise import root_mean_square, uncertainty

from .answer import Answer, ShownToken
from .server import Question
from .threads import in_threads

REQUESTS = 16
"""Most requests for measuring the noise."""


def measure_noise(
    ask: Callable[[Question], Answer], questions: Mapping[int, Question], answers: Mapping[int, Answer], count: int
) -> MeasuredNoise | None:
    """Ask questions again and compare the log-probs of their answers; None if no answers can be compared.

    Args:
        ask: Asks one question.
        questions: Greedy questions, by index.
        answers: Answers to some of them. Questions without one, because it came from a journal, are asked twice.
        count: Requests that may be in flight.
    """
    known = sorted(questions.keys() & answers.keys(), key=lambda index: (-uncertainty(answers[index].logprobs), index))[
        :REQUESTS
    ]
    unknown = [index for index in questions if index not in answers][: (REQUESTS - len(known)) // 2]
    first = dict(in_threads(ask, {index: questions[index] for index in unknown}, count))
    first.update({index: answers[index] for index in known})
    again = dict(in_threads(ask, {index: questions[index] for index in (*known, *unknown)}, 1))
    pairs = [(first[index], answer) for index, answer in again.items()]
    shared = [_shared(one, other) for one, other in pairs if isinstance(one, Answer) and isinstance(other, Answer)]
    squares = [_squares(*both) for both in shared if both[0]]
    if not squares:
        return None
    every = [square for own in squares for square in own]
    largest, lead = max(map(root_mean_square, squares)), max(_lead_moved(*both) for both in shared if both[0])
    return MeasuredNoise.from_movements(root_mean_square(every), largest, lead)


Tokens = Sequence[ShownToken]


def _shared(one: Answer, other: Answer) -> tuple[Tokens, Tokens]:
    """The tokens that both answers begin with, and the first one that differs, whose top-2 margins moved, too."""
    pairs = list(zip(one.tokens or (), other.tokens or (), strict=False))
    same = len(list(takewhile(lambda pair: pair[0].id == pair[1].id, pairs)))
    return [first for first, _ in pairs[: same + 1]], [second for _, second in pairs[: same + 1]]


def _squares(one: Tokens, other: Tokens) -> list[float]:
    """Squared differences of the log-probs of equal tokens."""
    return [(a.logprob - b.logprob) ** 2 for a, b in zip(one, other, strict=True) if a.id == b.id]


def _lead_moved(one: Tokens, other: Tokens) -> float:
    """The largest movement of a top-2 margin (nats); where another token is chosen, both margins count."""
    moves = (a.lead - b.lead if a.id == b.id else a.lead + b.lead for a, b in zip(one, other, strict=True))
    return max((abs(move) for move in moves if math.isfinite(move)), default=0.0)
