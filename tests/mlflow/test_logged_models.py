"""Pyfuncs in a real MLflow store: logged fast and without weights, loaded again, and what is refused."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import pandas as pd
import pytest
from mlflow.metrics import MetricValue
from mlflow.models import infer_signature
from mlflow.tracking._tracking_service.utils import _use_tracking_uri

from pytest_llmcompare import log_model
from pytest_llmcompare.decoding.request import PredictOptions, predict_options
from pytest_llmcompare.errors import ModelError, TrackingError, UsageError
from pytest_llmcompare.evaluation import model_logging
from pytest_llmcompare.evaluation.pyfunc import (
    PyfuncTransformer,
    PyfuncTransformerWithParams,
)
from pytest_llmcompare.models import in_memory
from pytest_llmcompare.models.spec import ModelSpec, SourceKind

if TYPE_CHECKING:
    from .conftest import Store

EXAMPLES = "Q: Are elephants larger than mice?\nA: Yes.\n\n"
QUESTIONS = ["Q: What color is the sky?\nA:", "Q: Are trees plants or animals?\nA:", "Q: What is 2+2?\nA:"]
SETTINGS = {"max_length": 180, "max_new_tokens": 10, "do_sample": False}


class Pickled(mlflow.pyfunc.PythonModel):  # type: ignore[misc, name-defined]
    """A user's own pyfunc, logged as a pickle."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> list[str]:
        return ["pickled" for _ in range(len(model_input))]


class Shouting(PyfuncTransformer):
    """A pyfunc made from ours that changes the texts."""

    def predict(  # type: ignore[override]  # MLflow takes no other annotation
        self, context: Any, model_input: pd.DataFrame, params: Any = None
    ) -> list[str | None]:
        return [text and text.upper() for text in super().predict(context, model_input, params)]


def lengths(predictions: Any) -> MetricValue:
    """A metric: characters per output."""
    return MetricValue(scores=[float(len(text)) for text in predictions])


def folder_of(uri: str) -> Path:
    return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri))


def refusal(kind: type[Exception], call: Callable[[], object]) -> str:
    with pytest.raises(kind) as error:
        call()
    return str(error.value)


def test_logged_as_code_without_weights(run: str, gpt2: str) -> None:
    """Logging stores code and arguments, no pickle and no weights, and loads none."""
    in_memory.release()
    info = model_logging.log(PyfuncTransformer(gpt2, SETTINGS, EXAMPLES), "tiny")
    assert in_memory._held.model is None
    folder = folder_of(info.model_uri)
    names = {path.name for path in folder.rglob("*")}
    assert {
        "MLmodel",
        "_logged_code.py",
        "input_example.json",
        "serving_input_example.json",
        "requirements.txt",
    } <= names
    assert not [name for name in names if name.endswith((".pkl", ".safetensors", ".bin"))]
    assert sum(path.stat().st_size for path in folder.rglob("*")) < 20_000
    assert "python_model.pkl" not in (folder / "MLmodel").read_text()


def test_logging_is_fast(run: str, gpt2: str) -> None:
    """Once MLflow is warm, logging a model takes well under 0.3 s."""
    model = PyfuncTransformer(gpt2, SETTINGS, EXAMPLES)
    times = []
    for _ in range(4):
        started = time.process_time()  # other processes must not count
        model_logging.log(model, "tiny")
        times.append(time.process_time() - started)
    assert min(times) < 0.3


def test_log_is_public(run: str, gpt2: str) -> None:
    """The package offers it as `log_model`."""
    assert log_model(PyfuncTransformer(gpt2), "tiny").model_uri.startswith("models:/m-")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tiny", "tiny"),
        ("bigscience/bloom-560m", "bigscience_bloom-560m"),
        ("a.b: 50% \"of\" 'it'", "a_b_50_of_it"),
        ("./models/x", "models_x"),
        ("名前", "名前"),
        ("...", "model"),
    ],
)
def test_names_that_mlflow_refuses(name: str, expected: str, run: str, gpt2: str) -> None:
    """Characters that MLflow refuses are replaced, others stay."""
    info = model_logging.log(PyfuncTransformer(gpt2), name)
    assert info.name == expected
    assert mlflow.get_logged_model(info.model_id).name == expected


