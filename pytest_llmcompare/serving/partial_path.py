"""Log-probs of a served model along a baseline, up to the first token that differs. Pure."""

from __future__ import annotations

import math

from pytest_llmcompare.generation import Path, first_difference

from .answer import Answer


def partial_path(tokens: tuple[int, ...], answer: Answer) -> Path | None:
    """Log-probs and margins (nats) along a baseline, up to and including the first token that differs.

    Args:
        tokens: The baseline's tokens.
        answer: Today's greedy answer.

    Returns:
        The path; None if no token differs, or the answer has no token ids.
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
