"""A tour: tables in files, expected answers, metrics, settings row by row."""

from __future__ import annotations

import pytest

ONE_SENTENCE = {"max_new_tokens": 32, "stop_strings": [".", "\n"]}

# trivia.csv has a column id, which names the tests, and a column target with the right answers. What else a table has
# (topic) goes to MLflow with it. exact_match compares to the letter: models begin with a space, and so do the targets.
trivia = pytest.mark.llm_prompts("trivia.csv", gen_config=ONE_SENTENCE, metrics=["exact_match"], experiment="trivia")


@trivia
def test_trivia(llm_output, llm_baseline):
    assert llm_output == llm_baseline


# A test that asks for llm_evaluation alone runs once per model. It may set a bar for the table as a whole.
@trivia
def test_trivia_is_mostly_right(llm_evaluation):
    assert llm_evaluation.metrics["exact_match/v1"] >= 0.6


# A test may look at its own case: prompt, target, and the table's other columns.
@trivia
def test_numbers_are_in_the_answer(llm_case, llm_output):
    assert llm_case.columns["topic"] != "numbers" or any(char.isdigit() for char in str(llm_output))


# styles.jsonl gives each row its own few-shot examples and decoding settings.
@pytest.mark.llm_prompts("styles.jsonl")
def test_styles(llm_output, llm_baseline):
    assert llm_output == llm_baseline
