"""Models of MLflow's transformers flavour: looked into, so that tokens count, with the texts of their own `predict`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
import torch
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

from pytest_llmcompare.evaluation.pyfunc_output import texts_of
from pytest_llmcompare.models.adapter_files import check_adapted_pipeline
from pytest_llmcompare.models.load import transformers_quiet
from pytest_llmcompare.models.safety import read_flavors
from pytest_llmcompare.models.spec import ModelSpec, SourceKind
from tests.adapters import load_plainly, make_adapter

from .evaluations import CASES, Suite, made_template, suite

__all__ = ["made_template", "suite"]

TEXT = Schema([ColSpec("string")])
GREEDY = {"max_new_tokens": 6, "do_sample": False}
PARAMS = ModelSignature(
    Schema([ColSpec("string", "question")]), TEXT, ParamSchema([ParamSpec("max_new_tokens", "long", 6)])
)
TEMPLATE = "Q: Is fire hot?\nA: Yes.\n\n{prompt}"
CHAT = [
    {"id": "ice", "messages": [{"role": "user", "content": "Is ice cold?"}]},
    {"id": "sky", "messages": [{"role": "user", "content": "What color is the sky?"}]},
    {"id": "fire", "messages": [{"role": "user", "content": "Is fire hot?"}]},
]


def log(suite: Suite, folder: Path | str, name: str = "gpt", adapted: Any = None, **options: Any) -> str:
    """Log a pipeline, perhaps of an adapted model, and register it; the URI of the new version."""
    given = {"signature": ModelSignature(Schema([ColSpec("string", "text")]), TEXT), "model_config": GREEDY, **options}
    with transformers_quiet(), mlflow.start_run(experiment_id=suite.users_experiment()):
        tokenizer = None if adapted is None else AutoTokenizer.from_pretrained(folder)
        model: Any = pipeline("text-generation", str(folder) if adapted is None else adapted, tokenizer=tokenizer)
        info = mlflow.transformers.log_model(
            model, name=name, registered_model_name=name, pip_requirements=["transformers"], **given
        )
    return f"models:/{name}/{info.registered_model_version}"


def moved(suite: Suite, folder: Path, by: float = 3e-3) -> Path:
    """A copy of a model with all weights moved by a share of themselves."""
    with transformers_quiet():
        model: Any = AutoModelForCausalLM.from_pretrained(folder)
        generator = torch.Generator().manual_seed(0)
        for weight in model.parameters():
            weight.data *= 1 + by * (2 * torch.rand(weight.shape, generator=generator) - 1)
        model.save_pretrained(suite.path / "moved")
        AutoTokenizer.from_pretrained(folder).save_pretrained(suite.path / "moved")
    return suite.path / "moved"


def report_of(suite: Suite, uri: str, *args: str) -> dict[str, Any]:
    suite.run(f"m={uri}", args=["-q", "--llm-report=r.json", *args])
    return dict(json.loads((suite.path / "r.json").read_text(encoding="utf-8")))


def cases_of(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [case for row in report["tables"][0]["rows"] for case in row["cases"]]


def predicted(uri: str, column: str, values: Sequence[object], **params: Any) -> list[Any]:
    """What MLflow's own `predict` gives."""
    with transformers_quiet():
        return texts_of(
            mlflow.pyfunc.load_model(uri).predict(pd.DataFrame({column: values}), params=params or None), len(values)
        )


@pytest.mark.parametrize(
    ("options", "column"),
    [
        ({}, "text"),
        ({"model_config": {**GREEDY, "return_full_text": False}}, "text"),
        ({"model_config": {**GREEDY, "include_prompt": False, "collapse_whitespace": True}}, "text"),
        ({"model_config": {**GREEDY, "repetition_penalty": 1.5}, "prompt_template": TEMPLATE}, "text"),
        ({"model_config": {"do_sample": False, "max_length": 30}}, "text"),
        ({"signature": PARAMS}, "question"),
        ({"task": "llm/v1/completions", "signature": None, "model_config": {**GREEDY}}, "prompt"),
    ],
    ids=["plain", "answer alone", "trimmed", "template", "length", "params", "completions"],
)
def test_texts_are_those_of_predict(suite: Suite, gpt2: str, options: dict[str, Any], column: str) -> None:
    """Whatever MLflow makes of them; tokens are known, and an unchanged model is identical and unchanged."""
    uri = log(suite, gpt2, **options)
    suite.compare()
    first = report_of(suite, uri, "--llm-update")
    params = {"max_new_tokens": 4} if column == "question" else {}
    assert [case["candidate"]["text"] for case in cases_of(first)] == predicted(
        uri, column, [case["input_text"] for case in CASES], **params
    )
    assert all(case["candidate"]["token_ids"] for case in cases_of(first))
    again = report_of(suite, uri)
    assert {case["verdict"] for case in cases_of(again)} == {"identical"}
    if column != "question":  # its 12 tokens are too few for a verdict
        assert [verdict["finding"] for verdict in again["model_verdicts"]] == ["unchanged"]
    assert all(case["candidate"]["verified"] for case in cases_of(again))
    assert "texts alone" not in str(again["notes"])


