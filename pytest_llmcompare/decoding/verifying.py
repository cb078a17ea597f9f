"""One pass over prompts and drafts, which says of each draft whether the model would have written it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

from pytest_llmcompare.models.local import LocalModel

from .lending import Prefix, cache_keyword
from .recording import Answer, fault_of, noise, why_ended
from .seeding import is_steady

UNDECIDED = "two tokens are nearly equally likely at token {position}"


@dataclass
class Reading:
    """What a pass has said of one draft so far.

    Attributes:
        prompt: The prompt's tokens.
        draft: The tokens that are expected after it, at least one.
        tokens: The output as far as it is known: the draft's tokens, and where another one was chosen, that one.
        logprobs: Natural logarithm of the probability of each, in the processed distribution.
        margins: Distance (nats) of the best token from the second best, at each.
        stop: Why the output ended there: `eos`, `stop` or `length`; empty where it goes on.
        unsure: Why nothing can be said, so that the model has to be asked plainly; empty where something can.
    """

    prompt: Sequence[int]
    draft: Sequence[int]
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    margins: list[float] = field(default_factory=list)
    stop: str = ""
    unsure: str = ""

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
    def is_over(self) -> bool:
        """Whether no further token of the draft can be judged."""
        count = len(self.tokens)
        off = bool(count) and self.tokens[-1] != self.draft[count - 1]
        return bool(self.stop or self.unsure) or off or count == len(self.draft)

    def answer(self) -> Answer:
        """The output as far as it is known."""
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


@dataclass(frozen=True)
class Choice:
    """The choice at one position: token, its score, logarithm of the sum of all, distance from the second best."""

    token: int
    score: float
    total: float
    margin: float
    sure: bool


def verifier(local: LocalModel, readings: Sequence[Reading], prefix: Prefix | None) -> Callable[..., None]:
    """A `custom_generate` callable that fills in readings, in the order of its rows.

    Several rows are only for settings under which a row's scores depend neither on its neighbours nor on the tokens
    before; a single row may have any settings whose processors can be called again.
    """

    def verify(
        model: Any,  # noqa: ARG001 - transformers passes it
        input_ids: Tensor,
        logits_processor: LogitsProcessorList,
        stopping_criteria: StoppingCriteriaList,
        generation_config: GenerationConfig,
        **model_kwargs: Any,
    ) -> None:
        logits, first = scores_of(local, readings, prefix, input_ids, model_kwargs)
        judge = Judge(input_ids, readings, logits_processor, stopping_criteria, bool(generation_config.do_sample))
        for at in range(max(len(reading.draft) for reading in readings)):
            active = [row for row, reading in enumerate(readings) if not reading.is_over]
            if not active:
                break
            judge.step(at, active, logits[active, [first[row] + at for row in active]].float())

    return verify


class Judge:
    """Chooses a token per draft and position, with what transformers prepared.

    Args:
        input_ids: What the outputs follow, [rows, seq].
        readings: The drafts, by row.
        processors, criteria: As `generate` prepared them.
        draws: Whether tokens are drawn.
    """

    def __init__(
        self,
        input_ids: Tensor,
        readings: Sequence[Reading],
        processors: Any,
        criteria: Any,
        draws: bool,
    ) -> None:
        self.readings = readings
        self.processors = processors
        self.criteria = criteria
        self.draws = draws
        self.start = input_ids.shape[1]
        drafts = padded([reading.draft for reading in readings], input_ids.device)
        self.ids = torch.cat([input_ids, drafts], dim=1)  # [rows, seq + draft]

    def step(self, at: int, active: Sequence[int], raw: Tensor) -> None:
        """Judge position `at` of the drafts of some rows, given their scores `raw` [active, vocab]."""
        before = self.ids[list(active), : self.start + at]  # [active, seq + at]
        scores = self.processors(before, raw)
        tokens, choices = self.choose(scores)
        after = torch.cat([before, tokens[:, None]], dim=1)
        ended = self.criteria(after, None).tolist()
        for place, row in enumerate(active):
            reading = self.readings[row]
            reading.note(choices[place])
            if ended[place] and not reading.unsure:
                reading.stop = why_ended(after[place : place + 1], reading.tokens, self.criteria)

    def choose(self, scores: Tensor) -> tuple[Tensor, list[Choice]]:
        """What `generate` would choose from processed scores [active, vocab]: tokens [active], and how clearly."""
        best = scores.topk(min(2, scores.shape[-1]), dim=-1).values  # [active, 2]
        totals = scores.logsumexp(-1)
        margins = best[:, 0] - best[:, -1]
        # A draw from scores that are no numbers raises, and on a GPU it ends the use of the device for good.
        if self.draws and not fault_of(totals[0].item(), 1):
            steady = is_steady(scores, noise(best[0, 0].item()))
            tokens = torch.multinomial(scores.softmax(-1), 1)[:, 0]
            sure = [steady]
        else:
            tokens = scores.argmax(-1)
            sure = [gap > noise(top) for gap, top in zip(margins.tolist(), best[:, 0].tolist(), strict=True)]
        chosen = scores.gather(-1, tokens[:, None])[:, 0]
        numbers = (part.tolist() for part in (tokens, chosen.double(), totals.double(), margins.double()))
        return tokens, [Choice(*parts) for parts in zip(*numbers, sure, strict=True)]


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
    if "logits_to_keep" in known:
        options["logits_to_keep"] = kept
    logits: Tensor = model.model(input_ids=ids, **options).logits
    dropped = ids.shape[1] - logits.shape[1]
    return logits, [place - dropped for place in first]


def padded(rows: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """Rows of tokens, filled up on the right with a token that is never looked at."""
    width = max(len(row) for row in rows)
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], dtype=torch.long, device=device)
