"""The public pyfuncs in one process: their answers are the pipeline's, their errors name the row."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import pipeline

from pytest_llmcompare.decoding.engine import Outcome
from pytest_llmcompare.decoding.request import PredictOptions, predict_options
from pytest_llmcompare.errors import GenerationError, UsageError
from pytest_llmcompare.evaluation.pyfunc import (
    PyfuncTransformer,
    PyfuncTransformerWithParams,
)
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.models import in_memory

EXAMPLES = (
    "Q: Are elephants larger than mice?\nA: Yes.\n\n"
    "Q: Are mice carnivorous?\nA: No, mice are typically omnivores.\n\n"
    "Q: What is the average lifespan of an elephant?\nA: The average lifespan of an elephant in the wild is about "
    "60 to 70 years.\n\n"
)
QUESTIONS = [
    "Q: What color is the sky?\nA:",
    "Q: Are trees plants or animals?\nA:",
    "Q: What is 2+2?\nA:",
    "Q: Who is Darth Vader?\nA:",
    "Q: What is your favorite color?\nA:",
]
SETTINGS = {"max_length": 180, "max_new_tokens": 10, "do_sample": False}
SAMPLED = {"do_sample": True, "top_k": 10, "temperature": 2.0, "max_new_tokens": 8}


@pytest.fixture(scope="module")
def by_pipeline(gpt2: str) -> Callable[[str, dict[str, Any]], str]:
    """One call of transformers' pipeline, as the answer to compare with."""
    ask: Any = pipeline("text-generation", model=gpt2, return_full_text=False)

    def answer(prompt: str, settings: dict[str, Any]) -> str:
        return str(ask(prompt, **settings)[0]["generated_text"])

    return answer


def refusal(kind: type[Exception], call: Callable[[], object]) -> str:
    with pytest.raises(kind) as error:
        call()
    return str(error.value)


def test_answers_of_the_pipeline(gpt2: str, by_pipeline: Any) -> None:
    """A batched prediction gives, text for text, what one pipeline call per prompt gives."""
    model = PyfuncTransformer(gpt2, gen_config_dict=SETTINGS, examples=EXAMPLES)
    assert model.predict(None, QUESTIONS) == [by_pipeline(EXAMPLES + text, SETTINGS) for text in QUESTIONS]


@pytest.mark.parametrize(
    "given",
    [
        QUESTIONS,
        tuple(QUESTIONS),
        np.array(QUESTIONS),
        np.array(QUESTIONS).reshape(-1, 1),
        pd.Series(QUESTIONS),
        pd.DataFrame({"question": QUESTIONS}),
        pd.DataFrame({"id": range(5), "input_text": QUESTIONS, "target": QUESTIONS}, index=range(10, 15)),
        {"input_text": QUESTIONS},
        [{"input_text": text} for text in QUESTIONS],
        pd.DataFrame([{"input_text": QUESTIONS}]),
    ],
    ids=["list", "tuple", "array", "column", "Series", "frame", "wide", "dict", "dicts", "one_row"],
)
def test_forms_of_input(given: Any, gpt2: str) -> None:
    """Texts come as any list, array, column or dict of columns."""
    model = PyfuncTransformer(gpt2, {"max_new_tokens": 4})
    assert model.predict(None, given) == [model.predict(None, text)[0] for text in QUESTIONS]


def test_nothing_asked(gpt2: str) -> None:
    """No rows give no texts."""
    assert PyfuncTransformer(gpt2).predict(None, []) == []


def test_defaults_are_greedy_and_short(gpt2: str, by_pipeline: Any) -> None:
    """Without settings the model decodes greedily, 64 tokens at most."""
    expected = by_pipeline(QUESTIONS[0], {"do_sample": False, "max_new_tokens": 64})
    assert PyfuncTransformer(gpt2).predict(None, QUESTIONS[0]) == [expected]


def test_params_hold_for_one_call(gpt2: str, by_pipeline: Any) -> None:
    """Params of a call lie over the settings of the model, which stay as they were."""
    model = PyfuncTransformer(gpt2, SETTINGS)
    assert model.predict(None, QUESTIONS[0], {"max_new_tokens": 2}) == [
        by_pipeline(QUESTIONS[0], {**SETTINGS, "max_new_tokens": 2})
    ]
    assert model.predict(None, QUESTIONS[0]) == [by_pipeline(QUESTIONS[0], SETTINGS)]
    assert refusal(UsageError, lambda: model.predict(None, "x", {"max_new_token": 2})) == (
        "params: unknown decoding setting 'max_new_token'. Did you mean 'max_new_tokens'?"
    )


@pytest.mark.parametrize("form", [json.dumps, dict], ids=["text", "dict"])
def test_each_row_its_own_settings(form: Callable[[Any], Any], gpt2: str, by_pipeline: Any) -> None:
    """Examples and settings are those of the row, as JSON text or as a dict; a row may have none."""
    frame = pd.DataFrame(
        {
            "input_text": QUESTIONS[:4],
            "few_shot_examples": [EXAMPLES, "", None, EXAMPLES],
            "config_dict": [form(SETTINGS), form({"max_new_tokens": 3}), None, form({})],
            "note": [1, 2, 3, 4],
        }
    )
    long = {"do_sample": False, "max_new_tokens": 64}
    expected = [
        by_pipeline(EXAMPLES + QUESTIONS[0], SETTINGS),
        by_pipeline(QUESTIONS[1], {"do_sample": False, "max_new_tokens": 3}),
        by_pipeline(QUESTIONS[2], long),
        by_pipeline(EXAMPLES + QUESTIONS[3], long),
    ]
    model = PyfuncTransformerWithParams(gpt2)
    assert model.predict(None, frame) == expected
    assert model.predict(None, frame.to_dict("records")) == expected
    assert model.predict(None, frame.to_dict("list")) == expected


