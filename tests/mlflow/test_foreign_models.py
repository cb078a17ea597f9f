"""Pyfuncs of other people by their URI: what they are given, how their answers are read, who is guilty."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import ModelSignature, infer_signature
from mlflow.pyfunc import PyFuncModel
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec
from transformers import pipeline

from pytest_llmcompare.errors import GenerationError, ModelError
from pytest_llmcompare.evaluation import model_logging
from pytest_llmcompare.evaluation.foreign_pyfunc import Questions, input_frame, params_of
from pytest_llmcompare.evaluation.pyfunc_output import texts_of
from pytest_llmcompare.models.gen_config import complete
from pytest_llmcompare.records import Case, CaseKey, GroupKey, Row

GROUP = GroupKey("tests", "trivia", "qa")
EXAMPLES = "Q: Is fire hot?\nA: Yes.\n\n"
QUESTIONS = ["Q: What color is the sky?\nA:", "Q: Are trees plants or animals?\nA:", "Q: What is 2+2?\nA:"]
TEXT = Schema([ColSpec("string")])

CODE = """
import mlflow
import pandas as pd


class Users(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: pd.DataFrame, params=None):
        return {function}


mlflow.models.set_model(Users())
"""
FUNCTIONS = {
    "echo": "['|'.join(f'{n}={v}' for n, v in row.items()) + (f'|{params}' if params else '') "
    "for row in model_input.to_dict('records')]",
    "one over length": "[str(1 / (len(text) - 3)) for text in model_input.iloc[:, 0]]",
    "fails": "[][0]",
    "two rows": "['a', 'b']",
    "none": "[None if 'sky' in text else text.upper() for text in model_input.iloc[:, 0]]",
    "alone": "list(model_input.iloc[:, 0]) if len(model_input) == 1 else 1 / 0",
}


def case(number: int, text: str, examples: str = "", gen_config: Any = None, **columns: Any) -> Case:
    row = Row(f"row_{number}", text, target=columns.pop("target", None), columns=columns)
    return Case(CaseKey(GROUP, row.id), row, examples, complete(gen_config or {}), seed=number)


def cases(texts: Sequence[str] = QUESTIONS, **facts: Any) -> list[Case]:
    return [case(number, text, **facts) for number, text in enumerate(texts)]


def users_model(folder: Path, function: str, signature: ModelSignature | None, name: str = "users") -> Any:
    """A user's own model from code, logged in the active run and loaded by its URI."""
    code = folder / "users_model.py"
    code.write_text(CODE.format(function=FUNCTIONS[function]))
    info = mlflow.pyfunc.log_model(name=name, python_model=str(code), signature=signature, pip_requirements=["mlflow"])
    return model_logging.load(info.model_uri)


def signature(*columns: Any, params: Any = None) -> ModelSignature:
    return ModelSignature(Schema(list(columns)), TEXT, params and ParamSchema(params))


ONE = signature(ColSpec("string", "question"))


def answers_of(model: PyFuncModel, asked: Sequence[Case]) -> list[str | GenerationError]:
    return Questions(model, asked).ask(range(len(asked)))


@pytest.mark.parametrize(
    ("given", "column"),
    [
        (ONE, "question"),
        (signature(ColSpec("string")), "input_text"),
        (None, "input_text"),
    ],
    ids=["named", "unnamed", "none"],
)
def test_single_column_gets_the_whole_prompt(given: Any, column: str, run: str, tmp_path: Path) -> None:
    """Where there is one column, it is the prompt with its examples, under the name that the model knows."""
    model = users_model(tmp_path, "echo", given)
    asked = cases(examples=EXAMPLES)
    assert answers_of(model, asked) == [f"{column}={EXAMPLES}{text}" for text in QUESTIONS]


def test_several_columns_are_taken_from_the_row(run: str, tmp_path: Path) -> None:
    """Input, examples, settings, seed, id, target and the table's own columns go where the signature has them."""
    names = ("question", "few_shot_examples", "config_dict", "seed", "id", "target", "topic", "absent")
    optional = ("target", "absent")
    kinds = {"seed": "long"}
    given = signature(*(ColSpec(kinds.get(name, "string"), name, required=name not in optional) for name in names))
    model = users_model(tmp_path, "echo", given)
    asked = [
        case(1, "a?", EXAMPLES, {"top_k": 3}, topic="sky", target="blue", unused=1),
        case(2, "b?", "", {"max_new_tokens": 2}, topic="trees", unused=1),
    ]
    assert answers_of(model, asked) == [
        (
            f"question=a?|few_shot_examples={EXAMPLES}"
            '|config_dict={"do_sample": false, "max_new_tokens": 64, "top_k": 3}'
            "|seed=1|id=row_1|target=blue|topic=sky"
        ),
        (
            'question=b?|few_shot_examples=|config_dict={"do_sample": false, "max_new_tokens": 2}'
            "|seed=2|id=row_2|target=None|topic=trees"
        ),
    ]


