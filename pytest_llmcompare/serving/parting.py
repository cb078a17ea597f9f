"""What a server shows of a baseline that it left: the margin at the first other token. Pure."""

from __future__ import annotations

import math

from pytest_llmcompare.generation import Path, first_difference

from .answer import Answer


def path_until_parting(tokens: tuple[int, ...], answer: Answer) -> Path | None:
    """The server's log-probabilities along a baseline, up to the first token that it chose otherwise.

    Args:
        tokens: The baseline's tokens.
        answer: Today's answer, greedy.

    Returns:
        None if nothing differs, or the answer does not show its tokens.
    """
    if answer.tokens is None or (at := first_difference(tokens, answer.token_ids)) is None:
        return None
    steps = answer.tokens[: at + 1] if at < len(tokens) else answer.tokens[:at]
    given = [step.alternatives.get(token, -math.inf) for step, token in zip(steps, tokens, strict=False)]
    given[:at] = [step.logprob for step in steps[:at]]
    known = [value for value in given if value > -math.inf]
    ends = at == len(answer.tokens)
    return Path(
        tokens,
        tuple(step.id for step in steps),
        tuple(known),
        tuple(max(0.0, step.logprob - value) for step, value in zip(steps, given, strict=True)),
        tuple(step.lead for step in steps),
        stop=answer.stop if ends else "",
        is_partial=True,
    )
