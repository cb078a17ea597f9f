"""Facts that identify a run: time, commit and branch, baselines, machine."""

from __future__ import annotations

import os
import platform
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from pytest_llmcompare.baselines.sources.git import git
from pytest_llmcompare.errors import SourceError

BRANCH_VARIABLES = ("GITHUB_HEAD_REF", "GITHUB_REF_NAME", "CI_COMMIT_REF_NAME")
"""Where CI services name the branch; they check out a commit without one."""


def identity(root: Path, baselines: str) -> dict[str, str]:
    """Facts of this run by name; those that are unknown are left out.

    Args:
        root: pytest's root folder.
        baselines: The source of baselines.
    """
    branch = _git(root, "symbolic-ref", "--short", "-q", "HEAD")
    branch = branch or next(filter(None, map(os.environ.get, BRANCH_VARIABLES)), "")
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    commit = _git(root, "rev-parse", "HEAD")
    facts = {
        "time": datetime.now().astimezone().isoformat(sep=" ", timespec="seconds"),
        "commit": commit + (" with changes that are not committed" if commit and changed else ""),
        "branch": branch,
        "baselines": baselines,
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "pytest-llmcompare": version("pytest-llmcompare"),
    }
    return {name: fact for name, fact in facts.items() if fact}


def _git(root: Path, *arguments: str) -> str:
    """What git prints; empty if there is no repository, or no git."""
    try:
        result = git(root, *arguments)
    except SourceError:  # no git
        return ""
    return result.stdout.decode("utf-8", "replace").strip() if result.returncode == 0 else ""
