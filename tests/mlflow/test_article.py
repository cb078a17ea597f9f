"""What docs/from_the_article.md says of the article's calls: which MLflow refuses today, and how each is written."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from pytest_llmcompare import PyfuncTransformer, PyfuncTransformerWithParams

if TYPE_CHECKING:
    from .conftest import Store

PAGE = (Path(__file__).parents[2] / "docs" / "from_the_article.md").read_text(encoding="utf-8")
SKY = "Q: What color is the sky?\nA:"
STATED = {"pip_requirements": ["pytest-llmcompare"]}


def row(config: dict[str, Any]) -> pd.DataFrame:
    """A row of the article's second table."""
    return pd.DataFrame([{"input_text": SKY, "few_shot_examples": "", "config_dict": config}])


def test_path_of_an_artifact(run: str, gpt2: str) -> None:
    """A name with a slash is refused by MLflow, one without is taken."""
    model = PyfuncTransformer(gpt2, {"max_new_tokens": 2})
    with pytest.raises(MlflowException, match="Invalid model name"):
        mlflow.pyfunc.log_model(artifact_path="models/tiny", python_model=model, input_example=SKY, **STATED)
    mlflow.pyfunc.log_model(artifact_path="tiny", python_model=model, input_example=SKY, **STATED)
    assert mlflow.pyfunc.load_model(f"runs:/{run}/tiny").predict([SKY]) == model.predict(None, [SKY])


@pytest.mark.skipif(importlib.util.find_spec("tiktoken") is not None, reason="the extra text is installed")
def test_text_metrics_without_their_packages(store: Store, gpt2: str) -> None:
    """By its old name and its new one MLflow fails as a whole, with the error that the page has."""
    with mlflow.start_run(experiment_id=store.experiment):
        model = mlflow.pyfunc.log_model(
            name="tiny", python_model=PyfuncTransformer(gpt2, {"max_new_tokens": 2}), input_example=SKY, **STATED
        )
        for evaluate in (mlflow.evaluate, mlflow.models.evaluate):
            with pytest.raises(MlflowException) as error:
                evaluate(model=model.model_uri, data=pd.DataFrame({"question": [SKY]}), model_type="text")  # type: ignore[no-untyped-call]
            cause = str(error.value).splitlines()[1].strip()
            assert f"`{cause}`" in PAGE.replace("\n", " ")


def test_settings_in_an_input_example(run: str, gpt2: str) -> None:
    """Empty ones let each row have its own; with some in it MLflow refuses all others."""
    model = PyfuncTransformerWithParams(gpt2)
    answers = {}
    for name, config in (("free", {}), ("bound", {"do_sample": False})):
        logged = mlflow.pyfunc.log_model(name=name, python_model=model, input_example=row(config), **STATED)
        answers[name] = mlflow.pyfunc.load_model(logged.model_uri)
    given = row({"do_sample": True, "top_k": 1, "max_new_tokens": 2})
    assert answers["free"].predict(given) == model.predict(None, given)
    with pytest.raises(MlflowException, match="Invalid properties not defined in the schema found"):
        answers["bound"].predict(given)
    assert "Invalid properties not defined in the schema found" in PAGE
