"""The article's script: models compared by hand in MLflow, without this package.

    python benchmarks/article.py EXPERIMENT.json [--lean]

Each model is wrapped in a pyfunc and logged, each run is opened again and evaluated, and the results are laid side by
side. The file holds `models` (names and folders), `questions`, `examples` and `gen_config`.

It is the script as one would write it, mended where today's libraries refuse it:

- `log_model(name=...)`, because `artifact_path="models/..."` is no longer allowed.
- The settings go to the pipeline as a `GenerationConfig`; `model.config.update` of them is an error in transformers 5.
- `model_type="text"` makes the whole evaluation fail where one of its metrics is out of reach, which without a network
  is the case for tiktoken's vocabulary and for the model that judges toxicity. So a metric of its own stands in, which
  costs nothing.
- MLflow infers the signature from the example, for which it calls `load_context` on the very object that it pickles
  next. `__getstate__` leaves the pipeline out, or else each pickle would hold the weights and be read three times.

MLflow's inference of signature and requirements works offline and stays as it is: for it each model is loaded and asked
three times, once in a process of its own, before the evaluation loads it again. With `--lean` the script states both,
as somebody would who knows what that costs; then each model is loaded once.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.metrics import MetricValue, make_metric
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, pipeline

EXPERIMENT = "compare_small_models"
TABLE = "eval_results_table.json"


class PyfuncTransformer(mlflow.pyfunc.PythonModel):
    """Continues each text it is given, after the same few-shot examples."""

    def __init__(self, model_name: str, gen_config_dict: dict[str, Any] | None = None, examples: str = "") -> None:
        self.model_name = model_name
        self.gen_config_dict = gen_config_dict if gen_config_dict is not None else {}
        self.examples = examples
        super().__init__()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "model"}

    def load_context(self, context):
        """Load model and tokenizer."""
        tokenizer = AutoTokenizer.from_pretrained(self.model_name)
        model = AutoModelForCausalLM.from_pretrained(self.model_name, device_map="auto")
        self.model = pipeline("text-generation", model=model, tokenizer=tokenizer)

    def predict(self, context, model_input, params=None):
        """Continue the texts, one after the other."""
        if isinstance(model_input, pd.DataFrame):
            model_input = model_input.to_numpy().flatten().tolist()
        elif not isinstance(model_input, list):
            model_input = [model_input]
        config = GenerationConfig(**self.gen_config_dict)
        generated = []
        for text in model_input:
            output = self.model(self.examples + text, return_full_text=False, generation_config=config)
            generated.append(output[0]["generated_text"])
        return generated


def log(name: str, model: PyfuncTransformer, lean: bool) -> tuple[str, str]:
    """Log a model in a run of its own: the run's id, and where the model is."""
    text = Schema([ColSpec(DataType.string)])
    stated = {"signature": ModelSignature(text, text), "pip_requirements": ["mlflow", "torch", "transformers"]}
    inferred = {"input_example": "Q: What color is the sky?\nA:"}
    with mlflow.start_run(run_name=f"log_model_{name}") as run:
        logged = mlflow.pyfunc.log_model(name=name, python_model=model, **(stated if lean else inferred))
        return run.info.run_id, logged.model_uri


def words(predictions, targets=None, metrics=None):
    """Words of each output."""
    return MetricValue(scores=[len(text.split()) for text in predictions])


def main(file: str, lean: bool) -> None:
    """Compare the models."""
    given = json.loads(Path(file).read_text(encoding="utf-8"))
    mlflow.set_experiment(EXPERIMENT)
    models = {
        name: PyfuncTransformer(folder, gen_config_dict=given["gen_config"], examples=given["examples"])
        for name, folder in given["models"].items()
    }
    runs = [log(name, model, lean) for name, model in models.items()]
    questions = pd.DataFrame({"question": given["questions"]})
    for run_id, uri in runs:
        with mlflow.start_run(run_id=run_id):
            metric = make_metric(eval_fn=words, greater_is_better=False, name="words")
            mlflow.evaluate(model=uri, data=questions, model_type=None, extra_metrics=[metric])
    table = mlflow.load_table(TABLE, extra_columns=["tags.mlflow.runName"])
    print(table.pivot_table(index="question", columns="tags.mlflow.runName", values="outputs", aggfunc="last"))


if __name__ == "__main__":
    main(sys.argv[1], "--lean" in sys.argv[2:])
