"""Models of a kind that a plugin loads: what it may give, how it is logged and asked, what is refused."""

from __future__ import annotations

import gc
import re
import weakref
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from pytest_llmcompare.errors import ModelError
from pytest_llmcompare.evaluation import model_logging, plugin_models
from pytest_llmcompare.models.spec import ModelSpec, SourceKind
from pytest_llmcompare.suite.extensions import Given

from .suites import TRIVIA, Suite, said
from .test_verdicts import message

OBJECT = """
    class Echo:
        fingerprint = "v1"

        def __init__(self, end):
            self.end = end

        def predict(self, prompts):
            assert type(prompts) is list
            return [f"{len(prompt)}{self.end}" for prompt in prompts]

    def pytest_llmcompare_load_model(spec):
        kind, _, end = spec.source.partition(":")
        return Echo(end) if kind == "mine" else None
"""
PYTHON_MODEL = """
    import mlflow
    import pandas as pd

    class Echo(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input{hint}, params=None):
            return [{answer} for text in {rows}]

    def pytest_llmcompare_load_model(spec):
        return Echo()
"""
CODE = """
    import mlflow
    from mlflow.models import ModelConfig, set_model
    import pandas as pd

    class Echo(mlflow.pyfunc.PythonModel):
        def __init__(self, source):
            self.source = source

        def predict(self, context, model_input: pd.DataFrame, params=None):
            return [f"{len(text)} {self.source}" for text in model_input.iloc[:, 0]]

    set_model(Echo(ModelConfig().get("source")))
"""
LOAD = "def pytest_llmcompare_load_model(spec):\n    return {given}\n"
HOOK = "pytest_llmcompare_load_model in conftest.py"
EXPECTED = (
    "an object with predict(list of texts), an mlflow.pyfunc.PythonModel, or the path of a .py file with models from "
    "code"
)


def outputs(suite: Suite, name: str = "m") -> list[str]:
    """The recorded outputs of the table."""
    text = (suite.path / f"__baselines__/trivia/{name}.baseline").read_text(encoding="utf-8")
    return re.findall(r"^\|(.*)$", text, re.MULTILINE)


def model_of(suite: Suite) -> str:
    """URI of the model of the suite's only run."""
    (run,) = suite.mlflow_runs()
    outputs = mlflow.MlflowClient().get_run(run.info.run_id).outputs
    assert outputs is not None
    (logged,) = outputs.model_outputs
    return f"models:/{logged.model_id}"


LENGTHS = [len(str(row["prompt"])) for row in sorted(TRIVIA, key=lambda row: str(row["id"]))]
"""Characters of the prompts, in the order of a baseline file."""


@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_an_object_is_recorded_and_compared(suite: Suite, workers: tuple[str, ...]) -> None:
    """It is asked for texts, its version is recorded, and another one behind the name drifts."""
    suite.trivia()
    suite.write("conftest.py", OBJECT)
    run = suite.run_apart if workers else suite.run
    run("--llm-update", *workers, models=["m=mine:!"]).assert_outcomes(passed=3)
    assert outputs(suite) == [f"{length}!" for length in LENGTHS]
    text = (suite.path / "__baselines__/trivia/m.baseline").read_text(encoding="utf-8")
    assert f"#env e1 mlflow={mlflow.__version__} weights=v1\n" in text
    (logged,) = suite.mlflow_runs()
    assert logged.data.tags["llmcompare.source"] == "mine:!"
    assert logged.data.tags["llmcompare.fingerprint"] == "v1"
    suite.run(models=["m=mine:!"]).assert_outcomes(passed=3)
    result = suite.run(models=["m=mine:?"])
    result.assert_outcomes(failed=3)
    assert message(result, "test_trivia[m-sky]")[0] == "drift @char 3/3 '28!' -> '28?'"


def test_a_named_model_of_the_file(suite: Suite) -> None:
    """Its table in pyproject.toml reaches the hook, and a spec without a name is named by its end."""
    suite.trivia()
    suite.write(
        "pyproject.toml",
        """
        [tool.llmcompare.models.mine]
        source = "mine:a/b"
        revision = "r7"
        dtype = "float16"
        """,
    )
    suite.write(
        "conftest.py",
        OBJECT.replace("return Echo(end)", 'return Echo(f"{spec.name} {end} {spec.revision} {spec.dtype}")'),
    )
    suite.run("--llm-update", models=["mine", "mine:c/d"]).assert_outcomes(passed=6)
    assert outputs(suite, "mine")[0] == f"{LENGTHS[0]}mine a/b r7 float16"
    assert outputs(suite, "d")[0] == f"{LENGTHS[0]}d c/d None None"


