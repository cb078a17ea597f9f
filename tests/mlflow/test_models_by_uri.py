"""Models that somebody has logged, named by their URI on pytest's command line."""

from __future__ import annotations

import json
from typing import Any

import mlflow
import pytest
from mlflow.models import ModelSignature
from mlflow.pyfunc.model import PythonModel
from mlflow.types import ColSpec, Schema
from transformers import pipeline

from pytest_llmcompare import PyfuncTransformer, PyfuncTransformerWithParams
from pytest_llmcompare.evaluation import model_logging

from .evaluations import CASES, Suite, made_template, models_asked, models_logged, suite

__all__ = ["made_template", "suite"]

UPPER = "return [text.upper() for text in model_input.iloc[:, 0]]"
TEXT = Schema([ColSpec("string")])


def outputs(suite: Suite, experiment: str = "trivia") -> list[str]:
    return list(suite.table(experiment)["outputs"])


def flat(result: pytest.RunResult) -> str:
    return " ".join(result.stdout.str().split())


@pytest.mark.parametrize(
    "signature",
    [None, ModelSignature(Schema([ColSpec("string", "question")]), TEXT)],
    ids=["no_signature", "signature"],
)
def test_model_of_the_users(suite: Suite, signature: ModelSignature | None) -> None:
    """A user's `PythonModel` answers, is compared, and its run is linked to it instead of logging it again."""
    model_id = suite.log_python_model("upper", UPPER, signature=signature)
    suite.client.set_registered_model_alias("upper", "champion", "1")
    suite.compare('examples="Q: Is fire hot?\\nA: Yes.\\n\\n"', name="trivia")
    suite.run("m=models:/upper@champion").assert_outcomes(passed=3)
    suite.run("m=models:/upper@champion", args=()).assert_outcomes(passed=3)
    prompts = [f"Q: IS FIRE HOT?\nA: YES.\n\n{case['input_text'].upper()}" for case in CASES]
    assert outputs(suite) == prompts * 2
    assert set(suite.table("trivia")["verdict/score"]) == {"missing", "identical"}
    for run in suite.runs("trivia"):
        assert run.data.params["source"] == "models:/upper@champion"
        assert run.data.params["revision"] == "1"
        assert (models_asked(run), models_logged(run)) == ([model_id], [])


@pytest.mark.parametrize("marked", [False, True], ids=["command_line", "marker"])
def test_order_of_models_is_that_of_the_user(suite: Suite, marked: bool) -> None:
    """Whatever kind of spec names them: the reports have the models in the order in which they were given."""
    suite.log_python_model("upper", UPPER)
    suite.client.set_registered_model_alias("upper", "champion", "1")
    specs = ["models:/upper@champion", "models:/upper/1", suite.spec("b"), suite.spec("a")]
    suite.compare(f"models={specs}" if marked else "")
    result = suite.run(*(specs[::-1] if marked else specs), args=["-q", "--llm-update", "--llm-report=r.json"])
    result.assert_outcomes(passed=12)
    report = json.loads((suite.path / "r.json").read_text())
    names = ["upper-champion", "upper-1", "b", "a"]
    assert report["tables"][0]["models"] == names
    assert [line["model"] for line in report["models"]] == (names[::-1] if marked else names)


def test_one_call_for_all_rows(suite: Suite) -> None:
    """The model is called once, with all selected rows, and loaded once for its two tables."""
    log = suite.path / "calls.txt"
    suite.log_python_model("counted", f"open({str(log)!r}, 'a').write(f'{{len(model_input)}}\\n')\n{UPPER}")
    suite.compare()
    suite.compare(name="arithmetic")
    suite.run("m=models:/counted/1").assert_outcomes(passed=6)
    assert log.read_text().split() == ["3", "3"]


def test_model_of_a_run(suite: Suite) -> None:
    """`runs:/ID/NAME` names what a run logged."""
    model_id = suite.log_python_model("upper", UPPER)
    run_id = suite.client.get_logged_model(model_id).source_run_id
    suite.compare()
    suite.run(f"m=runs:/{run_id}/upper").assert_outcomes(passed=3)
    assert outputs(suite) == [case["input_text"].upper() for case in CASES]


