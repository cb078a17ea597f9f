"""What did my fine-tune change? A base against its LoRA adapter: answers that should move, and answers that must not.

The weights of the base are loaded once, for itself and for the adapter. docs/finetuning.md walks through it. For the
whole difference, ask the base for the baselines:

    pytest example_suite/test_fine_tune.py --llm-baseline=model:tiny-gpt2
"""

from __future__ import annotations

import pytest

BASE, TUNED = "tiny-gpt2", "tiny-gpt2-brief"
ONE_SENTENCE = {"max_new_tokens": 32, "stop_strings": [".", "\n"]}
BOTH = {"models": [BASE, TUNED], "gen_config": ONE_SENTENCE, "metrics": ["exact_match"], "experiment": "fine_tune"}

# The adapter was trained to answer questions about colors in one word, and everything else as before.
taught = pytest.mark.llm_prompts("taught.csv", **BOTH)
kept = pytest.mark.llm_prompts("kept.csv", **BOTH)


# Each model is compared with its own baselines, as in the other files.
@taught
def test_taught(llm_output, llm_baseline):
    assert llm_output == llm_baseline


@kept
def test_kept(llm_output, llm_baseline):
    assert llm_output == llm_baseline


# A test that asks for llm_comparison runs once per table, over both models.
@taught
def test_what_should_move_has_moved(llm_comparison):
    assert llm_comparison.agreement(BASE, TUNED) == 0


@kept
def test_what_must_not_move_has_not(llm_comparison):
    assert llm_comparison.agreement(BASE, TUNED) == 1
