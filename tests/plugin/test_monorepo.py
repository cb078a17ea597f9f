"""Settings that lie beside the tests but are not read, because pytest's root folder is another one, are named."""

from __future__ import annotations

import pytest

from .suites import Suite

TEST = """
import pytest

@pytest.mark.llm_prompts(["one"], name="{name}")
def test_it(llm_output, llm_baseline):
    assert llm_output == llm_baseline
"""
SECTION = '[tool.llmcompare]\ndefault_models = ["gpt2"]\n'
NAMES = ("a", "b")


@pytest.fixture
def packages(suite: Suite) -> Suite:
    for name in NAMES:
        suite.write(f"packages/{name}/test_{name}.py", TEST.format(name=name))
    return suite


def said(suite: Suite, *args: str) -> str:
    """What a run without models says, wherever its lines break."""
    result = suite.run("-q", *args, models=[])
    assert result.ret == 1
    return " ".join(result.stdout.str().replace("\nE ", "\n").split())


def test_a_package_with_settings_of_its_own(packages: Suite) -> None:
    """From the root of the repository: which file was not read, and two ways to have it read."""
    packages.write("pyproject.toml", '[project]\nname = "all"\n')
    packages.write("packages/a/pyproject.toml", SECTION)
    text = said(packages, "packages/a", "packages/b")
    assert text.count("no models to compare") >= len(NAMES)
    assert text.count("packages/a/pyproject.toml has a section [tool.llmcompare] that was not read") == 1
    assert "pytest --rootdir=packages/a packages/a" in text
    assert "cd packages/a && pytest" in text


def test_settings_above_the_root_folder(packages: Suite) -> None:
    """A `pytest.ini` in a subfolder makes that the root folder."""
    packages.write("pyproject.toml", SECTION)
    packages.write("packages/b/pytest.ini", "[pytest]\n")
    text = said(packages, "packages/b")
    assert "pyproject.toml has a section [tool.llmcompare] that was not read" in text
    assert "pytest --rootdir=. packages/b" in text
    assert "cd ." not in text


def test_nothing_is_said_where_there_is_no_such_section(packages: Suite) -> None:
    """Another tool's file in the package is none of ours."""
    packages.write("pytest.ini", "[pytest]\n")
    packages.write("packages/a/pyproject.toml", '[tool.other]\nname = "a"\n')
    assert "was not read" not in said(packages, "packages/a")


def test_what_the_message_says_to_do_works(packages: Suite) -> None:
    """With that root folder the models of the package are the models of its tests."""
    packages.write("pytest.ini", "[pytest]\n")
    packages.write("packages/a/pyproject.toml", f'[tool.llmcompare]\ndefault_models = ["{packages.spec()}"]\n')
    result = packages.run("--rootdir=packages/a", "--collect-only", "-q", "packages/a", models=[])
    assert result.ret == 0
    assert any("[m-" in line for line in result.outlines)
