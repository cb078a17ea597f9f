"""What the public pyfuncs refuse: every fault at once, with row, value and the nearest name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pytest_llmcompare.decoding.request import PredictOptions, predict_options
from pytest_llmcompare.errors import GenerationError, ModelError, UsageError
from pytest_llmcompare.evaluation.pyfunc import (
    HeldTransformer,
    PyfuncTransformer,
    PyfuncTransformerWithParams,
)

QUESTIONS = [
    "Q: What color is the sky?\nA:",
    "Q: Are trees plants or animals?\nA:",
    "Q: What is 2+2?\nA:",
    "Q: Who is Darth Vader?\nA:",
    "Q: What is your favorite color?\nA:",
]


def refusal(kind: type[Exception], call: Callable[[], object]) -> str:
    with pytest.raises(kind) as error:
        call()
    return str(error.value)


def test_every_fault_of_the_arguments() -> None:
    """All faulty arguments are named at once, with the nearest names."""
    wrong: Any = None
    assert refusal(
        UsageError,
        lambda: PyfuncTransformer(
            "gpt2-large", {"topk": 3, "temperature": -1}, wrong, dtype="flaot32", device="GPU 0", batch_size=-1
        ),
    ) == (
        "PyfuncTransformer('gpt2-large'): gen_config_dict: unknown decoding setting 'topk'. Did you mean 'top_k'?\n"
        "PyfuncTransformer('gpt2-large'): gen_config_dict: temperature=-1, expected a number above 0 "
        "(greedy decoding is do_sample: false).\n"
        "PyfuncTransformer('gpt2-large'): examples=None, expected text.\n"
        "PyfuncTransformer('gpt2-large'): batch_size=-1, expected a whole number from 1, or 0 to have it chosen.\n"
        "PyfuncTransformer('gpt2-large'): dtype 'flaot32' is not known. Did you mean 'float32'?\n"
        "PyfuncTransformer('gpt2-large'): device='GPU 0', expected text such as 'cpu', 'cuda', 'cuda:1' or 'auto'."
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: PyfuncTransformerWithParams(None),  # type: ignore[arg-type]
            "PyfuncTransformerWithParams(None): model_name=None, expected text: a hub id or a folder.",
        ),
        (
            lambda: PyfuncTransformer("gpt2", '{"top_k": 1}'),  # type: ignore[arg-type]
            (
                "PyfuncTransformer('gpt2'): gen_config_dict='{\"top_k\": 1}', expected decoding settings such as "
                '{"max_new_tokens": 10}.'
            ),
        ),
        (
            lambda: PyfuncTransformer("gpt2", {"min_new_tokens": 99}),
            "PyfuncTransformer('gpt2'): gen_config_dict: min_new_tokens=99 is more than max_new_tokens=64.",
        ),
        (
            lambda: PyfuncTransformerWithParams("models:/qa/1"),
            (
                "PyfuncTransformerWithParams('models:/qa/1'): this is a model in MLflow; "
                "expected a hub id or a folder.\n"
                "Load it with mlflow.pyfunc.load_model('models:/qa/1'), or compare it: --llm-models=models:/qa/1"
            ),
        ),
        (
            lambda: PyfuncTransformer("./tiny", revision="v1"),
            "PyfuncTransformer('./tiny'): a folder has no revisions, so 'v1' cannot be one. Leave it out.",
        ),
        (
            lambda: PyfuncTransformer("gpt2", allow_pickle="no"),  # type: ignore[arg-type]
            "PyfuncTransformer('gpt2'): allow_pickle='no', expected true or false.",
        ),
    ],
)
def test_faulty_arguments(call: Callable[[], object], message: str) -> None:
    """Each kind of faulty argument says what was expected."""
    assert refusal(UsageError, call) == message


def test_faulty_rows_are_numbered_and_all_named(gpt2: str) -> None:
    """Faulty rows are found before the model runs, all of them, with row, value and what to do."""
    rows = [
        {"input_text": QUESTIONS[0], "config_dict": '{"top_kk": 10, "temperature": 0}'},
        {"input_text": QUESTIONS[1], "config_dict": "{max_new_tokens: 3}"},
        {"input_text": QUESTIONS[2]},
        {"input_text": 5, "config_dict": "[]"},
        {"input_text": QUESTIONS[3], "seed": 1.5},
        {"input_text": QUESTIONS[3], "config_dict": {"min_new_tokens": 65}},
    ]
    assert refusal(GenerationError, lambda: PyfuncTransformerWithParams(gpt2).predict(None, rows)) == (
        "row 1 of 6: config_dict: unknown decoding setting 'top_kk'. Did you mean 'top_k'?\n"
        "config_dict: temperature=0, expected a number above 0 (greedy decoding is do_sample: false).\n"
        "row 2 of 6: config_dict is '{max_new_tokens: 3}', which is not JSON: "
        "Expecting property name enclosed in double quotes: line 1 column 2 (char 1).\n"
        'Write decoding settings as JSON, with double quotes: {"max_new_tokens": 10}.\n'
        "row 4 of 6: input_text is 5, expected text.\n"
        "Put it in quotes, or convert the column to text.\n"
        "row 5 of 6: seed is 1.5, expected an integer of at most 64 bits.\n"
        "row 6 of 6: config_dict: min_new_tokens=65 is more than max_new_tokens=64."
    )


@pytest.mark.parametrize("kind", [PyfuncTransformer, PyfuncTransformerWithParams])
def test_missing_column(kind: type[HeldTransformer], gpt2: str) -> None:
    """A table without the column of prompts is told its columns and the nearest name."""
    frame = pd.DataFrame({"input_texts": QUESTIONS, "id": range(5)})
    assert refusal(UsageError, lambda: kind(gpt2).predict(None, frame)) == (
        "the model's input has no column 'input_text', which holds the prompts; its columns: 'input_texts', 'id'. "
        "Did you mean 'input_texts'?\n"
        'Rename it: frame.rename(columns={"...": "input_text"})'
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            None,
            (
                "the model's input is None, expected a text, a list of texts or of dicts, a dict of columns, "
                "or a pandas DataFrame."
            ),
        ),
        (
            {"input_text": ["a", "b"], "seed": [1]},
            "the model's input has columns of different length (input_text 2, seed 1). Give each one cell per row.",
        ),
    ],
)
def test_faulty_input(given: Any, message: str, gpt2: str) -> None:
    """What is no table at all is refused."""
    assert refusal(UsageError, lambda: PyfuncTransformerWithParams(gpt2).predict(None, given)) == message


def test_row_that_fails_in_the_model(gpt2: str) -> None:
    """A prompt too long for the model is named by its row."""
    message = refusal(GenerationError, lambda: PyfuncTransformer(gpt2).predict(None, ["a", "Q: " * 600, "b"]))
    assert message.startswith("row 2 of 3: model 'tiny-gpt2': ")
    assert "512" in message
    assert "row 1" not in message


def test_rows_beside_faulty_ones_are_answered(gpt2: str) -> None:
    """An observer hears of every faulty row why, and the others' texts are what they are by themselves."""
    short = {"max_new_tokens": 2}
    rows: list[dict[str, Any]] = [
        {"input_text": QUESTIONS[0], "config_dict": short},
        {"input_text": "", "config_dict": short},
        {"input_text": QUESTIONS[1], "config_dict": {"max_new_tokens": 0}},
        {"input_text": QUESTIONS[1], "config_dict": {"max_new_token": 2}},
        {"input_text": "word " * 600, "config_dict": short},
        {"input_text": QUESTIONS[1], "config_dict": short},
    ]
    model = PyfuncTransformerWithParams(gpt2, device="cpu")
    expected = [text for row in (rows[0], rows[5]) for text in model.predict(None, [row])]
    heard: dict[int, object] = {}
    with predict_options(PredictOptions(model, heard.__setitem__)):
        assert model.predict(None, rows) == [expected[0], None, None, None, None, expected[1]]
    assert {place: str(told) for place, told in heard.items() if isinstance(told, GenerationError)} == {
        1: "model 'tiny-gpt2': the prompt gives no tokens, so there is nothing to answer. Give it some text.",
        2: "config_dict: max_new_tokens=0, expected a whole number from 1.",
        3: "config_dict: unknown decoding setting 'max_new_token'. Did you mean 'max_new_tokens'?",
        4: (
            "model 'tiny-gpt2': the prompt has 603 tokens, its context holds 512.\nShorten the prompt or its examples."
        ),
    }


def test_absent_model_fails_when_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Making a pyfunc looks nothing up; loading it says where the model was looked for."""
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    model = PyfuncTransformer("nobody/nothing")
    assert refusal(ModelError, lambda: model.load_context(None)).startswith(
        "model 'nothing': the hub model nobody/nothing is not on this machine, and HF_HUB_OFFLINE=1 forbids asking"
    )


def test_options_of_loading(gpt2: str) -> None:
    """They are checked as those of a table, all at once; an unknown one names the nearest."""
    options: dict[str, Any] = {"subfolder": "../x", "attn_implementation": "eagr"}
    with pytest.raises(UsageError) as error:
        PyfuncTransformer(gpt2, **options)
    assert str(error.value) == (
        f"PyfuncTransformer({gpt2!r}): subfolder = '../x' leads out of the model's folder, expected text: a folder "
        "inside the repository or folder, such as 'checkpoint-500'.\n"
        f"PyfuncTransformer({gpt2!r}): attn_implementation 'eagr' is not known. Did you mean 'eager'?"
    )
    unknown: dict[str, Any] = {"sub_folder": "x"}
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'sub_folder'\. Did you mean 'subfolder'\?"):
        PyfuncTransformerWithParams(gpt2, **unknown)