@pytest.mark.parametrize(
    ("hint", "rows", "answer"),
    [
        ("", "model_input.iloc[:, 0]", "str(len(text))"),
        (": pd.DataFrame", "model_input['input_text']", "str(len(text))"),
        (": list[str]", "model_input", "str(len(text))"),
    ],
    ids=["plain", "frame", "texts"],
)
def test_a_python_model_gets_what_it_declares(suite: Suite, hint: str, rows: str, answer: str) -> None:
    """As any pyfunc, whatever its annotation makes MLflow hand it."""
    suite.trivia()
    suite.write("conftest.py", PYTHON_MODEL.format(hint=hint, rows=rows, answer=answer))
    suite.run("--llm-update", models=["m=mine:x"]).assert_outcomes(passed=3)
    assert outputs(suite) == [str(length) for length in LENGTHS]
    assert "weights=unknown" in (suite.path / "__baselines__/trivia/m.baseline").read_text(encoding="utf-8")


def test_our_pyfunc_shows_its_tokens(suite: Suite) -> None:
    """A plugin may give ours with settings of its own; then tokens are compared, not texts alone."""
    suite.trivia(recorded=True)
    suite.write(
        "conftest.py",
        f"""
        def pytest_llmcompare_load_model(spec):
            from pytest_llmcompare import PyfuncTransformer

            folder = {str(suite.models)!r} + "/" + spec.source.partition(":")[2]
            return PyfuncTransformer(folder, {{"max_new_tokens": 6}})
        """,
    )
    suite.run(models=["m=ours:tiny-gpt2"]).assert_outcomes(passed=3)
    result = suite.run(models=["m=ours:tiny-gpt2-distil"])
    result.assert_outcomes(passed=2, failed=1)
    assert message(result, "test_trivia[m-ice]")[0].startswith("drift @tok 1/6 ' Yes' -> ' I' margin 4.1")


def test_models_from_code_can_be_loaded_later(suite: Suite) -> None:
    """The file is told which model it is, its content is the fingerprint, and MLflow has all of it."""
    suite.trivia()
    suite.write("code/echo.py", CODE)
    suite.write("conftest.py", LOAD.format(given="'code/echo.py'"))
    suite.run("--llm-update", models=["m=mine:x"]).assert_outcomes(passed=3)
    assert outputs(suite) == [f"{length} mine:x" for length in LENGTHS]
    (logged,) = suite.mlflow_runs()
    fingerprint = logged.data.tags["llmcompare.fingerprint"]
    assert re.fullmatch("[0-9a-f]{12}", fingerprint)
    plugin_models.release()
    later = mlflow.pyfunc.load_model(model_of(suite))
    assert later.predict(pd.DataFrame({"input_text": ["four"]})) == ["4 mine:x"]


def test_an_object_cannot_be_loaded_later(suite: Suite) -> None:
    """What MLflow has of it says so, and what to do."""
    suite.trivia()
    suite.write("conftest.py", OBJECT)
    suite.run("--llm-update", models=["m=mine:!"])
    uri = model_of(suite)
    with pytest.raises(ModelError) as caught:
        model_logging.load(uri, ModelSpec("late", uri, SourceKind.MLFLOW))
    assert str(caught.value) == (
        "model 'm' (mine:!) was loaded by a pytest plugin and exists only in that run.\n"
        "To load it from MLflow, let pytest_llmcompare_load_model return the path of a file with models from code."
    )


def test_one_model_is_in_memory_at_a_time(suite: Suite) -> None:
    """The former is freed before the hook loads the next; one that serves several tables is loaded once."""
    suite.trivia()
    suite.write("test_more.py", "from test_trivia import test_trivia as test_more")
    suite.write("conftest.py", OBJECT + COUNT)
    result = suite.run("--llm-update", "-s", models=["m=mine:!", "n=mine:?", "t=" + str(suite.models / "tiny-gpt2")])
    result.assert_outcomes(passed=18)
    assert [line.partition("LOADS ")[2] for line in result.outlines if "LOADS " in line] == ["! beside 0", "? beside 0"]
    gc.collect()
    assert plugin_models._held.given is None


COUNT = """
    import weakref

    alive = weakref.WeakSet()

    def pytest_llmcompare_load_model(spec):
        print(f"\\nLOADS {spec.source.partition(':')[2]} beside {len(alive)}")
        model = Echo(spec.source.partition(":")[2])
        alive.add(model)
        return model
"""