def test_what_is_stored_about_it(run: str, gpt2: str) -> None:
    """Signature, requirements, input example and settings are stored; long examples too."""
    examples = EXAMPLES * 400
    info = model_logging.log(PyfuncTransformer(gpt2, SETTINGS, examples), "tiny")
    again = model_logging.load(info.model_uri)
    assert str(again.metadata.get_input_schema()) == "[string (required)]"
    assert str(again.metadata.get_output_schema()) == "[string (required)]"
    example: Any = again.input_example
    assert list(example["input_text"]) == ["Q: What color is the sky?\nA:"]
    wanted = {line.partition("==")[0] for line in (folder_of(info.model_uri) / "requirements.txt").read_text().split()}
    assert wanted == {"pytest-llmcompare", "mlflow", "transformers", "torch", "accelerate", "pandas"}
    config: Any = info.flavors["python_function"]["config"]
    assert (config["gen_config_dict"], config["examples"], config["model_name"]) == (SETTINGS, examples, gpt2)


def test_versions_are_ones_that_pypi_has(run: str, gpt2: str) -> None:
    """A build of torch for one kind of hardware is required by its version alone."""
    assert not [line for line in model_logging.requirements(model_logging.PACKAGES) if "+" in line or "==" not in line]


def test_signature_with_params(run: str, gpt2: str) -> None:
    """Only the prompt is required; the rest may be left out, together or in single rows."""
    info = model_logging.log(PyfuncTransformerWithParams(gpt2), "tiny")
    model: Any = model_logging.load(info.model_uri)
    assert str(model.metadata.get_input_schema()) == (
        "['input_text': string (required), 'few_shot_examples': string (optional), "
        "'config_dict': string (optional), 'seed': long (optional)]"
    )
    assert model.predict(model.input_example) == [" The sky is blue.\n\nQ"]
    assert len(model.predict(pd.DataFrame({"input_text": QUESTIONS}))) == 3
    partly = pd.DataFrame({"input_text": QUESTIONS, "config_dict": ['{"max_new_tokens": 1}', None, None]})
    assert model.predict(partly)[1:] == model.predict(partly[["input_text"]])[1:]


@pytest.mark.parametrize("form", ["models:/{id}", "runs:/{run}/tiny"])
def test_loaded_again(form: str, run: str, gpt2: str) -> None:
    """What MLflow loads, with its own function, answers as the pyfunc that was logged."""
    model = PyfuncTransformer(gpt2, SETTINGS, EXAMPLES)
    info = model_logging.log(model, "tiny")
    expected = model.predict(None, QUESTIONS)
    in_memory.release()
    uri = form.format(id=info.model_id, run=run)
    frame = pd.DataFrame({"input_text": QUESTIONS})
    for loaded in (mlflow.pyfunc.load_model(uri), model_logging.load(uri)):
        assert loaded.model_id == info.model_id
        assert loaded.predict(frame) == expected
        assert loaded.predict(frame.rename(columns={"input_text": "question"})) == expected
        assert loaded.predict(frame.to_dict("records")) == expected
        assert loaded.predict(list(QUESTIONS)) == expected
        assert loaded.predict(pd.Series(QUESTIONS)) == expected
        assert loaded.predict(QUESTIONS[0]) == expected[:1]


def test_options_survive(run: str, bloom: str) -> None:
    """Every argument is there again after loading."""
    options: dict[str, Any] = {"dtype": "bfloat16", "device": "cpu", "batch_size": 2, "name": "mine"}
    model = PyfuncTransformer(bloom, {"max_new_tokens": 3}, EXAMPLES, chat_template="{{ messages }}", **options)
    inside = model_logging.python_model_of(model_logging.load(model_logging.log(model, "bloom").model_uri))
    assert inside is not None
    assert inside.config() == model.config()
    assert inside.spec == model.spec


