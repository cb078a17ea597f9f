"""Runs in MLflow: one per table and model, what it says of itself, and what of the user's is left alone."""

from __future__ import annotations

import json
import subprocess

import mlflow
import pytest

from .evaluations import CASES, Suite, datasets, made_template, models_asked, models_logged, suite

__all__ = ["made_template", "suite"]


def test_run_per_table_and_model(suite: Suite) -> None:
    """Each table is an experiment, named like its test, with a finished run for each model."""
    suite.compare()
    suite.compare(
        name="arithmetic", keywords='experiment="sums and more"', cases=[{"input_text": "Q: What is 1+1?\nA:"}]
    )
    suite.run(suite.spec("a"), suite.spec("b", "tiny-bloom")).assert_outcomes(passed=8)
    assert suite.experiments() == {"trivia", "sums and more"}
    for experiment in ("trivia", "sums and more"):
        runs = suite.runs(experiment)
        assert [run.info.run_name for run in runs] == ["log_model_a", "log_model_b"]
        assert {run.info.status for run in runs} == {"FINISHED"}
        assert all(run.info.end_time >= run.info.start_time for run in runs)


def test_fresh_run_per_session(suite: Suite) -> None:
    """The next session adds a run of its own; the results of the first stay as they were."""
    suite.compare()
    suite.run(suite.spec("a"))
    first = suite.only_run("trivia")
    suite.run(suite.spec("a"), args=())
    runs = suite.runs("trivia")
    assert [run.info.run_name for run in runs] == ["log_model_a", "log_model_a"]
    assert runs[0].to_dictionary() == first.to_dictionary()
    assert suite.table("trivia").groupby("run_id").size().to_list() == [3, 3]


def test_parameters(suite: Suite) -> None:
    """A run's parameters name the source, the fingerprint of the weights and the decoding settings in force."""
    suite.compare()
    suite.run(suite.spec("a"))
    run = suite.only_run("trivia")
    assert {key: run.data.params.get(key) for key in ("source", "table", "gen_config.max_new_tokens")} == {
        "source": str(suite.models / "tiny-gpt2"),
        "table": "trivia",
        "gen_config.max_new_tokens": "4",
    }
    assert len(run.data.params["fingerprint"]) == 12


def test_long_examples_are_no_fault(suite: Suite) -> None:
    """Examples longer than what MLflow takes as a parameter do not stop the run."""
    suite.compare("examples='Q: Is fire hot?\\nA: Yes.\\n\\n' * 300, name='long'", cases=[{"input_text": "Q: Hm?\nA:"}])
    result = suite.run(suite.spec("a"))
    assert "cannot be" not in result.stdout.str()
    assert suite.only_run("trivia").info.status


def test_tags(suite: Suite) -> None:
    """Tags tell which test, table, model and weights a run is about, and which commit was checked out."""
    for command in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b.example", "commit", "-q", "--allow-empty", "-m", "first"],
    ):
        subprocess.run(["git", *command], cwd=suite.path, check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=suite.path, check=True, capture_output=True, text=True)
    suite.compare()
    suite.run(suite.spec("a"))
    run = suite.only_run("trivia")
    wanted = {
        "mlflow.test.name": "test_trivia.py::test_trivia",
        "llmcompare.table": "trivia",
        "llmcompare.model": "a",
        "llmcompare.source": str(suite.models / "tiny-gpt2"),
        "llmcompare.fingerprint": run.data.params["fingerprint"],
        "mlflow.source.git.commit": head.stdout.strip(),
        "mlflow.runName": "log_model_a",
    }
    assert {name: run.data.tags.get(name) for name in wanted} == wanted
    assert "mlflow.parentRunId" not in run.data.tags


def test_dataset_and_model_are_linked(suite: Suite) -> None:
    """The table is a dataset of the run; the logged model is linked to both and carries the metrics."""
    suite.compare()
    suite.run(suite.spec("a"))
    run = suite.only_run("trivia")
    (data,) = datasets(run)
    assert data.name == "trivia"
    assert json.loads(data.profile or "")["num_rows"] == 3
    (model_id,) = models_logged(run)
    assert models_asked(run) == [model_id]
    model = suite.client.get_logged_model(model_id)
    assert model.metrics
    assert (model.name, model.source_run_id, str(model.status)) == ("a", run.info.run_id, "READY")
    assert {metric.key for metric in model.metrics} == set(run.data.metrics)
    assert {metric.dataset_name for metric in model.metrics} == {"trivia"}
    assert mlflow.pyfunc.load_model(f"models:/{model.model_id}").predict({"input_text": [CASES[0]["input_text"]]})


def test_only_selected_rows_are_evaluated(suite: Suite) -> None:
    """Under -k the dataset of the run has the selected rows only."""
    suite.compare()
    suite.run(suite.spec("a"), args=("--llm-update", "-k", "sky or sum")).assert_outcomes(passed=2, deselected=1)
    assert list(suite.table("trivia")["prompt_id"]) == ["sky", "sum"]


