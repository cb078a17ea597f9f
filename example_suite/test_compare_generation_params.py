"""The article's second experiment: one model, two sets of few-shot examples, two ways of decoding.

It stands here twice: with `variants`, which is short, and as the article has it, with a column for each setting. Both
are in the experiment `compare_generation_params`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from corpus import ARTICLE_EXAMPLES, ARTICLE_QUESTIONS

IDS = ("sky", "trees", "sum", "vader", "favorite")
QUESTIONS = [{"id": name, "prompt": fact.prompt} for name, fact in zip(IDS, ARTICLE_QUESTIONS, strict=True)]

# The article's two sets of examples: three answered questions, and four others.
ANIMALS = "".join(fact.prompt + fact.completion for fact in ARTICLE_EXAMPLES[:3])
PLACES = "".join(fact.prompt + fact.completion for fact in ARTICLE_EXAMPLES[3:])

# The article's two ways of decoding, up to the end of a sentence. A draw can be repeated: each case has its own seed.
SAMPLED = {"do_sample": True, "top_k": 10, "max_new_tokens": 32, "stop_strings": [".", "\n"]}
GREEDY = {"do_sample": False, "max_new_tokens": 32, "stop_strings": [".", "\n"]}

VARIANTS = {
    "animals-sampled": {"examples": ANIMALS, **SAMPLED},
    "animals-greedy": {"examples": ANIMALS, **GREEDY},
    "places-sampled": {"examples": PLACES, **SAMPLED},
    "places-greedy": {"examples": PLACES, **GREEDY},
}


# Five questions in four variants are twenty tests. `models` holds them to one model, whatever the run compares.
@pytest.mark.llm_prompts(
    QUESTIONS, variants=VARIANTS, models="tiny-gpt2-distil", experiment="compare_generation_params"
)
def test_variants(llm_output, llm_baseline):
    assert llm_output == llm_baseline


# The article's table: five rows with one set of examples and way of decoding, five with the other. Because rows differ
# in them, the model that MLflow logs is a PyfuncTransformerWithParams, which reads them from these columns.
TABLE = [
    {"id": f"{row['id']}-{name}", "input_text": row["prompt"], "few_shot_examples": examples, "config_dict": config}
    for name, examples, config in (("sampled", ANIMALS, SAMPLED), ("greedy", PLACES, GREEDY))
    for row in QUESTIONS
]

# Two tests may share a table: its name says so, and the model answers once for both.
columns = pytest.mark.llm_prompts(
    TABLE, name="columns", models="tiny-gpt2-distil", experiment="compare_generation_params"
)


@columns
def test_columns(llm_output, llm_baseline):
    assert llm_output == llm_baseline


# llm_model is the logged model, loaded again from MLflow. It says what the class says that you can use without pytest.
@columns
def test_model_from_mlflow_answers_like_the_class(llm_model):
    import pandas as pd  # here, so that collecting the tests needs neither torch nor pandas

    from pytest_llmcompare import PyfuncTransformerWithParams

    by_hand = PyfuncTransformerWithParams(str(Path(__file__).parent / "models" / "tiny-gpt2-distil"))
    frame = pd.DataFrame(TABLE[5:]).assign(config_dict=json.dumps(GREEDY))
    assert llm_model.predict(frame) == by_hand.predict(None, frame)
