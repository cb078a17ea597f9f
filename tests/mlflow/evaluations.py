"""A user's suite in a folder of its own with an MLflow store of its own, and what its runs left there."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from textwrap import indent
from typing import Any

import mlflow
import mlflow.transformers  # as below, of `pytest_llmcompare.evaluation`
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Dataset, Run
from mlflow.tracking import fluent

import pytest_llmcompare.evaluation.ask_local
import pytest_llmcompare.evaluation.evaluate  # before pytester's runs, which forget what they imported themselves
import pytest_llmcompare.evaluation.resources  # noqa: F401
from pytest_llmcompare.models import in_memory

__all__ = ["CASES", "Suite", "datasets", "made_template", "models_asked", "models_logged", "suite"]

CASES = [
    {"id": "sky", "input_text": "Q: What color is the sky?\nA:", "target": " Blue."},
    {"id": "trees", "input_text": "Q: Are trees plants or animals?\nA:", "target": " Trees are plants."},
    {"id": "sum", "input_text": "Q: What is 2+2?\nA:", "target": " 4."},
]
"""Three rows of a prompt table."""

COMPARE = """
import pytest

CASES = {cases!r}


@pytest.mark.llm_prompts({table}, gen_config={{"max_new_tokens": 4}}{keywords})
def test_{name}(llm_output, llm_baseline):
    assert llm_output == llm_baseline
"""


class Suite:
    """A folder with tests, run by pytest in this process, and its MLflow store.

    Args:
        pytester: pytest's own, whose folder it is.
        store: Database of the store.
        models: Folder with the small models.
        warm: Path of an interpreter with the heavy libraries imported, which starts on the first call.
    """

    def __init__(self, pytester: pytest.Pytester, store: Path, models: Path, warm: Callable[[], str]) -> None:
        self.pytester = pytester
        self.path = pytester.path
        self.uri = f"sqlite:///{store}"
        self.models = models
        self.warm = warm
        self.client = MlflowClient(tracking_uri=self.uri)

    def compare(self, keywords: str = "", *, name: str = "trivia", table: str = "CASES", cases: Any = None) -> None:
        """Write a test that compares outputs with baselines."""
        text = COMPARE.format(
            cases=CASES if cases is None else cases,
            table=table,
            keywords=f", {keywords}" if keywords else "",
            name=name,
        )
        self.pytester.makepyfile(**{f"test_{name}": text})

    def spec(self, name: str, model: str = "tiny-gpt2") -> str:
        """The spec of a small model under a name."""
        return f"{name}={self.models / model}"

    def run(self, *specs: str, args: Sequence[str] = ("--llm-update",)) -> pytest.RunResult:
        """Run the suite with some models."""
        return self.pytester.runpytest_inprocess(f"--llm-models={','.join(specs)}", "-p", "no:cacheprovider", *args)

    def run_apart(self, *args: str) -> pytest.RunResult:
        """Run pytest in a process of its own, a warm one; its workers, too."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "executable", self.warm())
            return self.pytester.runpytest_subprocess("-p", "no:hypothesispytest", *args, timeout=180)

    def experiments(self) -> set[str]:
        """Names of the experiments in the store, less MLflow's own."""
        return {found.name for found in self.client.search_experiments()} - {"Default"}

    def runs(self, experiment: str) -> list[Run]:
        """Runs of an experiment, the oldest first."""
        found = self.client.get_experiment_by_name(experiment)
        assert found is not None, self.experiments()
        runs = self.client.search_runs([found.experiment_id], order_by=["attributes.start_time ASC"])
        return [self.client.get_run(run.info.run_id) for run in runs]  # a search leaves the models of a run out

    def only_run(self, experiment: str) -> Run:
        """The run of an experiment that has one."""
        (run,) = self.runs(experiment)
        return run

    def table(self, experiment: str) -> pd.DataFrame:
        """The results of all runs of an experiment, as one reads them by hand."""
        before = fluent._active_experiment_id
        mlflow.set_experiment(experiment)
        try:
            return mlflow.load_table("eval_results_table.json", extra_columns=["run_id", "tags.llmcompare.model"])
        finally:
            fluent._active_experiment_id = before

    def log_python_model(self, name: str, predict: str, methods: str = "", **options: Any) -> str:
        """Log a user's `PythonModel` as code, registered under a name; gives its model id.

        Args:
            name: Name in the registry.
            predict: Lines of its `predict(self, context, model_input, params=None)`.
            methods: More methods.
            options: More for `mlflow.pyfunc.log_model`.
        """
        lines = indent(predict, " " * 8)
        code = self.path / f"{name}_model.py"
        code.write_text(
            "import mlflow\nimport pandas as pd\n\n\n"
            "class Users(mlflow.pyfunc.PythonModel):\n"
            f"    def predict(self, context, model_input, params=None):\n{lines}\n\n"
            f"{indent(methods, ' ' * 4)}\n\n"
            "mlflow.models.set_model(Users())\n"
        )
        with mlflow.start_run(experiment_id=self.users_experiment()):
            logged = mlflow.pyfunc.log_model(
                name=name, python_model=str(code), registered_model_name=name, pip_requirements=["mlflow"], **options
            )
        return str(logged.model_id)

    def users_experiment(self) -> str:
        """Id of an experiment that the user works in."""
        found = self.client.get_experiment_by_name("users own")
        return found.experiment_id if found else self.client.create_experiment("users own")


def models_asked(run: Run) -> list[str]:
    """Ids of the models that a run was about."""
    assert run.inputs is not None
    return [found.model_id for found in run.inputs.model_inputs]


def models_logged(run: Run) -> list[str]:
    """Ids of the models that a run has logged."""
    assert run.outputs is not None
    return [found.model_id for found in run.outputs.model_outputs]


def datasets(run: Run) -> list[Dataset]:
    """The datasets of a run."""
    assert run.inputs is not None
    return [found.dataset for found in run.inputs.dataset_inputs]


@pytest.fixture(scope="session")
def made_template(empty_store: Path) -> Path:
    """An empty MLflow database, to copy."""
    return empty_store


@pytest.fixture
def suite(
    pytester: pytest.Pytester,
    made_template: Path,
    example_models: Path,
    warm_interpreter: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Suite]:
    """An empty suite; its store is in force, by environment variable, as a user would set it."""
    store = pytester.path / "mlflow.db"
    shutil.copy(made_template, store)
    made = Suite(pytester, store, example_models, warm_interpreter)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", made.uri)
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("CI", "BUILD_NUMBER"):  # where these are set pytest cuts no message
        monkeypatch.delenv(name, raising=False)
    for name in ("MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID"):  # what a test sets is gone after it
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    # What other tests leave behind: an experiment of their store, the model that was loaded last.
    fluent._active_experiment_id = None
    mlflow.clear_active_model()
    yield made
    while mlflow.active_run() is not None:
        mlflow.end_run()
    fluent._active_experiment_id = None
    mlflow.clear_active_model()
    in_memory.release()
