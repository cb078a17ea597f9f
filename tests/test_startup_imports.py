"""What the plugin costs those who do not use it: it loads in every pytest run of its environment."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HEAVY = (
    *("accelerate", "click", "filelock", "huggingface_hub", "jinja2", "mlflow", "numpy", "pandas", "pyarrow"),
    *("pydantic", "rich", "scipy", "tokenizers", "torch", "tqdm", "transformers", "wcwidth", "yaml"),
)

OF_LOCAL_MODELS = (
    *("accelerate", "huggingface_hub", "safetensors", "sentence_transformers", "tokenizers", "torch", "transformers"),
)
"""What only a model in this process needs; MLflow imports none of them."""

COMPARE = """
import pytest


@pytest.mark.llm_prompts(["Q: Is it cold?\\nA:"], models={models})
def test_answer(llm_output, llm_baseline):
    assert llm_output == llm_baseline
"""

LOGGED = """
import mlflow

with mlflow.start_run():
    LOGGED = mlflow.pyfunc.log_model(name="theirs", python_model="theirs.py", pip_requirements=["mlflow"])
"""

THEIRS = """
import mlflow
import pandas as pd


class Theirs(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: pd.DataFrame, params=None):
        return ["Yes."] * len(model_input)


mlflow.models.set_model(Theirs())
"""

HOOK = """


class Mine:
    def predict(self, prompts):
        return ["No."] * len(prompts)


def pytest_llmcompare_load_model(spec):
    return Mine()
"""

NOTE_IMPORTS = """
import json
import sys
from pathlib import Path


def pytest_unconfigure():
    Path("imported.json").write_text(json.dumps(sorted(sys.modules)))
"""

BASE = """
import json
import sys

import pytest

before = set(sys.modules)
import pytest_llmcompare.plugin

print(json.dumps(sorted(set(sys.modules) - before)))
"""


def run(folder: Path, *arguments: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    """pytest as its own process, with our plugin and no others."""
    command = [python, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A suite that does not use us, which notes what was imported."""
    (tmp_path / "conftest.py").write_text(NOTE_IMPORTS)
    (tmp_path / "test_other.py").write_text("def test_one():\n    assert 1 + 1 == 2\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return tmp_path


@pytest.mark.parametrize("arguments", [(), ("--help",), ("--collect-only",)])
def test_an_unrelated_run_imports_nothing_heavy(suite: Path, arguments: tuple[str, ...]) -> None:
    """Neither a run, nor `--help`, nor collecting imports a heavy library, or any of our modules that work."""
    result = run(suite, *arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    imported = json.loads((suite / "imported.json").read_text())
    assert [name for name in HEAVY if name in imported] == []
    assert "pytest_llmcompare.plugin" in imported
    ours = {name.removeprefix("pytest_llmcompare.") for name in imported if name.startswith("pytest_llmcompare.")}
    assert ours == {
        *("compat", "errors", "fixtures", "hookspecs", "models", "models.pyproject_file", "models.uris", "options"),
        *(
            "plugin",
            "run",
            "run.controller",
            "run.failures",
            "run.header",
            "run.interruption",
            "run.items",
            "run.marker_faults",
        ),
        *("run.stash", "run.timeouts", "run.uncollected", "settings", "text"),
    }


def test_an_unrelated_run_shows_and_leaves_nothing_of_ours(suite: Path) -> None:
    """A suite that does not use us has no line of ours on its terminal and no file of ours in its folder."""
    result = run(suite)
    assert "llmcompare" not in result.stdout.replace("llmcompare-0", "")  # but for pytest's own list of plugins
    assert sorted(path.name for path in suite.iterdir() if path.name != "__pycache__") == [
        *("conftest.py", "imported.json", "pytest.ini", "test_other.py"),
    ]


def test_the_plugin_imports_the_standard_library_and_pytest_only() -> None:
    """All that importing the plugin adds to a process that has pytest is the standard library and ours."""
    result = subprocess.run([sys.executable, "-c", BASE], capture_output=True, text=True, timeout=60, check=True)
    added = json.loads(result.stdout)
    foreign = {name.split(".")[0] for name in added} - {"pytest_llmcompare"} - sys.stdlib_module_names
    assert foreign == set()


def test_collecting_a_comparison_loads_no_model_and_writes_nothing(suite: Path, example_models: Path) -> None:
    """Collection reads the table and no more: no torch, no transformers, no mlflow, no file."""
    (suite / "test_other.py").write_text(
        "import pytest\n\n\n"
        "@pytest.mark.llm_prompts(['Q: Is it cold?\\nA:'])\n"
        "def test_answer(llm_output, llm_baseline):\n"
        "    assert llm_output == llm_baseline\n"
    )
    result = run(suite, "--collect-only", "-q", f"--llm-models=tiny={example_models / 'tiny-gpt2'}")
    assert "test_answer[tiny-is_it_cold_" in result.stdout, result.stdout
    imported = json.loads((suite / "imported.json").read_text())
    assert [name for name in HEAVY if name in imported] == []
    assert not (suite / "mlflow.db").exists()
    assert not (suite / "__baselines__").exists()


def test_a_run_over_echo_imports_nothing_of_local_models(suite: Path) -> None:
    """An `echo:` model is logged, evaluated and compared by MLflow alone."""
    (suite / "test_other.py").write_text(COMPARE.format(models=["echo:"]))
    result = run(suite, "--llm-update")
    assert result.returncode == 0, result.stdout + result.stderr
    imported = json.loads((suite / "imported.json").read_text())
    assert [name for name in OF_LOCAL_MODELS if name in imported] == []
    assert "mlflow" in imported


def test_a_run_over_models_of_others_imports_nothing_of_local_models(suite: Path) -> None:
    """A pyfunc that the user logged, and an object that a plugin loads, bring what they import themselves."""
    (suite / "theirs.py").write_text(THEIRS)
    (suite / "conftest.py").write_text(NOTE_IMPORTS + HOOK)
    models = '[f"theirs={LOGGED.model_uri}", "mine:x"]'
    (suite / "test_other.py").write_text(LOGGED + COMPARE.format(models=models))
    result = run(suite, "--llm-update")
    assert result.returncode == 0, result.stdout + result.stderr
    imported = json.loads((suite / "imported.json").read_text())
    assert [name for name in OF_LOCAL_MODELS if name in imported] == []


def test_a_run_from_the_answer_cache_imports_nothing_of_local_models(
    suite: Path, example_models: Path, warm_interpreter: Callable[[], str]
) -> None:
    """The first check reads the baselines, the second takes the answers from the cache: no torch, the same verdicts."""
    models = [f"tiny={example_models / 'tiny-gpt2'}"]
    (suite / "test_other.py").write_text(COMPARE.format(models=models))
    warm = warm_interpreter()
    for option, python in (("--llm-update", warm), ("--llm-cache=on", warm), ("--llm-cache=on", sys.executable)):
        result = run(suite, option, python=python)
        assert result.returncode == 0, result.stdout + result.stderr
    assert "1 of 1 answer from the cache" in result.stdout
    imported = json.loads((suite / "imported.json").read_text())
    assert [name for name in OF_LOCAL_MODELS if name in imported] == []
    assert "mlflow" in imported
