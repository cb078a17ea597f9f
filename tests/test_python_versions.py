"""Versions agree everywhere: the oldest Python, lower bounds, known-good versions, extras and dependency groups."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from .platforms import needs_posix

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FLOOR = PROJECT["project"]["requires-python"].removeprefix(">=")


def minor(version: str) -> int:
    return int(version.partition(".")[2])


def test_tools_and_metadata() -> None:
    """Classifiers begin with the floor and leave none out; ruff and mypy check for it; nox runs all of them."""
    classifiers = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["project"]["classifiers"]))
    assert classifiers[0] == FLOOR
    assert [minor(one) for one in classifiers] == [minor(FLOOR) + at for at in range(len(classifiers))]
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py{FLOOR.replace('.', '')}"
    assert PROJECT["tool"]["mypy"]["python_version"] == FLOOR
    assert re.findall(r'"(3\.\d+)"', (ROOT / "noxfile.py").read_text(encoding="utf-8")) == classifiers


@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md", "docs/contributing.md"])
def test_pages(page: str) -> None:
    """Where a page names the Python that is needed, it is the floor."""
    assert re.findall(r"Python (3\.\d+) or newer", (ROOT / page).read_text(encoding="utf-8")) == [FLOOR]


def test_no_code_for_older_ones() -> None:
    """What only an older Python would run is gone."""
    for folder in ("pytest_llmcompare", "tests", "benchmarks", "example_suite", "docs"):
        for path in (ROOT / folder).rglob("*.py"):
            if path != Path(__file__):
                assert not re.search(r"sys\.version_info|import tomli\b", path.read_text(encoding="utf-8")), path


def name_of(requirement: str) -> str:
    """The package that a requirement names, in lower case."""
    match = re.match(r"[\w.-]+", requirement)
    assert match
    return match[0].lower().replace("_", "-")


def test_every_dependency_has_a_lower_bound_and_a_known_good_version() -> None:
    """The session `lowest` takes the bounds, the README's command the known-good versions."""
    pinned = {
        name_of(line)
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if line[:1] not in ("", "#")
    }
    for requirement in PROJECT["project"]["dependencies"]:
        assert re.fullmatch(r"[\w.-]+>=[\d.]+", requirement)
        assert name_of(requirement) in pinned


def test_dependency_groups_are_the_extra() -> None:
    """`--group dev` and the extra `test` install the same, and pre-commit."""
    groups = PROJECT["dependency-groups"]

    def members(name: str) -> set[str]:
        parts = [{one} if isinstance(one, str) else members(one["include-group"]) for one in groups[name]]
        return set().union(*parts)

    extras = PROJECT["project"]["optional-dependencies"]
    required = {name_of(requirement) for requirement in PROJECT["project"]["dependencies"]}
    assert members("docs") == set(extras["docs"])
    extra = {*extras["docs"], *extras["test"]} - {"pytest-llmcompare[docs]"}
    more = members("dev") - extra
    assert extra <= members("dev")
    assert {name_of(requirement) for requirement in more} - required == {"pre-commit"}


@needs_posix
@pytest.mark.parametrize("version", ["3.10.9", ""])
def test_script_of_ci_refuses_older_ones(version: str, tmp_path: Path) -> None:
    """Before it installs anything, with the version that it found."""
    python = tmp_path / "python"
    if version:
        python.write_text(f'#!/bin/sh\nif [ "$1" = --version ]; then echo Python {version}; exit; fi\nexit 1\n')
        python.chmod(0o755)
    ended = subprocess.run(
        [shutil.which("bash") or "bash", ROOT / ".ci" / "run"],
        env={"PYTHON": str(python), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert f"Python {FLOOR} or newer is needed" in ended.stderr
    assert (f"Python {version}" if version else "not there") in ended.stderr
