"""One call of transformers' `generate` that also tells what it chose from: likelihoods, margins, the reason to stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList, StopStringCriteria

from pytest_llmcompare.compat import beam_search_loop, sampling_loop

from .caution import least_margin
from .sampling import is_steady


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


NOT_A_NUMBER = "the model's scores are not a number at token {position} of the output"
NOTHING_LEFT = "the decoding settings leave no token to choose at token {position} of the output"


class UnusableScoresError(Exception):
    """Scores that no token can be chosen from."""


@dataclass(frozen=True)
class Answer:
    """What `generate` gave for one row.

    Attributes:
        tokens: The new tokens, end-of-sequence token included, padding left out.
        logprobs: Natural logarithm of each token's probability in the processed distribution; None for beam search,
            whose choice does not follow it.
        stop: `eos`, `stop` or `length`.
        margins: Distance (nats) of the best token from the second best, at each position; None for beam search.
        sure: Whether numerical noise cannot have decided between two tokens anywhere.
        fault: Why the tokens mean nothing; empty where they are fine.
    """

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...] | None
    stop: str
    margins: tuple[float, ...] | None = None
    sure: bool = True
    fault: str = ""


class Scores:
    """A logits processor that changes nothing and remembers what matters of each step. It has to be the last one.

    Args:
        model: The transformers model.
        draws: Whether tokens are drawn, one row at a time.
        watch: Whether to find out if noise could change a draw.
    """

    def __init__(self, model: Any, draws: bool, watch: bool = False) -> None:
        self.model = model
        self.draws = draws
        self.watch = watch and draws
        self.steady = True
        self.last: Tensor | None = None  # [rows, vocab]
        self.chosen: list[Tensor] = []  # per step [rows]
        self.totals: list[Tensor] = []  # per step [rows]
        self.bests: list[Tensor] = []  # per step [rows]
        self.margins: list[Tensor] = []  # per step [rows]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Note a step; `input_ids` [rows, seq] end with the token that the last step chose."""
        self.note_choice(input_ids[:, -1])
        found = peak(scores)
        self.last = scores
        self.totals.append(found.total)
        self.bests.append(found.best)
        self.margins.append(found.margin)
        # A draw from such scores raises on a CPU, and on a GPU it ends the use of the device for good.
        if self.draws and (fault := fault_of(self.totals[-1][0].item(), len(self.totals))):
            raise UnusableScoresError(fault)
        if self.watch:
            self.steady = self.steady and is_steady(scores, least_margin(self.model, found.best[0].item()))
        return scores

    def note_choice(self, tokens: Tensor) -> None:
        """Note what the last step chose, `tokens` [rows]."""
        if self.last is not None:
            self.chosen.append(self.last.gather(-1, tokens[:, None])[:, 0])
            self.last = None

    def rows(self, sequences: Tensor, start: int) -> list[list[list[float]]]:
        """Scores of the chosen tokens, totals, best scores and margins, each [rows, steps]."""
        steps = sequences.shape[1] - start
        if len(self.chosen) < steps:
            self.note_choice(sequences[:, start + len(self.chosen)])
        # On a GPU, generate may run on for some steps before it sees that all rows have ended.
        parts = (self.chosen, self.totals, self.bests, self.margins)
        return [torch.stack(part[:steps], dim=1).double().tolist() for part in parts]


class BeamScores:
    """A logits processor that changes nothing and stops a beam search whose scores are not numbers."""

    def __init__(self) -> None:
        self.steps = 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # noqa: ARG002 - transformers passes both
        """Check a step; scores [beams, vocab]."""
        self.steps += 1
        if bool(scores.isnan().any()):
            raise UnusableScoresError(NOT_A_NUMBER.format(position=self.steps))
        return scores


def record(
    model: Any,
    input_ids: Tensor,
    logits_processor: LogitsProcessorList,
    stopping_criteria: StoppingCriteriaList,
    generation_config: GenerationConfig,
    *,
    watch: bool = False,
    **model_kwargs: Any,
) -> list[Answer]:
    """A `custom_generate` callable: transformers' own loop, and what it chose from.

    Args:
        model: The transformers model.
        input_ids: What the output follows, [rows, seq]; for beam search one row per beam.
        logits_processor: As `generate` prepared them.
        stopping_criteria: As `generate` prepared them.
        generation_config: As `generate` prepared it.
        watch: Whether an answer whose draws noise could change is to be called unsure.
        **model_kwargs: Mask, cache and so on.

    Raises:
        UnusableScoresError: Scores that are not numbers, where tokens are drawn or searched for.
    """
    beams = generation_config.num_beams > 1
    recorder: Any = BeamScores() if beams else Scores(model, bool(generation_config.do_sample), watch)
    loop = beam_search_loop(model) if beams else sampling_loop(model)
    sequences: Tensor = loop(
        input_ids,
        logits_processor=LogitsProcessorList([*logits_processor, recorder]),
        stopping_criteria=stopping_criteria,
        generation_config=generation_config,
        **model_kwargs,
    )
    start = input_ids.shape[1]
    if beams:
        tokens = sequences[0, start:].tolist()
        return [Answer(tuple(tokens), None, why_ended(sequences, tokens, stopping_criteria))]
    return answers(sequences, start, recorder, stopping_criteria)


def answers(sequences: Tensor, start: int, scores: Scores, criteria: StoppingCriteriaList) -> list[Answer]:
    """One answer per row of sequences [rows, seq], whose output begins at `start`."""
    found = []
    for row, chosen, totals, bests, margins in zip(sequences, *scores.rows(sequences, start), strict=True):
        tokens = without_padding(row[start:].tolist(), end_tokens(criteria))
        length = len(tokens)
        faults = (fault_of(total, position) for position, total in enumerate(totals[:length], start=1))
        found.append(
            Answer(
                tokens=tuple(tokens),
                logprobs=tuple(score - total for score, total in zip(chosen, totals[:length], strict=False)),
                stop=why_ended(row[None], tokens, criteria),
                margins=tuple(margins[:length]),
                sure=scores.steady if scores.draws else all_sure(scores.model, margins[:length], bests),
                fault=next((fault for fault in faults if fault), ""),
            )
        )
    return found


def all_sure(model: Any, margins: list[float], bests: list[float]) -> bool:
    """Whether no choice was within numerical noise; a margin that is not a number is no margin."""
    return all(margin > least_margin(model, best) for margin, best in zip(margins, bests, strict=False))


def fault_of(total: float, position: int) -> str:
    """What a distribution's normaliser says of it: logarithm of the sum of all exponentiated scores."""
    if total == float("-inf"):
        return NOTHING_LEFT.format(position=position)
    return "" if abs(total) < float("inf") else NOT_A_NUMBER.format(position=position)


def end_tokens(criteria: StoppingCriteriaList) -> set[int]:
    """The tokens that end an output."""
    return {int(token) for part in criteria if hasattr(part, "eos_token_id") for token in part.eos_token_id.flatten()}


def without_padding(tokens: list[int], ends: set[int]) -> list[int]:
    """Tokens up to the first that ends an output; what follows it in a batch is padding."""
    end = next((index for index, token in enumerate(tokens, start=1) if token in ends), len(tokens))
    return tokens[:end]


def why_ended(sequence: Tensor, tokens: list[int], criteria: StoppingCriteriaList) -> str:
    """Why a whole sequence [1, seq] ended that ends with these new tokens."""
    if tokens and tokens[-1] in end_tokens(criteria):
        return "eos"
    stops = [part for part in criteria if isinstance(part, StopStringCriteria)]
    return "stop" if any(bool(part(sequence, None).all()) for part in stops) else "length"