def test_failed_group_has_a_failed_run(suite: Suite) -> None:
    """A model that cannot be loaded leaves a failed run and fails its own tests; the other model's run is finished."""
    suite.log_python_model("broken", "return 1")
    for code in suite.path.rglob("broken_model.py"):
        code.write_text("raise RuntimeError('no such machine')\n")
    suite.compare()
    result = suite.run("bad=models:/broken/1", suite.spec("good"))
    result.assert_outcomes(passed=3, errors=3)
    result.stdout.fnmatch_lines(["*model 'bad': models:/broken/1 cannot be loaded: *no such machine*"])
    assert {run.info.run_name: run.info.status for run in suite.runs("trivia")} == {
        "log_model_bad": "FAILED",
        "log_model_good": "FINISHED",
    }


def test_run_without_any_output_failed(suite: Suite) -> None:
    """A run in which the model answered nothing at all is marked failed."""
    suite.log_python_model("mute", "return [None] * len(model_input)")
    suite.compare()
    suite.run("mute=models:/mute/1").assert_outcomes(errors=3)
    assert suite.only_run("trivia").info.status == "FAILED"


def test_no_secrets(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys in the environment appear nowhere in the store, the artifacts or the output."""
    for name in ("HF_TOKEN", "OPENAI_API_KEY", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "hush-hush-1234")
    suite.compare()
    result = suite.run(suite.spec("a"))
    result.assert_outcomes(passed=3)
    files = [path for path in suite.path.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert [path for path in files if b"hush-hush-1234" in path.read_bytes()] == []
    assert "hush-hush" not in result.stdout.str() + result.stderr.str()


USERS_RUN = """
import mlflow
import pytest


@pytest.fixture(scope="session", autouse=True)
def users_run():
    mlflow.set_experiment("users own")
    with mlflow.start_run(run_name="nightly", tags={"mine": "yes"}) as run:
        yield run
        assert mlflow.active_run().info.run_id == run.info.run_id
        mlflow.log_metric("after", 1)
    assert mlflow.start_run().info.experiment_id == run.info.experiment_id
    mlflow.end_run()
"""


def test_users_run_is_nested_under_and_left_alone(suite: Suite) -> None:
    """Beneath a run of the user's own, ours are its children; it gets no tag, parameter or metric of ours."""
    suite.pytester.makeconftest(USERS_RUN)
    suite.compare()
    suite.run(suite.spec("a")).assert_outcomes(passed=3)
    ours = suite.only_run("trivia")
    _, users = sorted(suite.runs("users own"), key=lambda run: run.info.run_name == "nightly")
    assert ours.data.tags["mlflow.parentRunId"] == users.info.run_id
    assert users.info.status == "FINISHED"
    assert (users.data.params, users.data.metrics) == ({}, {"after": 1})
    assert not [name for name in users.data.tags if name.startswith(("llmcompare", "mlflow.test"))]
    assert users.data.tags["mine"] == "yes"
    assert (models_logged(users), models_asked(users), datasets(users)) == ([], [], [])


def test_run_of_the_environment_is_nested_under(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that a launcher announces by MLFLOW_RUN_ID is not taken over: ours is its child, the variable stays."""
    users = suite.client.create_run(suite.users_experiment())
    monkeypatch.setenv("MLFLOW_RUN_ID", users.info.run_id)
    suite.pytester.makeconftest(
        "import os\n\ndef pytest_sessionfinish():\n    print('the run is', os.environ['MLFLOW_RUN_ID'])\n"
    )
    suite.compare()
    result = suite.run(suite.spec("a"))
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines([f"*the run is {users.info.run_id}"])
    ours = suite.only_run("trivia")
    assert (ours.info.run_name, ours.data.tags["mlflow.parentRunId"]) == ("log_model_a", users.info.run_id)
    after = suite.client.get_run(users.info.run_id)
    assert (after.info, after.data.to_dictionary()) == (users.info, users.data.to_dictionary())


STATE = """
import os

import mlflow
import pytest


def state():
    return mlflow.get_tracking_uri(), mlflow.get_active_model_id(), os.environ.get("MLFLOW_TRACKING_URI")


def pytest_configure():
    mlflow.set_active_model(name="users_model")
    pytest.before = state()


def pytest_sessionfinish():
    assert state() == pytest.before
    print("all as before", mlflow.active_run())
"""


@pytest.mark.parametrize("elsewhere", [False, True])
def test_users_settings_of_mlflow_are_left_alone(suite: Suite, *, elsewhere: bool) -> None:
    """Tracking URI and active model are the user's again after each test, whichever store we logged to."""
    suite.pytester.makeconftest(STATE)
    suite.compare()
    option = [f"--llm-tracking-uri=sqlite:///{suite.path / 'other.db'}"] if elsewhere else []
    result = suite.run(suite.spec("a"), args=["--llm-update", "-s", *option])
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["*all as before None"])
    assert ("trivia" in suite.experiments()) is not elsewhere


def test_nested_only_in_the_same_store(suite: Suite) -> None:
    """With a store of our own the user's run, which that store does not know, is no parent of ours."""
    suite.pytester.makeconftest(USERS_RUN)
    suite.compare()
    other = f"sqlite:///{suite.path / 'other.db'}"
    suite.run(suite.spec("a"), args=["--llm-update", f"--llm-tracking-uri={other}"]).assert_outcomes(passed=3)
    client = mlflow.MlflowClient(tracking_uri=other)
    found = client.get_experiment_by_name("trivia")
    assert found is not None
    (run,) = client.search_runs([found.experiment_id])
    assert "mlflow.parentRunId" not in run.data.tags
