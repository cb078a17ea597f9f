"""Ways to compute the same scores with one model: batches, padding, threads, kernels, one pass or many."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from pytest_llmcompare.models.load import LocalModel


class Subject:
    """A model, its prompts, and the tokens whose scores are compared.

    Args:
        model: The model.
        prompts: Its prompts, without the text that they share.
        length: How many tokens it generates.
        shared: Text that all prompts begin with.
    """

    def __init__(self, model: LocalModel, prompts: Sequence[str], length: int, shared: str) -> None:
        self.model = model
        self.prompts = [model.encode(shared + prompt) for prompt in prompts]
        self.shared = len(model.encode(shared)) if shared else 0
        self.length = length
        self.drafts: list[list[int]] = []
        self.known = inspect.signature(model.model.forward).parameters

    def write(self, size: int, prefix: bool = False) -> Tensor:
        """Scores [rows, length, vocab], one token at a time after left-padded prompts, `size` at a time.

        If no tokens are given yet, each is the argmax.
        """
        parts = []
        for at in range(0, len(self.prompts), size):
            skip, cache = self.shared_cache(min(size, len(self.prompts) - at)) if prefix else (0, DynamicCache())
            rows = [prompt[skip:] for prompt in self.prompts[at : at + size]]
            width = max(map(len, rows))
            ids = torch.tensor([[0] * (width - len(row)) + row for row in rows])
            mask = torch.tensor([[1] * skip + [0] * (width - len(row)) + [1] * len(row) for row in rows])
            steps: list[Tensor] = []
            while len(steps) < self.length:
                scores = self.ask(ids, mask, cache)[:, -1]  # [rows, vocab]
                steps.append(scores)
                place = len(steps) - 1
                known = [row[place] for row in self.drafts[at : at + size]] or scores.argmax(-1).tolist()
                ids = torch.tensor(known)[:, None]
                mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
            parts.append(torch.stack(steps, dim=1))
        return torch.cat(parts)

    def read(self, size: int, *, left: bool = False, prefix: bool = False) -> Tensor:
        """Scores as from `write`, in one pass over prompts and tokens, `size` rows at a time."""
        parts = []
        for at in range(0, len(self.prompts), size):
            skip, cache = self.shared_cache(min(size, len(self.prompts) - at)) if prefix else (0, DynamicCache())
            chosen = range(at, min(at + size, len(self.prompts)))
            rows = [self.prompts[place][skip:] + self.drafts[place][:-1] for place in chosen]
            gaps = [max(map(len, rows)) - len(row) for row in rows]
            pad = [[0] * gap for gap in gaps]
            ids = [gap + row if left else row + gap for gap, row in zip(pad, rows, strict=True)]
            mask = [gap + [1] * len(row) for gap, row in zip(pad, rows, strict=True)] if left else None
            scores = self.ask(torch.tensor(ids), torch.tensor(mask) if mask else None, cache)  # [rows, seq, vocab]
            ends = [scores.shape[1] - (0 if left else gap) for gap in gaps]
            parts.append(torch.stack([row[end - self.length : end] for row, end in zip(scores, ends, strict=True)]))
        return torch.cat(parts)

    def ask(self, ids: Tensor, mask: Tensor | None, cache: Any) -> Tensor:
        """Scores [rows, seq, vocab] of tokens [rows, seq]; without a mask no padding is visible."""
        options: dict[str, Any] = {"past_key_values": cache, "use_cache": True}
        if mask is not None:
            options["attention_mask"] = mask
            if "position_ids" in self.known:
                options["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        return self.model.model(ids, **options).logits.float()

    def shared_cache(self, rows: int) -> tuple[int, DynamicCache]:
        """Number of shared tokens, and their KV cache for so many rows."""
        cache = DynamicCache()
        self.model.model(torch.tensor([self.prompts[0][: self.shared]]), past_key_values=cache, use_cache=True)
        cache.batch_repeat_interleave(rows)
        return self.shared, cache


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch use so many threads until the block ends."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def attention(model: LocalModel, kind: str) -> Iterator[None]:
    """Use another implementation of attention until the block ends."""
    before = model.model.config._attn_implementation
    model.model.set_attn_implementation(kind)
    try:
        yield
    finally:
        model.model.set_attn_implementation(before)


def ways(one: Subject) -> dict[str, Callable[[], Tensor]]:
    """All ways to compute the scores, by name."""

    def two(run: Callable[[], Tensor]) -> Tensor:
        with threads(2):
            return run()

    def eager(run: Callable[[], Tensor]) -> Tensor:
        with attention(one.model, "eager"):
            return run()

    result = {
        "batch of 8, left padding": lambda: one.write(8),
        "batch of 64, left padding": lambda: one.write(64),
        "batch of 8 after a shared prefix": lambda: one.write(8, prefix=True),
        "2 threads, batch of 64": lambda: two(lambda: one.write(64)),  # more turns take long where others compute
        "eager attention, batch of 8": lambda: eager(lambda: one.write(8)),
        "one pass": lambda: one.read(1),
        "one pass, batch of 8, right padding": lambda: one.read(8),
        "one pass, batch of 64, right padding": lambda: one.read(64),
        "one pass, batch of 64, left padding": lambda: one.read(64, left=True),
        "one pass, batch of 8 after a shared prefix": lambda: one.read(8, prefix=True),
        "one pass, batch of 64, 2 threads": lambda: two(lambda: one.read(64)),
        "one pass, eager attention, batch of 8": lambda: eager(lambda: one.read(8)),
    }
    if one.model.model.config._attn_implementation == "eager":  # then the architecture knows no other
        result = {way: run for way, run in result.items() if "eager" not in way}
    return result
