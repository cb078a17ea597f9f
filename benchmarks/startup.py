"""What the plugin costs a pytest run that does not use it, and a one-row check, over a script without it.

    python benchmarks/startup.py [ROUNDS]

Each pair runs in processes of its own, in turn. Printed are the medians of processor time and peak memory, and of the
differences, pair by pair. Processor time, because whatever else the machine does shows in the wall clock.

1. A one-test suite that does not use the plugin, with and without it.
2. A one-row check of an `echo:` model, and a bare MLflow script that makes the store, logs a one-line pyfunc, loads it
   and evaluates one row. Both import scikit-learn: MLflow imports its evaluators of classifiers all together when the
   first evaluation looks for the default one, and no argument of `mlflow.models.evaluate` prevents that.
3. The same with a tiny transformers model in both.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

MODEL = Path(__file__).parent.parent / "example_suite" / "models" / "tiny-gpt2"
PLAIN_TEST = "def test_one():\n    assert True\n"
CHECK = """
import pytest


@pytest.mark.llm_prompts([{"id": "ice", "prompt": "Q: Is ice cold?\\nA:"}], gen_config={"max_new_tokens": 8})
def test_one(llm_output, llm_baseline):
    assert llm_output == llm_baseline
"""
RIVAL = """
import mlflow
import pandas as pd

mlflow.set_tracking_uri("sqlite:///mlflow.db")
mlflow.set_experiment("rival")
with mlflow.start_run():
    logged = mlflow.pyfunc.log_model(name="model", python_model="code.py", pip_requirements=["mlflow"])
with mlflow.start_run():
    model = mlflow.pyfunc.load_model(logged.model_uri)
    length = mlflow.metrics.make_metric(
        eval_fn=lambda predictions: mlflow.metrics.MetricValue(scores=[float(len(text)) for text in predictions]),
        greater_is_better=True,
        name="length",
    )
    data = pd.DataFrame({"input_text": ["Q: Is ice cold?\\nA:"]})
    mlflow.models.evaluate(model=lambda frame: model.predict(frame), data=data, extra_metrics=[length])
"""
ONE_LINE = """
import mlflow
import pandas as pd


class Model(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: pd.DataFrame, params=None):
        return ["Yes."] * len(model_input)


mlflow.models.set_model(Model())
"""
LOCAL = """
import mlflow
import pandas as pd
from transformers import pipeline


class Model(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.pipe = pipeline("text-generation", model={model!r})

    def predict(self, context, model_input: pd.DataFrame, params=None):
        prompts = list(model_input.iloc[:, 0])
        return [one[0]["generated_text"] for one in self.pipe(prompts, max_new_tokens=8, do_sample=False)]


mlflow.models.set_model(Model())
"""


class Cost(NamedTuple):
    """What a process took: processor time in seconds, user and system, and peak memory in MiB."""

    seconds: float
    mebibytes: float


def cost_of(folder: Path, *command: str) -> Cost:
    """Run Python in a folder; fails if it fails."""
    log = folder / "output"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=folder, stdout=output, stderr=subprocess.STDOUT, env=environment()
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(log.read_text(encoding="utf-8", errors="replace"))
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def environment() -> dict[str, str]:
    """The environment without other plugins of pytest and without the user's settings; compiled modules are kept."""
    dropped = ("MLFLOW_", "LLMCOMPARE_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return {**kept, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "HF_HUB_OFFLINE": "1"}


def pytest_cost(test: str, *options: str) -> Cost:
    """One pytest process in a new folder."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "test_one.py").write_text(test)
        (path / "pytest.ini").write_text("[pytest]\n")
        return cost_of(path, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options)


def check_cost(model: str) -> Cost:
    """One check of one row, from making the store to the summary."""
    options = ("-p", "pytest_llmcompare.plugin", f"--llm-models={model}", "--llm-update")
    return pytest_cost(CHECK, *options, "--llm-tracking-uri=sqlite:///mlflow.db")


def rival_cost(code: str) -> Cost:
    """The script without pytest and without the plugin."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "code.py").write_text(code)
        (path / "rival.py").write_text(RIVAL)
        return cost_of(path, "rival.py")


def compare(title: str, names: Sequence[str], costs: Sequence[Callable[[], Cost]], rounds: int) -> None:
    """Measure a pair in turn and print it; the first round warms the file cache and is left out."""
    pairs = [tuple(cost() for cost in costs) for _ in range(rounds + 1)][1:]
    print(title)
    for name, column in zip(names, zip(*pairs, strict=True), strict=True):
        print(f"  {name:<28}{median(column, 0):8.3f} s {median(column, 1):8.1f} MiB")
    more = [Cost(one.seconds - other.seconds, one.mebibytes - other.mebibytes) for one, other in pairs]
    print(f"  {'difference, pair by pair':<28}{median(more, 0):+8.3f} s {median(more, 1):+8.1f} MiB")


def median(costs: Sequence[Cost], place: int) -> float:
    """Median of seconds (0) or mebibytes (1)."""
    return statistics.median(cost[place] for cost in costs)


def main(rounds: int) -> None:
    """Measure and print."""
    plugin = ("-p", "pytest_llmcompare.plugin")
    compare(
        "a suite that does not use the plugin",
        ("with the plugin", "without it"),
        (lambda: pytest_cost(PLAIN_TEST, *plugin), lambda: pytest_cost(PLAIN_TEST)),
        rounds,
    )
    compare(
        "a one-row check of echo:",
        ("pytest with the plugin", "a bare MLflow script"),
        (lambda: check_cost("echo:"), lambda: rival_cost(ONE_LINE)),
        rounds,
    )
    compare(
        "a one-row check of a tiny transformers model",
        ("pytest with the plugin", "a bare MLflow script"),
        (lambda: check_cost(f"tiny={MODEL}"), lambda: rival_cost(LOCAL.format(model=str(MODEL)))),
        rounds,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