def test_ours_inside_a_loaded_model(run: str, gpt2: str) -> None:
    """Our own pyfuncs are found inside what MLflow loads, and hand their outcomes to an observer."""
    loaded: Any = model_logging.load(model_logging.log(PyfuncTransformerWithParams(gpt2), "tiny").model_uri)
    inside = model_logging.python_model_of(loaded)
    assert type(inside) is PyfuncTransformerWithParams
    seen: dict[int, object] = {}
    with predict_options(PredictOptions(inside, seen.__setitem__)):
        texts = loaded.predict(pd.DataFrame({"input_text": QUESTIONS, "config_dict": ['{"topk": 1}', "{}", "{}"]}))
    assert sorted(seen) == [0, 1, 2]
    assert texts[0] is None
    assert [str(seen[1]), str(seen[2])] == texts[1:]


def test_others_inside_a_loaded_model(run: str, gpt2: str) -> None:
    """A user's pyfunc, and one made from ours that may change the texts, are not ours."""
    signature = infer_signature(pd.DataFrame({"input_text": ["a"]}), ["b"])
    for model in (Pickled(), Shouting(gpt2)):
        info = mlflow.pyfunc.log_model(
            name="other", python_model=model, signature=signature, pip_requirements=["mlflow"]
        )
        assert model_logging.python_model_of(mlflow.pyfunc.load_model(info.model_uri)) is None


def test_pickle_is_refused(run: str) -> None:
    """A pickled pyfunc is refused with the table that allows it, and loads where it is allowed."""
    info = mlflow.pyfunc.log_model(
        name="pickled",
        python_model=Pickled(),
        signature=infer_signature(pd.DataFrame({"input_text": ["a"]}), ["b"]),
        pip_requirements=["mlflow"],
    )
    spec = ModelSpec("qa", info.model_uri, SourceKind.MLFLOW)
    assert refusal(ModelError, lambda: model_logging.load(info.model_uri, spec)) == (
        f"model 'qa' is refused: python_model.pkl in {folder_of(info.model_uri)} is pickled, "
        "and reading a pickle can run any code.\n"
        "Take a model saved as safetensors (or logged from code), or if you trust this one, allow it by name "
        "in pyproject.toml:\n"
        "    [tool.llmcompare.models.qa]\n"
        f'    source = "{info.model_uri}"\n'
        "    allow_pickle = true"
    )
    assert refusal(ModelError, lambda: model_logging.load(info.model_uri)).startswith(
        f"model '{info.model_id[:10]}' is refused"
    )
    allowed = ModelSpec("qa", info.model_uri, SourceKind.MLFLOW, allow_pickle=True)
    assert (
        model_logging.load(info.model_uri, allowed).predict(pd.DataFrame({"input_text": ["a", "b"]})) == ["pickled"] * 2
    )


