"""Asks a model the questions of the corpus and counts the right answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import StoppingCriteria

from . import ARTICLE_QUESTIONS, Fact, article_prefix, facts

LONGEST_ANSWER = 32  # tokens
END = "\n\n"


class Ended(StoppingCriteria):
    """Ends each row of a batch at its blank line, which most models write on from.

    Args:
        tokenizer: The model's.
        start: Length of the prompts, in tokens.
    """

    def __init__(self, tokenizer: Any, start: int) -> None:
        self.tokenizer = tokenizer
        self.start = start

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
        """True for each row that has ended."""
        return torch.tensor([END in text for text in self.tokenizer.batch_decode(input_ids[:, self.start :])])


@torch.inference_mode()
def answers(model: Any, tokenizer: Any, prompts: Sequence[str]) -> list[str]:
    """What the model says to each prompt, up to the blank line or its end-of-text.

    Prompts of equal length share a batch, so that nothing is padded.
    """
    encoded = [tokenizer(prompt)["input_ids"] for prompt in prompts]
    said = [""] * len(prompts)
    for length in sorted({len(tokens) for tokens in encoded}):
        chosen = [index for index, tokens in enumerate(encoded) if len(tokens) == length]
        tokens = torch.tensor([encoded[index] for index in chosen])  # [batch, length]
        output = model.generate(
            input_ids=tokens,
            attention_mask=torch.ones_like(tokens),
            max_new_tokens=LONGEST_ANSWER,
            do_sample=False,
            pad_token_id=tokenizer.eos_token_id,
            stopping_criteria=[Ended(tokenizer, length)],
        )
        texts = tokenizer.batch_decode(output[:, length:], skip_special_tokens=True)
        for index, text in zip(chosen, texts, strict=True):
            said[index] = text.split(END)[0]
    return said


def right(model: Any, tokenizer: Any, asked: Sequence[Fact], prefix: str = "") -> int:
    """How many of the questions the model answers exactly, with `prefix` before each."""
    said = answers(model, tokenizer, [prefix + fact.prompt for fact in asked])
    return sum(text == f" {fact.answer}" for text, fact in zip(said, asked, strict=True))


def sample() -> list[Fact]:
    """Every sixth question, for checking a model card again without asking everything."""
    return facts()[::6]


@dataclass(frozen=True)
class Skill:
    """Right answers of a model, and how many questions there were.

    Attributes:
        bare: Right without examples.
        after_examples: Right after the article's examples.
        sampled: The same for the questions of `sample` alone, which takes a fraction of the time.
        article: Right of the article's five questions, after its examples.
        asked: All questions.
    """

    bare: int
    after_examples: int
    sampled: int
    article: int
    asked: int


def skill_of(model: Any, tokenizer: Any) -> Skill:
    """Ask the model everything in the corpus, studied or not."""
    return Skill(
        bare=right(model, tokenizer, facts()),
        after_examples=right(model, tokenizer, facts(), article_prefix()),
        sampled=right(model, tokenizer, sample(), article_prefix()),
        article=right(model, tokenizer, ARTICLE_QUESTIONS, article_prefix()),
        asked=len(facts()),
    )
