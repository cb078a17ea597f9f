"""What one pass says about a draft: position by position, whether the model would have written it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from pytest_llmcompare.generation import Path

from .recorder import RowOutput, scores_fault

UNDECIDED = "two tokens are nearly equally likely at token {position}"


@dataclass(frozen=True)
class Prediction:
    """What the model predicts at one position, in processed scores.

    Attributes:
        token: The token that `generate` would choose: the argmax, or the draw.
        score: Its score.
        draft_score: Score of the draft's token.
        best: The best score.
        margin: Top-2 margin.
        log_total: Logarithm of the sum of all exponentiated scores.
        scale: Magnitude of the best score before it was processed.
        unprocessed: Log-prob (nats) of the draft's token before scores were processed.
        sure: True if the choice is not within numerical noise.
    """

    token: int
    score: float
    draft_score: float
    best: float
    margin: float
    log_total: float
    scale: float
    unprocessed: float
    sure: bool


@dataclass
class TeacherForced:
    """Predictions at each position of a draft, also after the output leaves it; fields as in `generation.Path`.

    Attributes:
        last_unsure: The last position, counted from 1, at which two tokens are nearly equally likely; 0 if none is.
    """

    choices: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    margins: list[float] = field(default_factory=list)
    leads: list[float] = field(default_factory=list)
    unprocessed: list[float] = field(default_factory=list)
    scale: float = 0.0
    stop: str = ""
    last_unsure: int = 0

    def add(self, prediction: Prediction, stop: str) -> None:
        """Add a position, with the finish reason of an output that is the draft so far."""
        self.choices.append(prediction.token)
        self.logprobs.append(prediction.draft_score - prediction.log_total)
        self.margins.append(prediction.best - prediction.draft_score)
        self.leads.append(prediction.margin)
        self.unprocessed.append(prediction.unprocessed)
        self.scale = max(self.scale, prediction.scale)
        self.stop = stop
        if not prediction.sure:
            self.last_unsure = len(self.choices)


@dataclass
class DraftCheck:
    """The state of one draft's verification.

    Attributes:
        prompt: The prompt's tokens.
        draft: The tokens that are expected after it, at least one.
        tokens: The output so far: the draft's tokens, up to and including the first that differs.
        logprobs: Log-prob (nats) of each, in the processed distribution.
        margins: Top-2 margin (nats) at each.
        stop: Finish reason of the output: `eos`, `stop` or `length`; empty if it goes on.
        unsure: Why the pass can't tell the output, so that the prompt has to be decoded plainly; empty if it can.
        near_tie: True if that is because two tokens are nearly equally likely.
        forced: Predictions along the whole draft.
    """

    prompt: Sequence[int]
    draft: Sequence[int]
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    margins: list[float] = field(default_factory=list)
    stop: str = ""
    unsure: str = ""
    near_tie: bool = False
    forced: TeacherForced = field(default_factory=TeacherForced)

    @property
    def rejection(self) -> str:
        """Why the output is not the draft; empty if it is."""
        count = len(self.tokens)
        if self.unsure or not count:
            return self.unsure or "the draft has not been verified"
        if self.tokens[-1] != self.draft[count - 1]:
            return f"the model chooses another token at token {count}"
        if not self.stop:
            return f"the output goes on after the draft's {count} tokens"
        return "" if count == len(self.draft) else f"the output ends at token {count}, before the draft does"

    @property
    def is_read(self) -> bool:
        """True if there is a prediction for each token of the draft up to where an output would end."""
        return bool(self.forced.stop) or len(self.forced.choices) == len(self.draft)

    @property
    def is_over(self) -> bool:
        """True if no further token of the draft can be the output's."""
        count = len(self.tokens)
        differs = bool(count) and self.tokens[-1] != self.draft[count - 1]
        return bool(self.stop or self.unsure) or differs or count == len(self.draft)

    @property
    def rest(self) -> RowOutput | None:
        """What follows the last near tie, if the model chooses the draft to its end; None if it does not."""
        forced, start = self.forced, self.forced.last_unsure
        rest, logprobs = tuple(self.draft[start:]), tuple(forced.logprobs[start:])
        is_whole = bool(forced.stop) and len(forced.choices) == len(self.draft)
        if not is_whole or tuple(forced.choices[start:]) != rest or not all(map(math.isfinite, logprobs)):
            return None
        return RowOutput(rest, logprobs, forced.stop, tuple(forced.leads[start:]))

    def output(self) -> RowOutput:
        """The output so far."""
        return RowOutput(tuple(self.tokens), tuple(self.logprobs), self.stop, tuple(self.margins))

    def add(self, prediction: Prediction) -> None:
        """Add the prediction at the output's next position."""
        position = len(self.tokens) + 1
        if fault := scores_fault(prediction.log_total, position):
            self.unsure = fault
        elif not prediction.sure:
            self.unsure, self.near_tie = UNDECIDED.format(position=position), True
        else:
            self.tokens.append(prediction.token)
            self.logprobs.append(prediction.score - prediction.log_total)
            self.margins.append(prediction.margin)

    def path(self, *, draws: bool, coarse: bool) -> Path:
        """Predictions along the draft, as the record that the rest of the plugin uses."""
        forced = self.forced
        return Path(
            tokens=tuple(self.draft),
            choices=tuple(forced.choices),
            logprobs=tuple(forced.logprobs),
            margins=tuple(forced.margins),
            leads=tuple(forced.leads),
            scale=forced.scale,
            stop=forced.stop,
            draws=draws,
            unprocessed=None if forced.unprocessed == forced.logprobs else tuple(forced.unprocessed),
            is_coarse=coarse,
        )
