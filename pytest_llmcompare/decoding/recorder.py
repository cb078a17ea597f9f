"""A `custom_generate` callable: transformers' own loop, which also records log-probs, margins and finish reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList, StopStringCriteria

from pytest_llmcompare.compat import beam_search_loop, sampling_loop

from .near_ties import is_draw_sure, least_margin

NOT_A_NUMBER = "the model's scores are not a number at token {position} of the output"
NOTHING_LEFT = "the decoding settings leave no token to choose at token {position} of the output"
WHAT_TO_DO = {
    NOT_A_NUMBER: (
        "Weights that are NaN or too large for their format give such scores: save the checkpoint again, or try "
        "--llm-dtype=float32."
    ),
    NOTHING_LEFT: "Ban fewer tokens: suppress_tokens, bad_words_ids, no_repeat_ngram_size.",
}


class UnusableScoresError(Exception):
    """Scores that no token can be chosen from."""


@dataclass(frozen=True)
class RowOutput:
    """What `generate` gave for one row.

    Attributes:
        tokens: The new tokens, end-of-sequence token included, padding left out.
        logprobs: Log-prob of each token (nats) in the processed distribution; None for beam search, which does not
            choose by it.
        stop: Finish reason: `eos`, `stop` or `length`.
        margins: Top-2 margin (nats) at each position; None for beam search.
        sure: True if no choice of a token was within numerical noise.
        fault: Why the tokens are meaningless; empty if they are fine.
    """

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...] | None
    stop: str
    margins: tuple[float, ...] | None = None
    sure: bool = True
    fault: str = ""


@dataclass(frozen=True)
class TopTwo:
    """Best scores, top-2 margins and normalisers of some rows.

    Attributes:
        scores: All scores, [rows, vocab].
        best: The best of each row, [rows].
        index: One of the tokens that have it, [rows].
        margin: Distance from the second best, [rows].
        log_total: Logarithm of the sum of all exponentiated scores, [rows].
    """

    scores: Tensor
    best: Tensor
    index: Tensor
    margin: Tensor
    log_total: Tensor

    @property
    def argmax(self) -> Tensor:
        """The tokens that `generate` chooses, [rows]: of equal ones the first, which `topk` does not promise."""
        return self.index if bool((self.margin > 0).all()) else self.scores.argmax(-1)


def top_two(scores: Tensor) -> TopTwo:
    """Find the two best of scores [rows, vocab].

    On a CPU `topk` and `log_softmax` take half the time of `argmax`, `max` and `logsumexp`, and with a vocabulary of
    50,000 these are a tenth of what verifying a draft takes.
    """
    top = scores.topk(min(2, scores.shape[-1]), dim=-1)
    best, index = top.values[:, 0], top.indices[:, 0]
    logprob = scores.log_softmax(-1).gather(-1, index[:, None])[:, 0]
    log_total = torch.where(best.isfinite(), best - logprob, best)  # -inf if all scores are, as in `logsumexp`
    return TopTwo(scores, best, index, best - top.values[:, -1], log_total)


class ScoreRecorder:
    """A logits processor that changes nothing and records the scores of each step. It has to be the last one.

    Args:
        model: The transformers model.
        sampled: Whether tokens are sampled, one row at a time.
        check_draws: Whether to find out if noise could change a draw.
    """

    def __init__(self, model: Any, sampled: bool, check_draws: bool = False) -> None:
        self.model = model
        self.sampled = sampled
        self.check_draws = check_draws and sampled
        self.draws_sure = True
        self.last: Tensor | None = None  # [rows, vocab]
        self.chosen: list[Tensor] = []  # per step [rows]
        self.log_totals: list[Tensor] = []  # per step [rows]
        self.bests: list[Tensor] = []  # per step [rows]
        self.margins: list[Tensor] = []  # per step [rows]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Record a step; `input_ids` [rows, seq] end with the token that the last step chose."""
        self.note_chosen(input_ids[:, -1])
        top = top_two(scores)
        self.last = scores
        self.log_totals.append(top.log_total)
        self.bests.append(top.best)
        self.margins.append(top.margin)
        # A draw from such scores raises on a CPU, and on a GPU it ends the use of the device for good.
        if self.sampled and (fault := scores_fault(self.log_totals[-1][0].item(), len(self.log_totals))):
            raise UnusableScoresError(fault)
        if self.check_draws and self.draws_sure:
            self.draws_sure = is_draw_sure(scores, least_margin(self.model, top.best[0].item()))
        return scores

    def note_chosen(self, tokens: Tensor) -> None:
        """Keep the scores of the tokens [rows] that the last step chose."""
        if self.last is not None:
            self.chosen.append(self.last.gather(-1, tokens[:, None])[:, 0])
            self.last = None

    def rows(self, sequences: Tensor, start: int) -> list[list[list[float]]]:
        """Scores of the chosen tokens, normalisers, best scores and margins, each [rows, steps]."""
        steps = sequences.shape[1] - start
        if len(self.chosen) < steps:
            self.note_chosen(sequences[:, start + len(self.chosen)])
        # On a GPU, generate may run on for some steps before it sees that all rows have ended.
        parts = (self.chosen, self.log_totals, self.bests, self.margins)
        return [torch.stack(part[:steps], dim=1).double().tolist() for part in parts]