def test_silent_drift_of_another_version(suite: Suite, gpt2: str) -> None:
    """A version whose weights moved a little answers the same; the model verdict tells it."""
    first = log(suite, gpt2)
    suite.compare()
    report_of(suite, first, "--llm-update")
    report = report_of(suite, log(suite, moved(suite, Path(gpt2))))
    assert [verdict["finding"] for verdict in report["model_verdicts"]] == ["changed"]
    assert "drifted" not in {case["verdict"] for case in cases_of(report)}


@pytest.mark.parametrize("kind", ["lora", "ia3"])
def test_an_adapted_pipeline_is_refused_unless_it_is_merged(suite: Suite, gpt2: str, kind: str) -> None:
    """MLflow reads other numbers for the weights that the adapter wraps, each time it is loaded."""
    base, folder = Path(gpt2), make_adapter(Path(gpt2), suite.path / "adapter", kind)
    uri = log(suite, gpt2, adapted=load_plainly(base, folder))
    suite.compare()
    result = suite.run(f"m={uri}")
    result.assert_outcomes(errors=len(CASES))
    text = result.stdout.str()
    assert f"model 'm': {uri} is a pipeline with a PEFT adapter, and MLflow has saved " in text
    assert "merge_and_unload()), or name the folder or hub id of the adapter instead: m=./adapter" in text
    merged = log(suite, gpt2, adapted=load_plainly(base, folder).merge_and_unload())
    report_of(suite, merged, "--llm-update")
    assert {case["verdict"] for case in cases_of(report_of(suite, merged))} == {"identical"}


def test_a_prompt_adapter_leaves_its_base_as_it_is(suite: Suite, gpt2: str, tmp_path: Path) -> None:
    """Its pipeline is not refused: the names of the base are its own."""
    adapted = load_plainly(Path(gpt2), make_adapter(Path(gpt2), suite.path / "adapter", "prompt"))
    uri = log(suite, gpt2, adapted=adapted)
    folder = Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(tmp_path)))
    assert (folder / "peft").is_dir()
    spec = ModelSpec("m", uri, SourceKind.MLFLOW)
    check_adapted_pipeline(folder, read_flavors(folder, spec), uri, spec)


def test_another_model_drifts_with_margins(suite: Suite, example_models: Path) -> None:
    """The judgement has the place of the first other token and how much it is preferred."""
    suite.compare(cases=[{"id": "ice", "input_text": "Q: Is ice cold?\nA:"}])
    report_of(suite, log(suite, example_models / "tiny-gpt2"), "--llm-update")
    (case,) = cases_of(report_of(suite, log(suite, example_models / "tiny-gpt2-distil")))
    assert (case["verdict"], case["judgement"]["unit"]) == ("drifted", "tok")
    assert case["judgement"]["margin"] > 0.01


def test_conversations(suite: Suite, example_models: Path) -> None:
    """A chat task takes the table's messages, and its answers are read out of the completions."""
    uri = log(suite, example_models / "tiny-chat", name="chat", task="llm/v1/chat", signature=None)
    suite.compare(cases=CHAT)
    first = report_of(suite, uri, "--llm-update")
    assert [case["candidate"]["text"] for case in cases_of(first)] == predicted(
        uri, "messages", [row["messages"] for row in CHAT]
    )
    assert all(case["candidate"]["token_ids"] for case in cases_of(first))
    assert {case["verdict"] for case in cases_of(report_of(suite, uri))} == {"identical"}


def test_hub_reference(suite: Suite, gpt2: str) -> None:
    """A model logged without its weights is loaded by MLflow from where it was."""
    uri = log(suite, gpt2, save_pretrained=False)
    suite.compare()
    report_of(suite, uri, "--llm-update")
    again = report_of(suite, uri)
    assert {case["verdict"] for case in cases_of(again)} == {"identical"}


def test_sampled_outputs_are_compared_by_text(suite: Suite, gpt2: str) -> None:
    """They cannot be repeated, and the run says so once."""
    uri = log(suite, gpt2, model_config={"max_new_tokens": 3, "do_sample": True})
    suite.compare()
    report = report_of(suite, uri, "--llm-update")
    assert {case["candidate"]["token_ids"] for case in cases_of(report)} == {None}
    (note,) = [one for one in report["notes"] if "texts alone" in one]
    assert "it samples its outputs (log it with do_sample=False in its model_config)" in note


def test_text_baselines_are_followed(suite: Suite, gpt2: str) -> None:
    """Baselines that were recorded by text, as before, are compared by text."""
    uri = log(suite, gpt2)
    suite.compare()
    report_of(suite, uri, "--llm-update")
    for path in suite.path.rglob("*.tokens.jsonl"):
        path.unlink()
    report = report_of(suite, uri)
    assert {case["verdict"] for case in cases_of(report)} == {"identical"}
