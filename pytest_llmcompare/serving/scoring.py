"""Log-probs of a served model along a baseline, from one request that scores its tokens. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pytest_llmcompare.generation import Generation, Path

from .answer import Answer
from .shown_tokens import ShownToken


def scored_tokens(answer: Answer, count: int) -> tuple[ShownToken, ...]:
    """The last `count` tokens of a scored prompt."""
    shown = answer.prompt.tokens if answer.prompt else ()
    return shown[len(shown) - count :]


def path_along(expected: Generation, answer: Answer, *, draws: bool) -> Path | None:
    """The path along a baseline: the server's own choices, log-probs, margins and leads (nats).

    Args:
        expected: The baseline, with tokens.
        answer: Answer to the request that scored all of them.
        draws: Whether the case is sampled.

    Returns:
        The path; None if the answer does not show all tokens, or not what the server would have chosen.
    """
    tokens = expected.token_ids or ()
    steps = scored_tokens(answer, len(tokens))
    if not tokens or tuple(step.id for step in steps) != tokens:
        return None
    return Path(
        tokens,
        tuple(step.best for step in steps),
        tuple(step.logprob for step in steps),
        tuple(step.alternatives[step.best] - step.logprob for step in steps),
        tuple(top_margin(step) for step in steps),
        stop=_stop(expected, answer),
        draws=draws,
    )


def top_margin(step: ShownToken) -> float:
    """Log-prob of the most likely token minus that of the second (nats); infinite if no second is shown."""
    best, *others = sorted(step.alternatives.values(), reverse=True)
    return best - others[0] if others else math.inf


def _stop(expected: Generation, answer: Answer) -> str:
    """Finish reason after the baseline's tokens.

    It follows from these tokens, since the settings are the baseline's. Some servers leave the end token out; then the
    token after the last shows whether the output would have ended there.
    """
    has_end_token = dict(expected.environment).get("level") == "path"
    ends = expected.stop != "eos" or has_end_token or answer.stop == "eos"
    return expected.stop if ends else ""


def confirms(expected: Generation, steps: Sequence[ShownToken], *, unsure: float) -> bool:
    """True if the server would have generated these tokens.

    Args:
        expected: The baseline, with tokens.
        steps: What the server shows of its tokens.
        unsure: Largest top-2 margin (nats) that noise may decide.
    """
    chosen = tuple(step.best for step in steps if step.id == step.best and top_margin(step) > unsure)
    return chosen == expected.token_ids


def spells(pieces: Sequence[str | None], text: str) -> bool:
    """True unless the texts of tokens show that they make another text.

    White space does not count, because servers mark it in ways of their own; nor do pieces that are part of a
    character.
    """
    known = [piece for piece in pieces if piece is not None]
    if len(known) < len(pieces) or any("\N{REPLACEMENT CHARACTER}" in piece for piece in known):
        return True
    return _bare("".join(known)).startswith(_bare(text)) or _bare(text).startswith(_bare("".join(known)))


def _bare(text: str) -> str:
    marks = str.maketrans("", "", "\u0120\u010a\u2581")  # of byte-level and SentencePiece vocabularies
    return "".join(text.translate(marks).split())