def test_transformers_flavour(suite: Suite, gpt2: str) -> None:
    """A model of MLflow's transformers flavour gives what its pipeline gives; its own settings are named in a note."""
    generator: Any = pipeline("text-generation", model=gpt2)
    with mlflow.start_run(experiment_id=suite.users_experiment()):
        logged = mlflow.transformers.log_model(
            generator,
            name="gpt",
            signature=ModelSignature(Schema([ColSpec("string", "text")]), TEXT),
            model_config={"max_new_tokens": 5, "do_sample": False, "return_full_text": False},
            pip_requirements=["transformers"],
            registered_model_name="gpt",
        )
    suite.compare()
    result = suite.run("m=models:/gpt/1")
    result.assert_outcomes(passed=3)
    wanted = [
        generator(case["input_text"], max_new_tokens=5, return_full_text=False, do_sample=False) for case in CASES
    ]
    assert outputs(suite) == [found[0]["generated_text"].strip() for found in wanted]  # MLflow strips them
    assert "model 'm' decodes with its own settings: the table's max_new_tokens have no effect on it." in flat(result)
    assert models_asked(suite.only_run("trivia")) == [logged.model_id]


def log_ours(suite: Suite, model: PyfuncTransformer | PyfuncTransformerWithParams) -> str:
    with mlflow.start_run(experiment_id=suite.users_experiment()):
        return str(model_logging.log(model, "ours").model_uri)


def test_pyfunc_with_params(suite: Suite, gpt2: str) -> None:
    """A `PyfuncTransformerWithParams` by its URI gets examples, settings and seeds of the rows, as a folder would."""
    uri = log_ours(suite, PyfuncTransformerWithParams(gpt2))
    suite.compare(
        'variants={"greedy": {}, "drawn": {"do_sample": True, "top_k": 5}}, examples="Q: Hi?\\nA: Yes.\\n\\n"'
    )
    suite.run(f"m={uri}", suite.spec("folder")).assert_outcomes(passed=12)
    table = suite.table("trivia")
    by_model = {model: list(rows["outputs"]) for model, rows in table.groupby("tags.llmcompare.model")}
    assert by_model["m"] == by_model["folder"]
    assert table["token_count"].notna().all()


def test_pyfunc_with_settings_of_its_own(suite: Suite, gpt2: str) -> None:
    """A `PyfuncTransformer` by its URI keeps the settings it was logged with; a note names those of the table."""
    examples = "Q: Is fire hot?\nA: Yes.\n\n"
    model = PyfuncTransformer(gpt2, {"max_new_tokens": 7}, examples)
    uri = log_ours(suite, model)
    suite.compare('examples="Q: Hi?\\nA: Ho.\\n\\n"')
    result = suite.run(f"m={uri}")
    result.assert_outcomes(passed=3)
    assert outputs(suite) == model.predict(None, [case["input_text"] for case in CASES])
    assert flat(result).count(
        "model 'm' was logged with fixed settings, so the table's examples, max_new_tokens have no effect on it. "
        "Log a PyfuncTransformerWithParams to decode each row with its own settings."
    ) == 1  # fmt: skip


def test_pyfunc_without_examples_of_its_own(suite: Suite, gpt2: str) -> None:
    """A `PyfuncTransformer` that was logged without examples gets the table's, and equal settings need no note."""
    model = PyfuncTransformer(gpt2, {"max_new_tokens": 4})
    uri = log_ours(suite, model)
    suite.compare('examples="Q: Hi?\\nA: Ho.\\n\\n"')
    result = suite.run(f"m={uri}")
    result.assert_outcomes(passed=3)
    assert outputs(suite) == model.predict(None, ["Q: Hi?\nA: Ho.\n\n" + case["input_text"] for case in CASES])
    assert "have no effect on it" not in flat(result)


def test_no_note_for_models_logged_here(suite: Suite) -> None:
    """A model that this run logs has the table's settings inside: there is nothing to note."""
    suite.compare('examples="Q: Hi?\\nA: Ho.\\n\\n", model_type=None')
    result = suite.run(suite.spec("a"))
    result.assert_outcomes(passed=3)
    assert "have no effect on it" not in flat(result)


