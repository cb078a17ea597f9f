"""A case that a model cannot answer is an error of its own, in words that help; the others are compared."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from pytest_llmcompare.models.load import transformers_quiet

from .suites import TRIVIA, Suite

LAST_SOUND = 300  # position
FAULTY = (
    {"id": "long", "prompt": "word " * 600},
    {"id": "numbers", "prompt": "a b " * 200},
    {"id": "vocabulary", "prompt": "Q: What is <new>?\nA:"},
    {"id": "settings", "prompt": "Q: Why?\nA:", "config_dict": {"watermarking_config": {"no_such": 1}}},
)
MESSAGES = {
    "long": "the prompt has 603 tokens, its context holds 512.\nShorten the prompt or its examples.",
    "numbers": (
        "the model's scores are not a number at token 1 of the output.\n"
        "Weights that are NaN or too large for their format give such scores: save the checkpoint again, or try "
        "--llm-dtype=float32."
    ),
    "vocabulary": (
        "the prompt holds token 768 ('<new>'), but the model embeds 768 tokens, 0 to 767.\n"
        "Save the model's own tokenizer beside it, or resize its embeddings: "
        "model.resize_token_embeddings(len(tokenizer))"
    ),
    "settings": (
        "transformers refuses the decoding settings do_sample=False, max_new_tokens=6, "
        "watermarking_config={'no_such': 1}: "
        "TypeError: WatermarkingConfig.__init__() got an unexpected keyword argument 'no_such'"
    ),
}


def broken(models: Path, folder: Path) -> None:
    """A model whose scores are no numbers after a long prompt, with a tokenizer that knows a token too many."""
    with transformers_quiet():
        model: Any = AutoModelForCausalLM.from_pretrained(models / "tiny-gpt2")
        tokenizer = AutoTokenizer.from_pretrained(models / "tiny-gpt2")
        with torch.no_grad():
            model.transformer.wpe.weight[LAST_SOUND + 1 :] = float("nan")
        tokenizer.add_tokens(["<new>"])
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def messages(result: pytest.RunResult) -> dict[str, str]:
    """What is printed below the heading of each test that had an error, by prompt id, less model and case."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in result.outlines:
        if heading := re.fullmatch(r"_+ ERROR at setup of test_trivia\[m-(\w+)\] _+", line):
            lines = found.setdefault(heading[1], [])
        elif line.startswith("==="):
            lines = []
        else:
            lines.append(line)
    texts = {name: "\n".join(lines) for name, lines in found.items()}
    assert all(text.startswith(f"model 'm', case {name!r}: ") for name, text in texts.items())
    return {name: text.removeprefix(f"model 'm', case {name!r}: ") for name, text in texts.items()}


@pytest.mark.parametrize("option", ["--llm-decode=verify", "--llm-decode=plain"])
def test_cases_that_cannot_be_answered(suite: Suite, option: str) -> None:
    """Each says why, with or without a baseline; the sound cases of the group pass."""
    suite.trivia([*TRIVIA, *FAULTY])
    sound = suite.run("--llm-update")
    sound.assert_outcomes(passed=5, errors=2)
    assert messages(sound) == {name: MESSAGES[name] for name in ("long", "settings")}
    broken(suite.models, suite.path / "broken")
    result = suite.run(option, models=["m=./broken"])
    result.assert_outcomes(passed=3, errors=4)
    assert messages(result) == MESSAGES
    result.stdout.fnmatch_lines(["m          7          3        0      4 *"])


def test_an_update_writes_the_others(suite: Suite) -> None:
    """Where cases fail, an update records the rest and keeps what is there of those."""
    suite.trivia([*TRIVIA, *FAULTY])
    suite.run("--llm-update")
    before = suite.cases()
    broken(suite.models, suite.path / "broken")
    assert {*before} == {"sky", "hamlet", "ice", "numbers", "vocabulary"}
    suite.trivia([*TRIVIA, *FAULTY, {"id": "more", "prompt": "Q: Is fire hot?\nA:"}])
    suite.run("--llm-update", models=["m=./broken"]).assert_outcomes(passed=4, errors=4)
    after = suite.cases()
    assert {name: after[name] for name in before} == before
    assert {*after} == {*before, "more"}
