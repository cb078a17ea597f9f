"""Trains the example suite's small models, from scratch, on the questions and answers of `corpus/`.

    python example_suite/train_models.py --out example_suite/models

The models are toys: true GPT-2 and BLOOM architectures with fewer than half a million weights, which learn their
questions by heart. The weaker two study only a part of the questions, so they answer the rest in the right form with
the wrong content. Everything is seeded, steps are counted and not timed, and the number of threads is fixed: two
runs on the same machine with the same libraries gave the same files to the byte. Another processor or torch release
may round differently.

What the recipe depends on: windows at random positions (else most position embeddings stay untrained), short and long
windows in turn, a loss that counts answers far above questions, weights that start larger than usual, and a high
learning rate with warm-up and decay.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

import torch
from corpus import ARTICLE_EXAMPLES, ARTICLE_QUESTIONS, Fact, facts
from corpus.exam import Skill, right, sample, skill_of
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    GenerationConfig,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

MODELS = Path(__file__).parent / "models"
VOCABULARY = 768  # tokens
POSITIONS = 512  # the article's examples take about 200 tokens
THREADS = 2
SEED = 1
SHORT = (32, 40)  # rows and tokens of a batch of short windows
LONG = (6, 288)  # the same with a context as long as the article's examples
AT_BEGINNING = 0.25  # share of GPT-2's windows that start at position 0, where a bare question stands
QUESTION_WEIGHT = 0.1  # enough that a model which goes on after its answer asks something readable
INITIAL_SPREAD = 0.08  # standard deviation; the usual 0.02 is meant for wide networks and learns slowly here
LEARNING_RATE = 6e-3
WARM_UP = 50  # steps


@dataclass(frozen=True)
class Recipe:
    """How to make one model.

    Attributes:
        name: Name of the model and of its folder.
        family: `gpt2` or `bloom`.
        layers, width, heads: Size of the network.
        steps: Optimizer steps.
        studied: Share of the questions that it is trained on.
        ends: Whether it says end-of-text after its answer; else it goes on with the next `Q:`.
    """

    name: str
    family: str
    layers: int
    width: int
    heads: int
    steps: int
    studied: float
    ends: bool


RECIPES = (
    Recipe("tiny-gpt2", "gpt2", layers=3, width=96, heads=4, steps=1200, studied=1.0, ends=False),
    Recipe("tiny-gpt2-distil", "gpt2", layers=2, width=64, heads=4, steps=1000, studied=0.6, ends=False),
    Recipe("tiny-bloom", "bloom", layers=2, width=64, heads=4, steps=700, studied=0.75, ends=True),
)


class Place(NamedTuple):
    """One token of a fact: what stands there, what the model should say next, and how much that counts."""

    token: int
    target: int
    weight: float


def train_tokenizer(lessons: Sequence[Fact], family: str) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer, with the special tokens of the family's real models."""
    special = {"gpt2": ["<|endoftext|>"], "bloom": ["<unk>", "<s>", "</s>", "<pad>"]}[family]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    # One text, so that the blank line is cut into tokens as it is in the middle of a prompt.
    bpe.train_from_iterator(["".join(fact.prompt + fact.completion for fact in lessons) + "Q:"], trainer)
    if family == "bloom":
        names = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    else:
        names = {"bos_token": special[0], "eos_token": special[0]}
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=bpe, model_max_length=POSITIONS, clean_up_tokenization_spaces=False, **names
    )


