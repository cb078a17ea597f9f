"""Conversations: the column `messages` of a table, asked of a model with a chat template."""

from __future__ import annotations

import pytest


# A table for one model names it; a plain `pytest` asks the other tables of the models in default_models.
@pytest.mark.llm_prompts(
    "chats.jsonl", models=["tiny-chat"], gen_config={"max_new_tokens": 24, "stop_strings": "."}, metrics=["exact_match"]
)
def test_conversations(llm_output, llm_baseline):
    assert llm_output == llm_baseline
