"""git repositories for tests: real ones, with nothing of the machine's own settings."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

GIT_ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    **{f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}


def git(folder: Path, *command: str) -> str:
    """Run git in a folder; what it prints."""
    ended = subprocess.run(
        ["git", *command], cwd=folder, env=GIT_ENVIRONMENT, check=False, timeout=60, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def init(folder: Path) -> None:
    """An empty repository whose branch is `main`."""
    folder.mkdir(exist_ok=True)
    git(folder, "init", "-q", "-b", "main")


def commit(folder: Path) -> str:
    """Commit all that is there; the hash."""
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", "change")
    return git(folder, "rev-parse", "HEAD")