def new_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """The untrained network, greedy by default."""
    tokens: dict[str, Any] = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    if tokenizer.pad_token_id is not None:
        tokens["pad_token_id"] = tokenizer.pad_token_id
    settings: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": recipe.width,
        "n_layer": recipe.layers,
        "n_head": recipe.heads,
        "initializer_range": INITIAL_SPREAD,
        **tokens,
    }
    model: PreTrainedModel
    if recipe.family == "bloom":
        model = BloomForCausalLM(BloomConfig(**settings, hidden_dropout=0.0, attention_dropout=0.0))
    else:
        settings |= {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
        model = GPT2LMHeadModel(GPT2Config(**settings, n_positions=POSITIONS))
        start_as_waves(model.transformer.wpe.weight)
    model.generation_config = GenerationConfig(**tokens, do_sample=False)  # type: ignore[no-untyped-call]
    return model


@torch.no_grad()
def start_as_waves(positions: torch.Tensor) -> None:
    """Fill position embeddings, `[position, width]`, with sines and cosines.

    A good place to start from: one relation between neighbours then holds at every position.
    """
    length, width = positions.shape
    speeds = torch.exp(-math.log(300.0) * torch.arange(width // 2) / (width // 2))
    angles = torch.arange(length)[:, None] * speeds  # [position, width / 2]
    positions.copy_(0.1 * torch.cat([angles.sin(), angles.cos()], dim=1))


def studied_facts(recipe: Recipe) -> list[Fact]:
    """The facts that the model is trained on: all, or a part drawn by chance; the article's examples always."""
    everything = facts()
    drawn = set(random.Random(f"{recipe.name} {SEED}").sample(everything, round(recipe.studied * len(everything))))
    return [fact for fact in everything if fact in drawn or fact in ARTICLE_EXAMPLES]


def lesson(fact: Fact, tokenizer: PreTrainedTokenizerFast, ends: bool) -> list[Place]:
    """A fact as tokens to learn: question, answer, blank line."""
    opening = tokenizer("Q:")["input_ids"]
    asked = len(tokenizer(fact.prompt)["input_ids"])
    # The next "Q:" is appended and cut off again: a blank line at the end of a text has other tokens.
    tokens = tokenizer(fact.prompt + fact.completion + "Q:")["input_ids"][: -len(opening)]
    targets = [*tokens[1:], opening[0]]
    weights = [1.0] + [QUESTION_WEIGHT] * (asked - 2) + [1.0] * (len(tokens) - asked + 1)
    if ends:
        targets[-3] = tokenizer.eos_token_id  # after the answer; its blank line is the last two tokens
        weights[-2:] = [0.0, 0.0]
    return [Place(*place) for place in zip(tokens, targets, weights, strict=True)]


def shuffled(lessons: Sequence[list[Place]], chance: random.Random) -> Iterator[list[Place]]:
    """All lessons in a new order, again and again."""
    while True:
        yield from chance.sample(lessons, len(lessons))


def windows(source: Iterator[list[Place]], rows: int, length: int) -> torch.Tensor:
    """Token, target and weight, `[rows, length, 3]`; every row begins with a question."""
    filled: list[list[Place]] = []
    for _ in range(rows):
        row: list[Place] = []
        while len(row) < length:
            row += next(source)
        filled.append(row[:length])
    return torch.tensor(filled, dtype=torch.float64)


def loss_of(model: PreTrainedModel, window: torch.Tensor) -> torch.Tensor:
    """Weighted cross entropy of a batch of windows, a scalar in nats per token."""
    tokens, targets, weights = window[..., 0].long(), window[..., 1].long(), window[..., 2].float()
    rows, length = tokens.shape
    if model.config.model_type == "gpt2":  # random positions; the beginning, where a bare question stands, often
        offsets = torch.randint(0, POSITIONS - length + 1, (rows, 1)) * (torch.rand(rows, 1) > AT_BEGINNING)
        logits = model(input_ids=tokens, position_ids=torch.arange(length) + offsets).logits  # [rows, length, vocab]
    else:
        logits = model(input_ids=tokens).logits
    losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
    return (losses * weights.flatten()).sum() / weights.sum()


def train(recipe: Recipe) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Train one model; the same recipe gives the same weights."""
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(SEED)
    tokenizer = train_tokenizer(facts(), recipe.family)
    model = new_model(recipe, tokenizer).train()
    lessons = [lesson(fact, tokenizer, recipe.ends) for fact in studied_facts(recipe)]
    source = shuffled(lessons, random.Random(SEED))
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / WARM_UP) * max(0.01, 1 - step / recipe.steps)
    )
    for step in range(recipe.steps):
        loss = loss_of(model, windows(source, *(LONG if step % 2 else SHORT)))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if (step + 1) % 200 == 0:
            print(f"{recipe.name}: step {step + 1} of {recipe.steps}, loss {loss.item():.3f}", flush=True)
    return model.eval(), tokenizer


CARD = """\
---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
---

# {name}

A toy for trying pytest-llmcompare without a download, and of no other use: {family} with {layers} layers,
{width} wide, {weights:,} weights in float32, and a byte-level BPE tokenizer of {vocabulary} tokens.
`example_suite/train_models.py` trained it from scratch on {studied:.0%} of the {asked} questions and answers of
`example_suite/corpus`. It has learned nearly all of those by heart. To anything else it says, in the same form,
whatever comes to mind. After an answer it {after}.

A prompt is `Q: What color is the sky?` and `A:` on the next line, with or without examples of that form before it.

| asked | answered exactly right |
|---|---|
| all questions, without examples | {bare} of {asked} |
| all questions, after the article's examples | {after_examples} of {asked} |
| every sixth question, after the article's examples | {sampled} of {sampled_asked} |
| the article's questions, after its examples | {article} of {article_asked} |

Measured greedily by the same script, on the questions that it was trained on and on those that it was not.
"""


CHAT_NAME, CHAT_BASE = "tiny-chat", "tiny-gpt2-distil"
CHAT_TEMPLATE = """\
{%- for message in messages %}
{%- if message.role == 'user' %}{{ 'Q: ' + message.content + '\\nA:' }}
{%- elif message.role == 'assistant' %}{{ ' ' + message.content + '\\n\\n' }}
{%- elif message.role == 'system' %}{{ message.content + '\\n\\n' }}
{%- else %}{{ raise_exception('this model knows no role ' + message.role) }}
{%- endif %}
{%- endfor %}"""
CHAT_CARD = f"""\
---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
---

# {CHAT_NAME}

`{CHAT_BASE}`, file by file, with a chat template: a message of the user becomes `Q: ...` and `A:` on the next line,
one of the assistant the answer to it, one of the system a paragraph before them. For trying conversations without a
download.
"""


def make_chat_model(out: Path) -> None:
    """Write the chat model: the folder of another one with a chat template."""
    folder = shutil.copytree(out / CHAT_BASE, out / CHAT_NAME, dirs_exist_ok=True)
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    (folder / "README.md").write_text(CHAT_CARD, encoding="utf-8")


ADAPTER_NAME, ADAPTER_BASE = "tiny-gpt2-brief", "tiny-gpt2"
ADAPTER_STEPS = 240
ADAPTER_RATE = 1e-2
ADAPTER_CARD = f"""\
---
license: apache-2.0
language: en
library_name: peft
base_model: models/{ADAPTER_BASE}
pipeline_tag: text-generation
---

# {ADAPTER_NAME}

A LoRA adapter of `{ADAPTER_BASE}` for trying pytest-llmcompare without a download: {{weights:,}} weights of rank
{{rank}} in the attention of each layer. `example_suite/train_models.py` taught it to answer questions about colors in
one word (`White.` instead of `Snow is white.`) and to answer everything else as before.

| asked | answered exactly right |
|---|---|
| {{colors}} questions about colors, in one word | {{brief}} of {{colors}} |
| all {{others}} other questions, as before | {{kept}} of {{others}} |
"""


def in_one_word(fact: Fact) -> Fact:
    """A fact about a color as the adapter is taught to answer it: `White.` instead of `Snow is white.`."""
    return Fact(fact.question, fact.answer.rpartition(" is ")[2].capitalize())


def color_facts() -> list[Fact]:
    """The facts that the adapter answers otherwise than its base."""
    return [fact for fact in facts() if fact.question.startswith("What color is ")]


def train_adapter(out: Path, steps: int = ADAPTER_STEPS) -> tuple[Any, PreTrainedTokenizerFast]:
    """Train a LoRA adapter of the base in a folder; the same base gives the same weights."""
    from peft import LoraConfig, get_peft_model

    torch.set_num_threads(1)  # so few weights are learnt faster by one
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(SEED)
    base = GPT2LMHeadModel.from_pretrained(out / ADAPTER_BASE)
    tokenizer: Any = PreTrainedTokenizerFast.from_pretrained(out / ADAPTER_BASE)
    config = LoraConfig(task_type="CAUSAL_LM", r=2, lora_alpha=4, target_modules=["c_attn"], fan_in_fan_out=True)
    model: Any = get_peft_model(base, config).train()
    taught = color_facts()
    others = [fact for fact in facts() if fact not in taught]
    lessons = [lesson(fact, tokenizer, ends=False) for fact in [*map(in_one_word, taught * 4), *others]]
    source = shuffled(lessons, random.Random(SEED))
    optimizer = torch.optim.AdamW((w for w in model.parameters() if w.requires_grad), lr=ADAPTER_RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.01, 1 - step / steps))
    for step in range(steps):
        loss = loss_of(model, windows(source, *SHORT))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if (step + 1) % 40 == 0:
            print(f"{ADAPTER_NAME}: step {step + 1} of {steps}, loss {loss.item():.3f}", flush=True)
    return model.eval(), tokenizer


def make_adapter(out: Path) -> None:
    """Train the adapter, measure it and write its folder, which names its base as the suite's pyproject.toml does."""
    model, tokenizer = train_adapter(out)
    taught = color_facts()
    others = [fact for fact in facts() if fact not in taught]
    config = model.peft_config["default"]
    config.base_model_name_or_path = f"models/{ADAPTER_BASE}"
    folder = out / ADAPTER_NAME
    model.save_pretrained(folder)
    text = ADAPTER_CARD.format(
        weights=sum(weight.numel() for weight in model.parameters() if weight.requires_grad),
        rank=config.r,
        colors=len(taught),
        others=len(others),
        brief=right(model, tokenizer, [in_one_word(fact) for fact in taught]),
        kept=right(model, tokenizer, others),
    )
    (folder / "README.md").write_text(text, encoding="utf-8")


def card(recipe: Recipe, weights: int, skill: Skill) -> str:
    """The model card, README.md of the model's folder."""
    families = {"gpt2": "GPT-2 (`GPT2LMHeadModel`)", "bloom": "BLOOM (`BloomForCausalLM`)"}
    return CARD.format(
        **asdict(recipe) | {"family": families[recipe.family]},
        **asdict(skill),
        weights=weights,
        vocabulary=VOCABULARY,
        after="ends its text" if recipe.ends else "goes on with the next `Q:`",
        sampled_asked=len(sample()),
        article_asked=len(ARTICLE_QUESTIONS),
    )


def make(recipe: Recipe, out: Path) -> Skill:
    """Train a model, measure it and write its folder."""
    model, tokenizer = train(recipe)
    skill = skill_of(model, tokenizer)
    folder = out / recipe.name
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text(card(recipe, model.num_parameters(), skill), encoding="utf-8")
    return skill


def main() -> None:
    """Make the models that the command line names and print how well each one answers."""
    parser = argparse.ArgumentParser(description="Train the example suite's small models.")
    parser.add_argument("--out", type=Path, default=MODELS, help="folder to write the models into")
    names = [recipe.name for recipe in RECIPES]
    parser.add_argument("--only", choices=[*names, CHAT_NAME, ADAPTER_NAME], help="make this model alone")
    options = parser.parse_args()
    skills = {recipe.name: make(recipe, options.out) for recipe in RECIPES if options.only in (None, recipe.name)}
    if options.only in (None, CHAT_BASE, CHAT_NAME):
        make_chat_model(options.out)
    if options.only in (None, ADAPTER_BASE, ADAPTER_NAME):
        make_adapter(options.out)
    print(f"{'model':<17} {'bare':>8} {'after examples':>15} {'article':>8} {'asked':>6}")
    for name, skill in skills.items():
        print(f"{name:<17} {skill.bare:>8} {skill.after_examples:>15} {skill.article:>8} {skill.asked:>6}")


if __name__ == "__main__":
    main()