def test_examples_are_not_lost(run: str, tmp_path: Path) -> None:
    """Without a column for examples they stand before the input."""
    model = users_model(tmp_path, "echo", signature(ColSpec("string", "prompt"), ColSpec("string", "topic")))
    frame = input_frame(model, [case(1, "a?", EXAMPLES, topic="sky")])
    assert frame.to_dict("records") == [{"prompt": f"{EXAMPLES}a?", "topic": "sky"}]


def test_required_column_that_the_table_lacks(run: str, tmp_path: Path) -> None:
    """A required column that no row has is an error with the nearest name and what there is."""
    given = signature(ColSpec("string", "input_text"), ColSpec("string", "contxt"), ColSpec("string", "target"))
    model = users_model(tmp_path, "echo", given)
    with pytest.raises(ModelError) as error:
        answers_of(model, cases(context="sky"))
    assert str(error.value) == (
        "model 'qa': its signature requires the column 'contxt', which table 'trivia' does not have. "
        "Did you mean 'context'?\n"
        "model 'qa': its signature requires the column 'target', which table 'trivia' does not have.\n"
        "The table offers input_text, few_shot_examples, config_dict, seed, id, context.\n"
        "Add the column to the table, or log the model with a signature that does not require it."
    )


def test_columns_without_names(run: str, tmp_path: Path) -> None:
    """A signature that does not say which of its columns is the prompt is an error."""
    model = users_model(tmp_path, "echo", signature(ColSpec("string"), ColSpec("string")))
    with pytest.raises(ModelError) as error:
        input_frame(model, cases())
    assert str(error.value) == (
        "model 'qa': its signature has 2 columns without names, so it does not say which of them is the prompt.\n"
        "Log the model with a signature that names them, the prompt 'input_text'."
    )


def test_params_that_all_cases_share(run: str, tmp_path: Path) -> None:
    """Settings that the signature takes as params are passed where they are equal for all cases."""
    params = [ParamSpec(name, "long", 7) for name in ("max_new_tokens", "top_k", "speed")]
    model = users_model(tmp_path, "echo", signature(ColSpec("string", "question"), params=params))
    alike = cases(gen_config={"top_k": 3})
    assert params_of(model, alike) == {"max_new_tokens": 64, "top_k": 3}
    assert answers_of(model, alike)[0] == (f"question={QUESTIONS[0]}|{{'max_new_tokens': 64, 'top_k': 3, 'speed': 7}}")
    differ = [case(1, "a", gen_config={"top_k": 3}), case(2, "b", gen_config={"top_k": 4})]
    assert params_of(model, differ) == {"max_new_tokens": 64}


def test_settings_that_do_not_reach_the_model_are_noted(run: str, tmp_path: Path) -> None:
    """A user who chose settings that the model cannot take is told, and nobody else."""
    model = users_model(tmp_path, "echo", ONE)
    assert Questions(model, cases()).note == ""
    assert Questions(model, cases(gen_config={"top_k": 3, "do_sample": True})).note == (
        "model 'qa' decodes with its own settings: the table's do_sample, top_k have no effect on it. To pass them, "
        "give its signature a column 'config_dict', or params if they are equal for all rows."
    )
    told = users_model(tmp_path, "echo", signature(ColSpec("string", "input_text"), ColSpec("string", "config_dict")))
    assert Questions(told, cases(gen_config={"top_k": 3})).note == ""


def test_only_the_guilty_row_fails(run: str, tmp_path: Path) -> None:
    """A model that raises for one row of a batch fails that row alone."""
    model = users_model(tmp_path, "one over length", ONE)
    found = answers_of(model, cases(["1234", "123", "12345"]))
    assert [str(outcome) for outcome in found] == ["1.0", "the model raised ZeroDivisionError: division by zero", "0.5"]
    assert isinstance(found[1], GenerationError)


def test_model_that_always_raises(run: str, tmp_path: Path) -> None:
    """A model that raises for every row fails them all with its reason."""
    found = answers_of(users_model(tmp_path, "fails", ONE), cases())
    assert [str(outcome) for outcome in found] == ["the model raised IndexError: list index out of range"] * 3


def test_model_that_takes_one_row(run: str, tmp_path: Path) -> None:
    """A model that cannot take a batch is asked row by row."""
    assert answers_of(users_model(tmp_path, "alone", ONE), cases()) == QUESTIONS


def test_too_few_rows(run: str, tmp_path: Path) -> None:
    """Where outputs are missing none can be matched to its prompt, so all cases fail."""
    found = answers_of(users_model(tmp_path, "two rows", ONE), cases([*QUESTIONS, "a", "b"]))
    assert {str(outcome) for outcome in found} == {
        (
            "the model returned 2 of 5 outputs, so outputs cannot be assigned to prompts.\n"
            "Let its predict return one text per row, in the order of the rows."
        )
    }
    assert len(found) == 5
    assert all(isinstance(outcome, GenerationError) for outcome in found)


