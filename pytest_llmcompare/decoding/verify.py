"""One pass over prompts and drafts, which says of each draft whether the model would have written it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

from pytest_llmcompare.generation import Path
from pytest_llmcompare.models.local import LocalModel

from .caution import least_margin
from .prefix_cache import Prefix, cache_keyword
from .recorder import Answer, fault_of, peak, why_ended
from .sampling import is_steady

UNDECIDED = "two tokens are nearly equally likely at token {position}"


@dataclass
class Along:
    """What a pass says along a draft, position by position; as in `generations.Path`."""

    choices: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    margins: list[float] = field(default_factory=list)
    leads: list[float] = field(default_factory=list)
    scale: float = 0.0
    stop: str = ""

    def note(self, choice: Choice, stop: str) -> None:
        """Take in a position, and why an output that is the draft so far would end there."""
        self.choices.append(choice.token)
        self.logprobs.append(choice.expected - choice.total)
        self.margins.append(choice.best - choice.expected)
        self.leads.append(choice.margin)
        self.scale = max(self.scale, choice.scale)
        self.stop = stop


@dataclass
class Reading:
    """What a pass has said of one draft so far.

    Attributes:
        prompt: The prompt's tokens.
        draft: The tokens that are expected after it, at least one.
        tokens: The output so far: the draft's tokens, up to and including the first other choice.
        logprobs: Natural logarithm of the probability of each, in the processed distribution.
        margins: Distance (nats) of the best token from the second best, at each.
        stop: Why the output ended there: `eos`, `stop` or `length`; empty where it goes on.
        unsure: Why nothing can be said of the output, so that the model has to be asked plainly; empty where something
            can.
        along: What the model says along the draft, whatever its output is.
    """

    prompt: Sequence[int]
    draft: Sequence[int]
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    margins: list[float] = field(default_factory=list)
    stop: str = ""
    unsure: str = ""
    along: Along = field(default_factory=Along)

    @property
    def reason(self) -> str:
        """Why the output is not the draft; empty where it is."""
        count = len(self.tokens)
        if self.unsure or not count:
            return self.unsure or "the draft was not read"
        if self.tokens[-1] != self.draft[count - 1]:
            return f"the model chooses another token at token {count}"
        if not self.stop:
            return f"the output goes on after the draft's {count} tokens"
        return "" if count == len(self.draft) else f"the output ends at token {count}, before the draft does"

    @property
    def is_read(self) -> bool:
        """Whether the draft has no further token that an output could have."""
        return bool(self.along.stop) or len(self.along.choices) == len(self.draft)

    @property
    def is_over(self) -> bool:
        """Whether no further token of the draft can be the output's."""
        count = len(self.tokens)
        off = bool(count) and self.tokens[-1] != self.draft[count - 1]
        return bool(self.stop or self.unsure) or off or count == len(self.draft)

    def answer(self) -> Answer:
        """The output so far."""
        return Answer(tuple(self.tokens), tuple(self.logprobs), self.stop, tuple(self.margins))

    def note(self, choice: Choice) -> None:
        """Take in the choice at the next position."""
        position = len(self.tokens) + 1
        if fault := fault_of(choice.total, position):
            self.unsure = fault
        elif not choice.sure:
            self.unsure = UNDECIDED.format(position=position)
        else:
            self.tokens.append(choice.token)
            self.logprobs.append(choice.score - choice.total)
            self.margins.append(choice.margin)

    def path(self, *, draws: bool) -> Path:
        """What the model says along the draft."""
        found = self.along
        return Path(
            tokens=tuple(self.draft),
            choices=tuple(found.choices),
            logprobs=tuple(found.logprobs),
            margins=tuple(found.margins),
            leads=tuple(found.leads),
            scale=found.scale,
            stop=found.stop,
            draws=draws,
        )


@dataclass(frozen=True)
class Choice:
    """The choice at one position, in processed scores.

    Attributes:
        token: The token.
        score: Its score.
        total: Logarithm of the sum of all exponentiated scores.
        margin: Distance of the best token from the second best.
        expected: Score of the draft's token.
        best: The best score.
        scale: Magnitude of the best score before it was processed.
        sure: Whether noise cannot have decided.
    """

    token: int
    score: float
    total: float
    margin: float
    expected: float
    best: float
    scale: float
    sure: bool


def verifier(local: LocalModel, readings: Sequence[Reading], prefix: Prefix | None) -> Callable[..., None]:
    """A `custom_generate` callable that fills in readings, in the order of its rows.

    Several rows are only for settings under which a row's scores depend neither on its neighbours nor on the tokens
    before; a single row may have any settings whose processors can be called again.
    """

    def verify(
        model: Any,
        input_ids: Tensor,
        logits_processor: LogitsProcessorList,
        stopping_criteria: StoppingCriteriaList,
        generation_config: GenerationConfig,
        **model_kwargs: Any,
    ) -> None:
        logits, first = scores_of(local, readings, prefix, input_ids, model_kwargs)
        draws = bool(generation_config.do_sample)
        judge = Judge(model, input_ids, readings, logits_processor, criteria=stopping_criteria, draws=draws)
        for at in range(max(len(reading.draft) for reading in readings)):
            active = [row for row, reading in enumerate(readings) if not reading.is_read]
            if not active:
                break
            judge.step(at, active, logits[active, [first[row] + at for row in active]].float())

    return verify


