"""The article's first experiment: the same five questions to several models.

Afterwards `mlflow ui` shows the experiment `compare_small_models` with one run per model: the model and its answers.
"""

from __future__ import annotations

import pytest
from corpus import ARTICLE_QUESTIONS, article_prefix

# A prompt table: here a list, in test_tour.py a file. The ids name the tests; without them ids are made of the prompts.
IDS = ("sky", "trees", "sum", "vader", "favorite")
QUESTIONS = [{"id": name, "prompt": fact.prompt} for name, fact in zip(IDS, ARTICLE_QUESTIONS, strict=True)]

# An answer is one sentence, so it ends with its full stop, or else with its line.
ONE_SENTENCE = {"max_new_tokens": 32, "stop_strings": [".", "\n"]}


# One test per question and model. `examples` is what the model reads before every question.
@pytest.mark.llm_prompts(
    QUESTIONS, examples=article_prefix(), gen_config=ONE_SENTENCE, experiment="compare_small_models"
)
def test_answers(llm_output, llm_baseline):
    # What the model says now, and what was approved: a text in __baselines__, which belongs in git.
    assert llm_output == llm_baseline
