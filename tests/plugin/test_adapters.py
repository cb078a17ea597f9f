"""Adapters in a suite: recorded, checked, told from their base; broken ones fail their own tests alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import mlflow
import pytest

from pytest_llmcompare import PyfuncTransformer
from pytest_llmcompare.cli.main import main
from tests.adapters import folders_loaded, make_adapter

from .suites import ICE, Suite, says

TABLES = """
    [tool.llmcompare]
    default_models = ["base", "lora", "ia3"]

    [tool.llmcompare.models.base]
    source = "./models/base"

    [tool.llmcompare.models.lora]
    source = "./models/lora"
    base = "./models/base"

    [tool.llmcompare.models.ia3]
    source = "./models/ia3"
    base = "./models/base"
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, example_models: Path) -> Path:
    """Adapters of tiny-gpt2."""
    folder = tmp_path_factory.mktemp("made")
    for name, kind, seed in (("lora", "lora", 1), ("other", "lora", 2), ("ia3", "ia3", 1)):
        make_adapter(example_models / "tiny-gpt2", folder / name, kind, seed=seed, scale=0.1)
    return folder


@pytest.fixture
def tuned(suite: Suite, made: Path) -> Suite:
    """A suite with a base and two adapters of it."""
    suite.trivia()
    suite.write("pyproject.toml", TABLES)
    (suite.path / "models").mkdir()
    shutil.copytree(suite.models / "tiny-gpt2", suite.path / "models/base")
    for name in ("lora", "ia3"):
        shutil.copytree(made / name, suite.path / "models" / name)
    return suite


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Folders of the weights that are loaded from now on."""
    yield from folders_loaded(monkeypatch)


def test_base_and_adapters_in_one_run(tuned: Suite, loads: list[str], made: Path) -> None:
    """The base is loaded once; each records and checks identical; another adapter under the name is told apart."""
    tuned.run("--llm-update", "--llm-cache=off", models=[]).assert_outcomes(passed=9)
    assert loads == ["base"]
    result = tuned.run("--llm-cache=off", models=[])
    result.assert_outcomes(passed=9)
    for name in ("base", "lora", "ia3"):
        assert says(result, f"{name}: unchanged.")
    shutil.copytree(made / "other", tuned.path / "models/lora", dirs_exist_ok=True)
    result = tuned.run("--llm-cache=off", models=["base", "lora"])
    assert says(result, "base: unchanged.")
    assert says(result, "lora: weights changed.")


def test_answers_are_kept_until_adapter_or_base_change(tuned: Suite) -> None:
    """Both are part of the key of a kept answer."""
    tuned.run("--llm-update", models=["lora"]).assert_outcomes(passed=3)
    tuned.run(models=["lora"]).assert_outcomes(passed=3)
    assert says(tuned.run(models=["lora"]), "3 of 3 answers from the cache")
    shutil.copytree(tuned.models / "tiny-gpt2", tuned.path / "models/base", dirs_exist_ok=True)
    config = tuned.path / "models/base/generation_config.json"
    config.write_text(config.read_text(encoding="utf-8") + " ", encoding="utf-8")
    assert not says(tuned.run(models=["lora"]), "answers from the cache")


def test_against_the_base(tuned: Suite) -> None:
    """`--llm-baseline=model:base` shows what the adapter changed, and by how much."""
    result = tuned.run("--llm-baseline=model:base", models=["base", "lora"])
    assert says(result, "texts differ from their baselines")
    assert says(result, "model 'base' is not compared itself")
    assert "base" not in {line.split()[0] for line in result.outlines if line.startswith("FAILED")}


def test_broken_adapter_fails_its_own_tests(tuned: Suite) -> None:
    """In one sentence each, while base and other adapters pass."""
    tuned.run("--llm-update", models=[]).assert_outcomes(passed=9)
    (tuned.path / "models/ia3/adapter_model.safetensors").write_bytes(b"\x10")
    shutil.rmtree(tuned.path / "models/lora")
    shutil.copytree(tuned.models / "tiny-bloom", tuned.path / "models/bloom")
    make_adapter(tuned.path / "models/bloom", tuned.path / "models/lora")
    result = tuned.run(models=[])
    result.assert_outcomes(passed=3, errors=6)
    assert says(result, "adapter_model.safetensors in")
    assert says(result, "is not whole: it has 1 bytes, which is less than its header.")
    assert says(result, "was not trained on the base in")


def test_logged_adapter_loads_the_same(tuned: Suite) -> None:
    """MLflow's model knows adapter and base, wherever it is opened; the command shows both."""
    tuned.run("--llm-update", models=["lora"]).assert_outcomes(passed=3)
    (run,) = tuned.mlflow_runs()
    (model,) = mlflow.search_logged_models(experiment_ids=[run.info.experiment_id], output_format="list")
    requirements = mlflow.artifacts.load_text(f"{model.artifact_location}/requirements.txt")
    assert f"peft=={version('peft')}" in requirements.splitlines()
    pyfunc = mlflow.pyfunc.load_model(model.model_uri)
    assert pyfunc.unwrap_python_model().spec.loading.given() == {"base": str(tuned.path / "models/base")}
    own = PyfuncTransformer(f"{tuned.path}/models/lora", {"max_new_tokens": 6}, base=f"{tuned.path}/models/base")
    assert pyfunc.predict([ICE]) == own.predict(None, [ICE])
    assert own.predict(None, [ICE]) != PyfuncTransformer(f"{tuned.path}/models/base").predict(None, [ICE])


def test_models_command_shows_the_base(tuned: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the weights of the base are, and a fingerprint that is the adapter's own."""
    assert main(["models", "--root", str(tuned.path)]) == 0
    shown = capsys.readouterr().out
    assert shown.count(f"  base        {tuned.path}/models/base\n") == 2
    fingerprints = [line for line in shown.splitlines() if "fingerprint" in line]
    assert len(set(fingerprints)) == 3