FAULTS = {
    "raises": (
        "if any('2+2' in text for text in model_input.iloc[:, 0]):\n    raise ValueError('cannot add')\n" + UPPER,
        1,
        "error: model 'm', case 'sum': the model raised ValueError: cannot add",
    ),
    "too_few": (
        "return list(model_input.iloc[:2, 0])",
        3,
        "the model returned 2 of 3 outputs, so outputs cannot be assigned to prompts.",
    ),
    "none": ("return None", 3, "the model returned None, expected 3 texts."),
    "none_once": (
        "return [None if '2+2' in text else text for text in model_input.iloc[:, 0]]",
        1,
        "model 'm', case 'sum': the model returned None for this prompt, expected text.",
    ),
    "numbers": (
        "return [1.5] * len(model_input)",
        3,
        "model 'm', case 'sky': the model returned 1.5 (float) for this prompt, expected text.",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_models(suite: Suite, fault: str) -> None:
    """A model that raises or returns no texts fails the rows it fails, with what it did; the rest is compared."""
    predict, failing, told = FAULTS[fault]
    suite.log_python_model("faulty", predict)
    suite.compare()
    result = suite.run("m=models:/faulty/1", suite.spec("good"))
    result.assert_outcomes(passed=6 - failing, errors=failing)
    assert told.removeprefix("error: ") in flat(result)
    stored = sorted(path.name for path in (suite.path / "__baselines__" / "trivia").glob("*.baseline"))
    assert stored == ["good.baseline"] if failing == 3 else ["good.baseline", "m.baseline"]


def test_fault_loses_no_baseline(suite: Suite) -> None:
    """An update with a model that has begun to fail leaves its baselines to the byte."""
    suite.log_python_model("qa", UPPER)
    suite.compare()
    suite.run("m=models:/qa/latest").assert_outcomes(passed=3)
    baseline = suite.path / "__baselines__" / "trivia" / "m.baseline"
    before = baseline.read_bytes()
    suite.log_python_model("qa", "raise ValueError('not today')")
    suite.run("m=models:/qa/latest").assert_outcomes(errors=3)
    assert baseline.read_bytes() == before


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (
            "models:/upper@chmpion",
            "the registered model 'upper' in {} has no alias 'chmpion'. Did you mean 'champion'?",
        ),
        ("models:/uper/1", "{} has no registered model 'uper'. Did you mean 'upper'?"),
        ("models:/upper/7", "the registered model 'upper' in {} has no version 7."),
        (f"runs:/{'0' * 32}/upper", f"{{}} has no run '{'0' * 32}'."),
        ("runs:/RUN/uper", "run RUN in {} has no model 'uper'. Did you mean 'upper'?"),
        (f"models:/m-{'0' * 32}", f"{{}} has no logged model 'm-{'0' * 32}'."),
    ],
    ids=["alias", "name", "version", "run", "path", "model_id"],
)
def test_models_that_do_not_exist(suite: Suite, source: str, told: str) -> None:
    """A URI of nothing fails its own tests, with the nearest name and where to look; the other model is compared."""
    model_id = suite.log_python_model("upper", UPPER)
    suite.client.set_registered_model_alias("upper", "champion", "1")
    run_id = str(suite.client.get_logged_model(model_id).source_run_id)
    suite.compare()
    result = suite.run(f"m={source.replace('RUN', run_id)}", suite.spec("good"))
    result.assert_outcomes(passed=3, errors=3)
    told = told.format(f"MLflow at {suite.uri}").replace("RUN", run_id)
    assert f"model 'm': {told}" in flat(result)
    assert "Look with `mlflow ui`, or name another store with --llm-tracking-uri" in flat(result)
    assert [run.info.run_name for run in suite.runs("trivia")] == ["log_model_good"]


def test_pickled_model_is_refused(suite: Suite) -> None:
    """A pyfunc that was logged as a pickle is not unpickled, and the message says how to allow it."""

    class Pickled(PythonModel):
        def predict(self, context: Any, model_input: Any, params: Any = None) -> list[str]:
            return ["unpickled"] * len(model_input)

    with mlflow.start_run(experiment_id=suite.users_experiment()):
        mlflow.pyfunc.log_model(
            name="p", python_model=Pickled(), registered_model_name="p", pip_requirements=["mlflow"]
        )
    suite.compare()
    result = suite.run("m=models:/p/1")
    result.assert_outcomes(errors=3)
    result.stdout.fnmatch_lines(["model 'm' is refused: python_model.pkl in * is pickled, and * can run any code.*"])
    assert "allow_pickle" in flat(result)
