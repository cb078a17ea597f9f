"""The public names: what a user may import, and that asking for one imports no more than it needs."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points, version

import pytest

import pytest_llmcompare

NAMES = (
    *("Baseline", "Case", "Comparison", "Finding", "Generation", "GroupResult", "Judgement", "LlmCompareError"),
    *("ModelSpec", "ModelVerdict", "PyfuncTransformer", "PyfuncTransformerWithParams", "Summary", "Verdict", "compare"),
    "log_model",
)


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    """Each name can be imported and says what it is."""
    found = getattr(pytest_llmcompare, name)
    assert (found.__doc__ or "").strip()


def test_there_are_no_other_public_names() -> None:
    """`__all__` and `dir()` list the public names, all of them."""
    assert tuple(pytest_llmcompare.__all__) == NAMES
    assert tuple(dir(pytest_llmcompare)) == NAMES


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As for any module."""
    with pytest.raises(AttributeError, match="module 'pytest_llmcompare' has no attribute 'PyfuncTransformr'"):
        _ = pytest_llmcompare.PyfuncTransformr


def test_a_light_name_imports_no_heavy_library() -> None:
    """`from pytest_llmcompare import Generation` in a conftest costs nothing."""
    code = "import sys; from pytest_llmcompare import Case, ModelSpec, Summary, Verdict; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert set(found.stdout.split()).isdisjoint({"mlflow", "numpy", "pandas", "torch", "transformers"})


def test_the_package_registers_plugin_and_command() -> None:
    """pytest finds the plugin as `llmcompare`; the shell finds `llmcompare`."""
    plugins = {point.name: point.value for point in entry_points(group="pytest11")}
    scripts = {point.name: point.value for point in entry_points(group="console_scripts")}
    assert plugins["llmcompare"] == "pytest_llmcompare.plugin"
    assert scripts["llmcompare"] == "pytest_llmcompare.cli.main:main"
    assert version("pytest-llmcompare")
