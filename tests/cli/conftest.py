"""A project with pending outputs, as a run of pytest leaves it."""

from __future__ import annotations

from pathlib import Path

import pytest

from .projects import Project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An empty project, which is the working folder."""
    root = tmp_path / "project"
    (root / "tests").mkdir(parents=True)
    (root / "pyproject.toml").touch()
    monkeypatch.chdir(root)
    return Project(root)