class ForcedTokens:
    """Logits processor that leaves one token at each step.

    It is a class, for transformers looks up its signature at each step, and a function's takes longer than the step.

    Args:
        tokens: The tokens.

    Attributes:
        steps: The scores [rows, vocab] that it was given.
    """

    def __init__(self, tokens: Sequence[int]) -> None:
        self.tokens = tokens
        self.steps: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # noqa: ARG002 - transformers passes both
        """Keep the scores [rows, vocab] of a step, and leave its token."""
        only_forced = torch.full_like(scores, float("-inf"))
        only_forced[:, self.tokens[len(self.steps)]] = 0
        self.steps.append(scores)
        return only_forced


class BeamGuard:
    """A logits processor that changes nothing and ends a beam search over scores that are NaN."""

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
    check_draws: bool = False,
    **model_kwargs: Any,
) -> list[RowOutput]:
    """Run transformers' own loop and record what it chose from.

    Args:
        model: The transformers model.
        input_ids: What the output follows, [rows, seq]; for beam search one row per beam.
        logits_processor: As `generate` prepared them.
        stopping_criteria: As `generate` prepared them.
        generation_config: As `generate` prepared it.
        check_draws: Whether a sampled output that noise could change is marked as not sure.
        **model_kwargs: Mask, cache and so on.

    Returns:
        One output per row.

    Raises:
        UnusableScoresError: NaN scores, if tokens are sampled or searched for.
    """
    beams = generation_config.num_beams > 1
    recorder: Any = BeamGuard() if beams else ScoreRecorder(model, bool(generation_config.do_sample), check_draws)
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
        return [RowOutput(tuple(tokens), None, finish_reason(sequences, tokens, stopping_criteria))]
    return row_outputs(sequences, start, recorder, stopping_criteria)


def row_outputs(
    sequences: Tensor, start: int, recorder: ScoreRecorder, criteria: StoppingCriteriaList
) -> list[RowOutput]:
    """One output per row of sequences [rows, seq], whose new tokens begin at `start`."""
    outputs = []
    for row, chosen, totals, bests, margins in zip(sequences, *recorder.rows(sequences, start), strict=True):
        tokens = _without_padding(row[start:].tolist(), _end_tokens(criteria))
        length = len(tokens)
        faults = (scores_fault(total, position) for position, total in enumerate(totals[:length], start=1))
        outputs.append(
            RowOutput(
                tokens=tuple(tokens),
                logprobs=tuple(score - total for score, total in zip(chosen, totals[:length], strict=False)),
                stop=finish_reason(row[None], tokens, criteria),
                margins=tuple(margins[:length]),
                sure=recorder.draws_sure if recorder.sampled else _all_sure(recorder.model, margins[:length], bests),
                fault=next((fault for fault in faults if fault), ""),
            )
        )
    return outputs


def _all_sure(model: Any, margins: list[float], bests: list[float]) -> bool:
    """True if no choice was within numerical noise; a margin that is NaN counts as noise."""
    return all(margin > least_margin(model, best) for margin, best in zip(margins, bests, strict=False))


def scores_fault(log_total: float, position: int) -> str:
    """Why no token can be chosen, by the logarithm of the sum of all exponentiated scores; empty if one can."""
    if log_total == float("-inf"):
        return NOTHING_LEFT.format(position=position)
    return "" if abs(log_total) < float("inf") else NOT_A_NUMBER.format(position=position)


def explained(fault: str) -> str:
    """A fault of `scores_fault` with what to do about it."""
    return f"{fault}.\n{next(WHAT_TO_DO[kind] for kind in WHAT_TO_DO if fault.startswith(kind.partition('{')[0]))}"


def _end_tokens(criteria: StoppingCriteriaList) -> set[int]:
    return {int(token) for part in criteria if hasattr(part, "eos_token_id") for token in part.eos_token_id.flatten()}


def _without_padding(tokens: list[int], ends: set[int]) -> list[int]:
    """Tokens up to the first that ends an output; what follows it in a batch is padding."""
    end = next((index for index, token in enumerate(tokens, start=1) if token in ends), len(tokens))
    return tokens[:end]


def finish_reason(sequence: Tensor, tokens: list[int], criteria: StoppingCriteriaList) -> str:
    """Finish reason of a whole sequence [1, seq] that ends with these new tokens: `eos`, `stop` or `length`."""
    if tokens and tokens[-1] in _end_tokens(criteria):
        return "eos"
    stops = [part for part in criteria if isinstance(part, StopStringCriteria)]
    return "stop" if any(bool(part(sequence, None).all()) for part in stops) else "length"