class Judge:
    """Chooses a token per draft and position, with what transformers prepared.

    Args:
        model: The transformers model.
        input_ids: What the outputs follow, [rows, seq].
        readings: The drafts, by row.
        processors, criteria: As `generate` prepared them.
        draws: Whether tokens are drawn.
    """

    def __init__(
        self,
        model: Any,
        input_ids: Tensor,
        readings: Sequence[Reading],
        processors: Any,
        *,
        criteria: Any,
        draws: bool,
    ) -> None:
        self.model = model
        self.readings = readings
        self.processors = processors
        self.criteria = criteria
        self.draws = draws
        self.start = input_ids.shape[1]
        drafts = padded([reading.draft for reading in readings], input_ids.device)
        self.ids = torch.cat([input_ids, drafts], dim=1)  # [rows, seq + draft]

    def step(self, at: int, active: Sequence[int], raw: Tensor) -> None:
        """Judge position `at` of the drafts of some rows, given their scores `raw` [active, vocab]."""
        rows = self.ids[list(active)]
        before, along = rows[:, : self.start + at], rows[:, : self.start + at + 1]  # [active, seq + at (+ 1)]
        tokens, choices = self.choose(self.processors(before, raw), raw, along[:, -1], active)
        after = torch.cat([before, tokens[:, None]], dim=1)
        along_ends = self.criteria(along, None).tolist()
        ends = along_ends if torch.equal(after, along) else self.criteria(after, None).tolist()
        for place, row in enumerate(active):
            reading, one = self.readings[row], slice(place, place + 1)
            if not reading.is_over:
                reading.note(choices[place])
                if ends[place] and not reading.unsure:
                    reading.stop = why_ended(after[one], reading.tokens, self.criteria)
            given = list(reading.draft[: at + 1])
            reading.along.note(choices[place], why_ended(along[one], given, self.criteria) if along_ends[place] else "")

    def choose(
        self, scores: Tensor, raw: Tensor, expected: Tensor, active: Sequence[int]
    ) -> tuple[Tensor, list[Choice]]:
        """What `generate` would choose: tokens [active], and how clearly.

        Args:
            scores: Processed scores, [active, vocab].
            raw: The same before they were processed.
            expected: The drafts' tokens, [active].
            active: The rows.
        """
        found = peak(scores)
        # A draw from scores that are no numbers raises, and on a GPU it ends the use of the device for good.
        if self.draws and not self.readings[active[0]].is_over and not fault_of(found.total[0].item(), 1):
            steady = is_steady(scores, least_margin(self.model, found.best[0].item()))
            tokens = torch.multinomial(scores.softmax(-1), 1)[:, 0]
            sure = [steady]
        elif self.draws:  # where the output has left the draft, the draws are the output's
            tokens, sure = expected, [True]
        else:
            tokens = found.tokens
            pairs = zip(found.margin.tolist(), found.best.tolist(), strict=True)
            sure = [gap > least_margin(self.model, top) for gap, top in pairs]
        chosen, given = (scores.gather(-1, which[:, None])[:, 0] for which in (tokens, expected))
        scales = (found.best if scores is raw else raw.amax(-1)).abs()
        parts = (chosen, found.total, found.margin, given, found.best, scales)
        values = (tokens.tolist(), *(part.double().tolist() for part in parts), sure)
        return tokens, [Choice(*one) for one in zip(*values, strict=True)]


def scores_of(
    model: LocalModel,
    readings: Sequence[Reading],
    prefix: Prefix | None,
    input_ids: Tensor,
    model_kwargs: dict[str, Any],
) -> tuple[Tensor, list[int]]:
    """Scores [rows, kept, vocab] from one pass over prompts and drafts, and where each draft's begin among the kept.

    Rows are padded on the right, where no earlier position looks, so that every token stands where it stands alone.
    """
    known = inspect.signature(model.model.forward).parameters
    options: dict[str, Any] = {"use_cache": False}
    if model.is_encoder_decoder:  # a single row
        draft = torch.tensor([readings[0].draft[:-1]], dtype=input_ids.dtype, device=input_ids.device)
        options["decoder_input_ids"] = torch.cat([input_ids, draft], dim=1)
        options |= {name: model_kwargs[name] for name in ("encoder_outputs", "attention_mask") if name in model_kwargs}
        return model.model(**options).logits, [input_ids.shape[1] - 1]
    skip = prefix.length if prefix else 0
    if prefix:
        options |= {"use_cache": True, cache_keyword(model): prefix.lent()}
    ids = padded([[*reading.prompt[skip:], *reading.draft[:-1]] for reading in readings], input_ids.device)
    first = [len(reading.prompt) - skip - 1 for reading in readings]
    kept = ids.shape[1] - min(first)
    if (places := model_kwargs.get("position_ids")) is not None and places.ndim == 2:  # RoBERTa's own begin elsewhere
        options["position_ids"] = torch.arange(skip, skip + ids.shape[1], device=ids.device).expand_as(ids)
    if "logits_to_keep" in known:
        options["logits_to_keep"] = kept
    logits: Tensor = model.model(input_ids=ids, **options).logits
    dropped = ids.shape[1] - logits.shape[1]
    return logits, [place - dropped for place in first]


def padded(rows: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """Rows of tokens, filled up on the right with a token that is never looked at."""
    width = max(len(row) for row in rows)
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], dtype=torch.long, device=device)