def test_none_for_a_row(run: str, tmp_path: Path) -> None:
    """None is no output, and fails its own row alone."""
    found = answers_of(users_model(tmp_path, "none", ONE), cases())
    assert str(found[0]) == "the model returned None for this prompt, expected text."
    assert found[1:] == [text.upper() for text in QUESTIONS[1:]]


@pytest.mark.parametrize(
    "output",
    [
        ["a", "b"],
        ("a", "b"),
        iter(["a", "b"]),
        np.array(["a", "b"]),
        np.array([["a"], ["b"]], dtype=object),
        pd.Series(["a", "b"]),
        pd.Series(["a", "b"], index=[7, 8]),
        pd.DataFrame({"whatever": ["a", "b"]}),
        pd.DataFrame({"score": [1, 2], "generated_text": ["a", "b"]}),
        [{"generated_text": "a"}, {"generated_text": "b"}],
        [[{"generated_text": "a"}], [{"generated_text": "b"}]],
        [{"answer": "a"}, {"answer": "b"}],
        [{"text": "a", "score": 1}, {"text": "b", "score": 2}],
        {"predictions": ["a", "b"]},
        [
            {"generated_text": [{"role": "user", "content": "q"}, {"role": "assistant", "content": text}]}
            for text in "ab"
        ],
    ],
)
def test_outputs_that_are_understood(output: Any) -> None:
    """Texts are found in whatever shape pyfuncs and pipelines return them."""
    assert texts_of(output, 2) == ["a", "b"]


@pytest.mark.parametrize("output", ["a", ["a"], {"generated_text": "a"}, [{"generated_text": "a"}], np.array("a")])
def test_single_outputs(output: Any) -> None:
    """A model asked for one text may return it bare."""
    assert texts_of(output, 1) == ["a"]


@pytest.mark.parametrize(
    ("item", "shown"),
    [
        (None, "None"),
        (float("nan"), "None"),
        (3, "3 (int)"),
        (["a", "b"], "['a', 'b'] (list)"),
        ({"x": "a", "y": "b"}, "{'x': 'a', 'y': 'b'} (dict)"),
        ({}, "{} (dict)"),
        (b"a", "b'a' (bytes)"),
    ],
)
def test_items_that_are_no_text(item: Any, shown: str) -> None:
    """What is no text fails its row, and is shown; the others stay."""
    found = texts_of(["a", item], 2)
    assert found[0] == "a"
    assert str(found[1]) == f"the model returned {shown} for this prompt, expected text."


@pytest.mark.parametrize(
    ("output", "shown"),
    [(None, "None"), ("a", "'a' (str)"), (5, "5 (int)"), ({"a": 1}, "{'a': 1} (dict)")],
)
def test_outputs_that_are_no_list(output: Any, shown: str) -> None:
    """What holds no texts at all fails every row, and is shown."""
    found = texts_of(output, 2)
    assert [str(outcome) for outcome in found] == [
        (
            f"the model returned {shown}, expected 2 texts.\n"
            "Let its predict return one text per row, in the order of the rows."
        )
    ] * 2


def test_tensor_signature(run: str, tmp_path: Path) -> None:
    """A signature of one tensor of texts is given the prompts."""
    tensor = ModelSignature(Schema([TensorSpec(np.dtype(object), (-1,), "prompts")]), TEXT)
    code = tmp_path / "tensor_model.py"
    code.write_text(CODE.format(function="[text.upper() for text in model_input['prompts']]"))
    info = mlflow.pyfunc.log_model(name="tensor", python_model=str(code), signature=tensor, pip_requirements=["mlflow"])
    assert answers_of(model_logging.load(info.model_uri), cases()) == [text.upper() for text in QUESTIONS]


def test_transformers_flavour(run: str, gpt2: str) -> None:
    """A pipeline that was logged with MLflow's transformers flavour answers by its URI, params included."""
    pipe: Any = pipeline("text-generation", model=gpt2)
    given = infer_signature("a", ["b"], {"max_new_tokens": 5, "do_sample": False})
    info = mlflow.transformers.log_model(pipe, name="tf", signature=given, pip_requirements=["mlflow"])
    model = model_logging.load(info.model_uri)
    assert model_logging.python_model_of(model) is None
    expected = [pipe(EXAMPLES + text, max_new_tokens=9, do_sample=False)[0]["generated_text"] for text in QUESTIONS]
    asked = cases(examples=EXAMPLES, gen_config={"max_new_tokens": 9})
    assert answers_of(model, asked) == [text.strip() for text in expected]  # MLflow strips
