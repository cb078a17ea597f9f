"""One pass over prompts and drafts, which decides for each draft whether the model would have written it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

from pytest_llmcompare.models.load import LocalModel

from .buffers import Buffers
from .draft_check import DraftCheck, Prediction
from .draft_logits import draft_logits, right_padded
from .near_ties import is_draw_sure, least_margin
from .prefix_cache import SharedPrefix
from .recorder import finish_reason, scores_fault, top_two

AT_ONCE = 32
"""Positions of a draft whose scores are looked at together: what that takes of memory is little beside the scores."""


def draft_verifier(local: LocalModel, checks: Sequence[DraftCheck], prefix: SharedPrefix | None) -> Callable[..., None]:
    """A `custom_generate` callable that fills in checks, in the order of its rows.

    Several rows need settings under which a row's scores depend neither on its neighbours nor on the tokens before; a
    single row may have any settings whose processors can be called again.
    """

    def verify(
        model: Any,
        input_ids: Tensor,
        logits_processor: LogitsProcessorList,
        stopping_criteria: StoppingCriteriaList,
        generation_config: GenerationConfig,
        **model_kwargs: Any,
    ) -> None:
        logits = draft_logits(local, checks, prefix, input_ids, model_kwargs)
        verification = Verification(
            model,
            input_ids,
            checks,
            logits,
            processors=logits_processor,
            criteria=stopping_criteria,
            sampled=bool(generation_config.do_sample),
        )
        for at in range(max(len(check.draft) for check in checks)):
            active = [row for row, check in enumerate(checks) if not check.is_read]
            if not active:
                break
            verification.step(at, active)

    return verify


class Verification:
    """Compares drafts with the model's predictions, by the processors and criteria that transformers prepared.

    Args:
        model: The transformers model.
        input_ids: What the outputs follow, [rows, seq].
        checks: The drafts, by row.
        logits: Logits of each, [draft, vocab].
        processors, criteria: As `generate` prepared them.
        sampled: Whether tokens are sampled.
    """

    def __init__(
        self,
        model: Any,
        input_ids: Tensor,
        checks: Sequence[DraftCheck],
        logits: Sequence[Tensor],
        *,
        processors: Any,
        criteria: Any,
        sampled: bool,
    ) -> None:
        self.model = model
        self.checks = checks
        self.logits = logits
        self.processors = processors
        self.criteria = criteria
        self.sampled = sampled
        self.start = input_ids.shape[1]
        drafts = right_padded([check.draft for check in checks], input_ids.device)
        self.ids = torch.cat([input_ids, drafts], dim=1)  # [rows, seq + draft]
        self.buffers = Buffers()
        self.ahead: list[list[Prediction]] = []
        if not processors and not sampled and input_ids.device.type == "cpu":
            self.ahead = [self.predict_ahead(row) for row in range(len(checks))]

    def step(self, at: int, active: Sequence[int]) -> None:
        """Compare position `at` of the drafts of some rows."""
        rows = self.ids[list(active)]
        before, drafted = rows[:, : self.start + at], rows[:, : self.start + at + 1]  # [active, seq + at (+ 1)]
        predictions = [self.ahead[row][at] for row in active] if self.ahead else self.predict_at(at, active)
        tokens = torch.tensor([one.token for one in predictions], dtype=rows.dtype, device=rows.device)
        output = torch.cat([before, tokens[:, None]], dim=1)
        draft_ends = self.criteria(drafted, None).tolist()
        output_ends = draft_ends if torch.equal(output, drafted) else self.criteria(output, None).tolist()
        for place, row in enumerate(active):
            check, alone = self.checks[row], slice(place, place + 1)
            if not check.is_over:
                check.add(predictions[place])
                if output_ends[place] and not check.unsure:
                    check.stop = finish_reason(output[alone], check.tokens, self.criteria)
            so_far = list(check.draft[: at + 1])
            stop = finish_reason(drafted[alone], so_far, self.criteria) if draft_ends[place] else ""
            check.forced.add(predictions[place], stop)

    def predict_ahead(self, row: int) -> list[Prediction]:
        """Predictions along a whole draft.

        Without processors the scores of a position don't depend on the tokens before, so they are looked at where they
        are. Those of one position in all rows have to be copied, but take fewer steps, which is what counts on a GPU.
        """
        tokens = torch.tensor(self.checks[row].draft, device=self.ids.device)
        predictions: list[Prediction] = []
        for start in range(0, len(tokens), AT_ONCE):
            scores = self.logits[row][start : start + AT_ONCE].float()
            predictions += self.predict(scores, scores, tokens[start : start + AT_ONCE], row)
        return predictions

    def predict_at(self, at: int, active: Sequence[int]) -> list[Prediction]:
        """Predictions at one position of some rows, by their processed scores."""
        rows, first = self.ids[list(active)], self.logits[0]
        stacked = self.buffers.take((len(active), first.shape[-1]), first)
        torch.stack([self.logits[row][at] for row in active], out=stacked)
        logits, end = stacked.float(), self.start + at
        return self.predict(self.processors(rows[:, :end], logits), logits, rows[:, end], active[0])

    def predict(self, scores: Tensor, logits: Tensor, drafted: Tensor, row: int) -> list[Prediction]:
        """The tokens that `generate` would choose at some positions, and how clearly.

        Args:
            scores: Processed scores, [positions, vocab].
            logits: The same before they were processed.
            drafted: The drafts' tokens, [positions].
            row: The row, if tokens are sampled; then there is one position.
        """
        top = top_two(scores)
        # A draw from scores that are NaN raises, and on a GPU it ends the use of the device for good.
        if self.sampled and not self.checks[row].is_over and not scores_fault(top.log_total[0].item(), 1):
            sure = [is_draw_sure(scores, least_margin(self.model, top.best[0].item()))]
            tokens = torch.multinomial(scores.softmax(-1), 1)[:, 0]
        elif self.sampled:  # after the output has left the draft, draws belong to the output
            tokens, sure = drafted, [True]
        else:
            tokens = top.argmax
            pairs = zip(top.margin.tolist(), top.best.tolist(), strict=True)
            sure = [margin > least_margin(self.model, best) for margin, best in pairs]
        score, draft_score = (scores.gather(-1, ids[:, None])[:, 0] for ids in (tokens, drafted))
        raw = top if scores is logits else top_two(logits)
        unprocessed = logits.gather(-1, drafted[:, None])[:, 0].double() - raw.log_total.double()
        columns = (score, draft_score, top.best, top.margin, top.log_total, raw.best.abs(), unprocessed)
        values = (tokens.tolist(), *(column.double().tolist() for column in columns), sure)
        return [Prediction(*one) for one in zip(*values, strict=True)]
