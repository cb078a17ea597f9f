"""Where the plugin is off, or what is ours lies among the user's files, other tools go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_llmcompare import hookspecs

from .suites import Suite


def test_hooks_that_are_marked_as_optional_do_not_stop_pytest(suite: Suite) -> None:
    """All of ours, in a run with `-p no:llmcompare`."""
    names = [name for name in vars(hookspecs) if name.startswith("pytest_llmcompare_")]
    assert len(names) >= 7
    hooks = [f"@pytest.hookimpl(optionalhook=True)\ndef {name}():\n    return None\n" for name in names]
    suite.write("conftest.py", "import pytest\n\n\n" + "\n\n".join(hooks))
    suite.write("test_other.py", "def test_other():\n    pass\n")
    suite.run("-p", "no:llmcompare", models=[]).assert_outcomes(passed=1)


@pytest.mark.parametrize("name", ["_logged_code", "_held_code"])
def test_coverage_counts_no_line_of_what_mlflow_keeps_of_ours(name: str) -> None:
    """`--cov=.` finds a copy of it among the artifacts in the user's folder."""
    coverage = pytest.importorskip("coverage")
    path = Path(hookspecs.__file__).parent / "evaluation" / f"{name}.py"
    _, statements, excluded, _, _ = coverage.Coverage(data_file=None, pyproject_file=False).analysis2(str(path))
    assert statements == []
    assert len(excluded) >= 4