BROKEN = {
    "raises": ("raise ValueError('no such file: data.bin')", "cannot be loaded: "),
    "needs": ("import nowhere_to_be_found", "needs the Python module 'nowhere_to_be_found', which is not installed"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_code_that_fails_when_loaded(how: str, run: str, tmp_path: Path) -> None:
    """A logged model whose code fails says so, with its name and what to do."""
    code = tmp_path / "model.py"
    code.write_text(
        "import mlflow\n"
        "class M(mlflow.pyfunc.PythonModel):\n"
        "    def predict(self, context, model_input):\n"
        "        return []\n"
        "mlflow.models.set_model(M())\n"
    )
    info = mlflow.pyfunc.log_model(
        name="broken", python_model=str(code), signature=infer_signature(["a"], ["b"]), pip_requirements=["mlflow"]
    )
    (folder_of(info.model_uri) / "model.py").write_text(BROKEN[how][0])
    message = refusal(ModelError, lambda: model_logging.load(info.model_uri))
    assert message.startswith(f"model '{info.model_id[:10]}': {info.model_uri} {BROKEN[how][1]}")
    assert message.splitlines()[-1].startswith(
        ("To see the whole error: python -c", "Install what it was logged with: pip install -r /")
    )


def test_config_of_another_version(run: str, gpt2: str) -> None:
    """Arguments that this version does not know are an error that says why."""
    config = {"class": "PyfuncTransformer", **PyfuncTransformer(gpt2).config()}
    assert refusal(ModelError, lambda: model_logging.from_config({**config, "class": "Newer"})) == (
        "the logged model was made by another version of pytest-llmcompare than 0.1.0: "
        "this version has no class 'Newer'.\n"
        "Install the version that its requirements.txt names, or log the model again."
    )
    assert "unexpected keyword argument 'speed'" in refusal(
        ModelError, lambda: model_logging.from_config({**config, "speed": 1})
    )


def test_model_that_is_not_in_the_store(store: Store) -> None:
    """A URI without a model says where it was looked for."""
    uri = "models:/m-00000000000000000000000000000000"
    message = refusal(ModelError, lambda: model_logging.load(uri))
    assert message.startswith(
        f"model 'm-00000000': the files of {uri} cannot be fetched from MLflow at {store.uri}: MlflowException: "
    )
    assert message.endswith(
        "\nCheck that the store is running and still has them, "
        "or name another with --llm-tracking-uri or MLFLOW_TRACKING_URI."
    )


def test_store_that_does_not_take_it(run: str, gpt2: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is down when a model is to be logged is an error within seconds."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with _use_tracking_uri("http://127.0.0.1:9"):
        message = refusal(TrackingError, lambda: model_logging.log(PyfuncTransformer(gpt2), "tiny"))
    assert message.startswith("model 'tiny-gpt2' cannot be logged in MLflow at http://127.0.0.1:9: ")


def test_log_takes_ours_alone(run: str, gpt2: str) -> None:
    """A class made from ours would lose what it adds, so it is sent to MLflow's own function."""
    assert refusal(UsageError, lambda: model_logging.log(Shouting(gpt2), "tiny")) == (
        "log_model logs PyfuncTransformer and PyfuncTransformerWithParams, got Shouting.\n"
        "Log a pyfunc of your own with mlflow.pyfunc.log_model(name=..., python_model=...)"
    )


def test_nothing_is_printed(run: str, gpt2: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Logging, loading and predicting leave the terminal alone, and MLflow's switch as it was."""
    loaded = model_logging.load(model_logging.log(PyfuncTransformer(gpt2, SETTINGS), "tiny").model_uri)
    loaded.predict(pd.DataFrame({"input_text": QUESTIONS}))
    assert capfd.readouterr() == ("", "")
    assert model_logging.SILENT.keys().isdisjoint(os.environ)


def test_the_article(store: Store, gpt2: str, bloom: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The article's way still works: the pyfunc itself is logged, re-opened, evaluated; MLflow infers the rest."""
    monkeypatch.chdir(tmp_path)  # MLflow's subprocess may leave files
    examples = (
        "Q: Are elephants larger than mice?\nA: Yes.\n\nQ: Are mice carnivorous?\n"
        "A: No, mice are typically omnivores.\n\n"
    )
    gcfg = {"max_length": 180, "max_new_tokens": 10, "do_sample": False}
    pyfunc_model = PyfuncTransformer(gpt2, gen_config_dict=gcfg, examples=examples)
    mlflow.set_experiment(experiment_id=store.experiment)
    with mlflow.start_run(run_name="log_model_tiny") as active:
        mlflow.pyfunc.log_model(
            name="tiny",
            python_model=pyfunc_model,
            input_example="Q: What color is the sky?\nA:",
        )
        run_id = active.info.run_id
    eval_df = pd.DataFrame({"question": QUESTIONS})
    length = mlflow.metrics.make_metric(eval_fn=lengths, greater_is_better=False, name="length")
    with mlflow.start_run(run_id=run_id):
        result = mlflow.models.evaluate(model=f"runs:/{run_id}/tiny", data=eval_df, extra_metrics=[length])
    table = result.tables["eval_results_table"]
    expected = PyfuncTransformer(gpt2, gcfg, examples).predict(None, QUESTIONS)
    loaded = mlflow.pyfunc.load_model(f"runs:/{run_id}/tiny")
    assert list(loaded.predict(eval_df)) == expected
    assert list(loaded.predict(QUESTIONS[0])) == expected[:1]
    assert isinstance(loaded.unwrap_python_model(), PyfuncTransformer)
    assert list(table["outputs"]) == expected
    assert list(table["question"]) == QUESTIONS
    sizes = [path.stat().st_size for path in folder_of(f"runs:/{run_id}/tiny").rglob("*.pkl")]
    assert sizes
    assert sum(sizes) < 10_000