def test_one_row_as_a_dict(gpt2: str, by_pipeline: Any) -> None:
    """A dict of single values is one row."""
    row = {"input_text": QUESTIONS[0], "few_shot_examples": EXAMPLES, "config_dict": json.dumps(SETTINGS)}
    assert PyfuncTransformerWithParams(gpt2).predict(None, row) == [by_pipeline(EXAMPLES + QUESTIONS[0], SETTINGS)]


def test_seeded_rows_draw_the_same_in_any_company(gpt2: str) -> None:
    """A draw depends on its seed, not on other rows or their order, and leaves torch's generator alone."""
    model = PyfuncTransformerWithParams(gpt2)
    rows = [{"input_text": text, "config_dict": SAMPLED, "seed": seed} for seed, text in enumerate(QUESTIONS)]
    before = torch.get_rng_state()
    together = model.predict(None, rows)
    assert torch.equal(torch.get_rng_state(), before)
    assert model.predict(None, rows[::-1]) == together[::-1]
    assert [model.predict(None, [row])[0] for row in rows] == together
    others = model.predict(None, [{**row, "seed": 100 + seed} for seed, row in enumerate(rows)])
    assert others != together


def test_seed_column_with_gaps(gpt2: str) -> None:
    """Where one row has no seed, pandas makes floats of the others, which are taken for what they are."""
    model = PyfuncTransformerWithParams(gpt2)
    frame = pd.DataFrame({"input_text": QUESTIONS[:2], "config_dict": [SAMPLED] * 2, "seed": [7, None]})
    row = {"input_text": QUESTIONS[0], "config_dict": SAMPLED, "seed": 7}
    assert model.predict(None, frame)[0] == model.predict(None, [row])[0]


def test_unseeded_rows_follow_torch(gpt2: str) -> None:
    """Without a seed the draw is torch's, as in a user's own call."""
    model = PyfuncTransformer(gpt2, SAMPLED)
    torch.manual_seed(3)
    first = model.predict(None, QUESTIONS)
    torch.manual_seed(3)
    assert model.predict(None, QUESTIONS) == first


def test_observer_sees_every_outcome(gpt2: str) -> None:
    """With an observer faulty rows give None, and each outcome is handed over once, with tokens and likelihoods."""
    seen: dict[int, Outcome] = {}
    model = PyfuncTransformerWithParams(gpt2, batch_size=2)

    def observe(index: int, outcome: Outcome) -> None:
        assert index not in seen
        seen[index] = outcome

    rows = [{"input_text": text, "config_dict": SETTINGS} for text in QUESTIONS]
    rows[1] = {"input_text": QUESTIONS[1], "config_dict": {"topk": 1}}
    rows[3] = {"input_text": "Q: " * 600, "config_dict": SETTINGS}
    with predict_options(PredictOptions(model, observe)):
        texts = model.predict(None, rows)
    assert [index for index, text in enumerate(texts) if text is None] == [1, 3]
    assert sorted(seen) == [0, 1, 2, 3, 4]
    assert str(seen[1]) == "config_dict: unknown decoding setting 'topk'. Did you mean 'top_k'?"
    assert isinstance(seen[3], GenerationError)
    for index in (0, 2, 4):
        found = seen[index]
        assert isinstance(found, Generation)
        assert found.text == texts[index]
        assert found.token_ids is not None
        assert found.logprobs is not None
        assert len(found.token_ids) == len(found.logprobs) == 10
        assert dict(found.environment)["weights"] == model.located().fingerprint


def test_pickle_is_small_and_whole(gpt2: str) -> None:
    """A pickle holds no weights and no options of this process, and its copy answers alike."""
    model = PyfuncTransformer(gpt2, SETTINGS, EXAMPLES)
    expected = model.predict(None, QUESTIONS)
    with predict_options(PredictOptions(model, lambda index, outcome: None)):
        pickled = pickle.dumps(model)
    assert len(pickled) < 4000
    in_memory.release()
    copy = pickle.loads(pickled)
    assert copy.predict(None, QUESTIONS) == expected


def test_folder_stays_the_same_elsewhere(gpt2: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative folder is the one it was when the model was made."""
    monkeypatch.chdir(Path(gpt2).parent)
    model = PyfuncTransformer("./tiny-gpt2", {"max_new_tokens": 2})
    monkeypatch.chdir(tmp_path)
    assert model.config()["model_name"] == gpt2
    assert model.predict(None, QUESTIONS[0]) == PyfuncTransformer(gpt2, {"max_new_tokens": 2}).predict(
        None, QUESTIONS[0]
    )


def test_hub_model_from_the_cache(gpt2: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub id is found in the Hugging Face cache, and the commit that was used is what gets logged."""
    home = tmp_path / "hub" / "models--our--tiny"
    commit = "0123456789abcdef0123456789abcdef01234567"
    (home / "snapshots").mkdir(parents=True)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    (home / "snapshots" / commit).symlink_to(gpt2)
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    model = PyfuncTransformer("our/tiny", {"max_new_tokens": 2})
    assert model.config()["revision"] is None
    expected = PyfuncTransformer(gpt2, {"max_new_tokens": 2}).predict(None, QUESTIONS)
    assert model.predict(None, QUESTIONS) == expected
    assert (model.config()["model_name"], model.config()["revision"]) == ("our/tiny", commit)
