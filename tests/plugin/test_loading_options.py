"""Runs with options of loading in a model's table: what they change, and that the logged model loads the same."""

from __future__ import annotations

import shutil

import mlflow
import pytest

from pytest_llmcompare import PyfuncTransformer
from pytest_llmcompare.cli.main import main

from .suites import ICE, Suite, says

TABLE = """
    [tool.llmcompare.models.m]
    source = "./run"
    subfolder = "checkpoint-500"
    tokenizer = "./words"
    attn_implementation = "{attention}"
"""


def write(suite: Suite, attention: str) -> None:
    suite.write("pyproject.toml", TABLE.format(attention=attention))


@pytest.fixture
def split(suite: Suite) -> Suite:
    """A suite whose model has its weights in a subfolder and its tokenizer elsewhere."""
    suite.trivia()
    model = suite.models / "tiny-gpt2"
    names = shutil.ignore_patterns("tokenizer*", "special*", "vocab*", "merges*")
    shutil.copytree(model, suite.path / "run/checkpoint-500", ignore=names)
    shutil.copytree(model, suite.path / "words", ignore=shutil.ignore_patterns("*.safetensors", "config.json"))
    write(suite, "eager")
    return suite


def test_options_decide_and_are_recorded(split: Suite) -> None:
    """The outputs are those of the whole folder; attention stands in the environment, and another is asked anew."""
    result = split.run("--llm-update", models=["m"])
    result.assert_outcomes(passed=3)
    assert " attention=eager " in split.stored()["__baselines__/trivia/m.baseline"].decode()
    split.run(models=["m"]).assert_outcomes(passed=3)
    assert says(split.run(models=["m"]), "3 of 3 answers from the cache")
    write(split, "sdpa")
    result = split.run(models=["m"])
    result.assert_outcomes(passed=3)
    assert not says(result, "from the cache")


def test_logged_model_loads_the_same(split: Suite) -> None:
    """MLflow keeps the options, so the model that it gives answers as in the run."""
    split.run("--llm-update", models=["m"]).assert_outcomes(passed=3)
    (run,) = split.mlflow_runs()
    (model,) = mlflow.search_logged_models(experiment_ids=[run.info.experiment_id], output_format="list")
    pyfunc = mlflow.pyfunc.load_model(model.model_uri)
    spec = pyfunc.unwrap_python_model().spec
    assert spec.source == str(split.path / "run/checkpoint-500")
    assert spec.loading.given() == {"attn_implementation": "eager", "tokenizer": str(split.path / "words")}
    whole = PyfuncTransformer(str(split.models / "tiny-gpt2"), {"max_new_tokens": 6})
    assert pyfunc.predict([ICE]) == whole.predict(None, [ICE])


def test_models_command_shows_them(split: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    """`llmcompare models` shows where the parts are."""
    assert main(["models", "--root", str(split.path)]) == 0
    shown = capsys.readouterr().out
    assert f"  at          {split.path}/run/checkpoint-500\n" in shown
    assert f"  tokenizer   {split.path}/words\n" in shown
    assert "  attention   eager\n" in shown