@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_the_model_itself_is_there_for_tests(suite: Suite, workers: tuple[str, ...]) -> None:
    """`llm_model` is the loaded pyfunc, in whatever process asks for it."""
    suite.write("conftest.py", OBJECT)
    test = """
        import pytest

        @pytest.mark.parametrize("number", range(4))
        @pytest.mark.llm_prompts([{"prompt": "Hi"}], name="hi", model_type=None)
        def test_model(llm_model, number):
            assert llm_model.predict(["four"]) == ["4!"]
    """
    suite.write("test_model.py", test)
    (suite.run_apart if workers else suite.run)(*workers, models=["m=mine:!"]).assert_outcomes(passed=4)


def test_a_row_that_the_model_cannot_answer_is_an_error_of_its_own(suite: Suite) -> None:
    """The others are answered."""
    suite.trivia()
    suite.write("conftest.py", OBJECT.replace("{len(prompt)}", "{1 / ('sky' not in prompt)}"))
    result = suite.run("--llm-update", models=["m=mine:!"])
    result.assert_outcomes(passed=2, errors=1)
    assert said(result, "model 'm', case 'sky'") == (
        "model 'm', case 'sky': the model raised ZeroDivisionError: division by zero"
    )


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("3", f"pytest_llmcompare_load_model in conftest.py returned 3 (int), expected {EXPECTED}."),
        ("dict", f"pytest_llmcompare_load_model in conftest.py returned <class 'dict'> (type), expected {EXPECTED}."),
        (
            "'no/such.py'",
            (f"{HOOK} returned 'no/such.py', which is not a .py file. Expected {EXPECTED}."),
        ),
        (
            "type('M', (), {'fingerprint': 'two words', 'predict': print})()",
            (
                f"{HOOK} gave a model with the fingerprint 'two words' (str), expected "
                "1 to 64 letters, digits, and the signs . _ + -, such as '2024-05-01'."
            ),
        ),
        (
            "spec.no_such",
            (
                "pytest_llmcompare_load_model in conftest.py, line 2, raised AttributeError: "
                "'ModelSpec' object has no attribute 'no_such'"
            ),
        ),
        (
            "None",
            "no plugin knows the kind 'mine'; each pytest_llmcompare_load_model returned None.",
        ),
        (
            "'broken.py'",
            (
                "what pytest_llmcompare_load_model in conftest.py returned cannot be logged in MLflow: "
                "MlflowException: Failed to run user code from *broken.py. Error: not today. *"
            ),
        ),
    ],
    ids=["number", "class", "no file", "fingerprint", "raises", "none", "broken code"],
)
def test_models_that_are_none(suite: Suite, value: str, told: str) -> None:
    """The tests of that model are errors that say why; those of another model pass."""
    suite.trivia(recorded=True)
    suite.write("broken.py", "raise ValueError('not today')\n")
    suite.write("conftest.py", LOAD.format(given=value))
    result = suite.run(models=[suite.spec(), "e=mine:x"])
    result.assert_outcomes(passed=3, errors=3)
    result.stdout.fnmatch_lines([line.replace("[", "[[]") for line in [f"model 'e' (mine:x): {told}"]])


NO_HOOK = (
    "A model of a kind of your own is loaded by the hook pytest_llmcompare_load_model, in a plugin or in the "
    "conftest.py of pytest's root folder."
)


def test_without_a_hook_the_run_ends_before_it_starts(suite: Suite) -> None:
    """A kind that nobody loads is a usage error, which names the hook."""
    suite.trivia()
    result = suite.run(models=["m=mine:x"])
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert NO_HOOK in result.stderr.str()


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("m=mine:", "there is nothing after 'mine:'. Expected mine:ANYTHING, in the form that its plugin takes."),
        ("m=openai:gpt", "a served model needs a name and an address."),
        ("m=models:x", "'models:x' is not a complete MLflow model URI."),
    ],
)
def test_with_a_hook_what_has_a_meaning_keeps_it(suite: Suite, spec: str, told: str) -> None:
    """No plugin is asked for what is ours, or for nothing."""
    suite.trivia()
    suite.write("conftest.py", OBJECT)
    result = suite.run(models=[spec])
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"model spec {spec!r}: {told}" in result.stderr.str()


def test_a_released_model_is_let_go() -> None:
    """Nothing of ours refers to it then."""

    class Model:
        def predict(self, prompts: list[str]) -> list[str]:
            return prompts

    spec = ModelSpec("m", "mine:x", SourceKind.OTHER)
    held = plugin_models.hold(spec, lambda _: Given(Model(), "a plugin"), Path())
    assert isinstance(held.model, plugin_models.TextModel)
    alive = weakref.ref(held.model.inner)
    del held
    gc.collect()
    assert alive() is not None
    plugin_models.release()
    gc.collect()
    assert alive() is None
