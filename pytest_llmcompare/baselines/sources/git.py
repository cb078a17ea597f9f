"""A git repository, read with the git command: commits by name, and their files."""

from __future__ import annotations

import difflib
import os
import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pytest_llmcompare.baselines.regular_file import LARGEST
from pytest_llmcompare.errors import SourceError


def git_commit(folder: Path) -> str:
    """Hash of the commit that is checked out in a folder; empty if there is none."""
    try:
        result = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""


SECONDS = 30.0  # for one call; a partial clone may have to fetch a file
HASH = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
OF_ANOTHER_REPOSITORY = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
"""Variables that git sets for its hooks; the repository that counts is the one around pytest's root folder."""

ENVIRONMENT = {"GIT_TERMINAL_PROMPT": "0", "GIT_LITERAL_PATHSPECS": "1", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}


@dataclass(frozen=True)
class Repository:
    """The repository around a folder.

    Attributes:
        root: The folder.
        prefix: Its path in the repository, with `/` at the end; empty for the repository's own.
    """

    root: Path
    prefix: str

    def commit(self, ref: str) -> str:
        """Resolve a branch, a tag or an abbreviated hash to the hash of its commit.

        Raises:
            SourceError: There is no such branch, tag or commit.
        """
        if not ref or ref.startswith("-") or not ref.isprintable():
            raise SourceError(f"{ref!r} cannot name a commit. Name a branch, a tag or a commit: git:origin/main")
        result = git(self.root, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
        if result.returncode or not HASH.fullmatch(_text_of(result)):  # `^main` excludes a commit, and names none
            raise SourceError(self.unknown(ref))
        return _text_of(result)

    def unknown(self, ref: str) -> str:
        """The message about a name that does not exist: near names, and the command that fetches it."""
        names = _lines_of(git(self.root, "for-each-ref", "--format=%(refname:short)"))
        near = [name for name in names if name.endswith(f"/{ref}")] or difflib.get_close_matches(ref, names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        fetch = self.fetch(ref)
        way_out = f"Fetch it: {fetch}" if fetch else "See what there is: git branch --all; git tag"
        return f"there is no branch, tag or commit {ref!r} in the repository of {self.root}.{hint}\n{way_out}"

    def fetch(self, ref: str) -> str:
        """The command that fetches a name; empty if the repository has no remote."""
        remotes = _lines_of(git(self.root, "remote"))
        if not remotes:
            return ""
        shallow = _text_of(git(self.root, "rev-parse", "--is-shallow-repository")) == "true"
        command = ["git", "fetch"]
        depth = ["--depth=1"] if shallow else []
        for remote in remotes:
            if branch := ref.removeprefix(f"{remote}/") if ref.startswith(f"{remote}/") else "":
                # A clone of a single branch fetches others only if the refspec says where to.
                return shlex.join([*command, *depth, remote, f"{branch}:refs/remotes/{remote}/{branch}"])
        first = "origin" if "origin" in remotes else remotes[0]
        if HASH.fullmatch(ref):
            return shlex.join([*command, *depth, first, ref])
        return shlex.join([*command, *(["--unshallow"] if shallow else []), "--tags", first])

    def names(self, commit: str, folder: str) -> list[str]:
        """Names in a folder of a commit; empty if there is no such folder.

        Args:
            commit: Hash of the commit.
            folder: Path in the repository.

        Raises:
            SourceError: The commit cannot be read.
        """
        result = git(self.root, "ls-tree", "-z", "--name-only", "--full-tree", commit, "--", f"{folder}/")
        if result.returncode:
            raise SourceError(f"commit {commit[:8]} cannot be read: {_complaint_of(result)}")
        return [os.fsdecode(name).rpartition("/")[2] for name in result.stdout.split(b"\0") if name]

    def content(self, commit: str, path: str) -> bytes:
        """Content of a file of a commit.

        Raises:
            SourceError: It cannot be read.
        """
        size = _text_of(git(self.root, "cat-file", "-s", f"{commit}:{path}"))
        if size.isdecimal() and int(size) > LARGEST:
            raise SourceError(f"{commit[:8]}:{path} has {int(size):,} bytes, expected at most {LARGEST:,}.")
        result = git(self.root, "cat-file", "blob", f"{commit}:{path}")
        if result.returncode:
            raise SourceError(f"{commit[:8]}:{path} cannot be read: {_complaint_of(result)}")
        return result.stdout


def repository_of(root: Path) -> Repository:
    """The repository around a folder.

    Raises:
        SourceError: There is none, or no git to read it.
    """
    result = git(root, "rev-parse", "--show-toplevel", "--show-prefix")
    if result.returncode:
        # For a folder of another user, as in containers of CI services, git's own message names the command.
        allowing = [line.strip() for line in os.fsdecode(result.stderr).splitlines() if "git config" in line]
        way_out = (
            f"Allow it: {allowing[0]}" if allowing else "Run in a clone, or compare with files: --llm-baseline=files"
        )
        raise SourceError(f"{root} is in no git repository that can be read: {_complaint_of(result)}\n{way_out}")
    return Repository(root, os.fsdecode(result.stdout).split("\n")[-2])


def git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run git; the caller checks its exit status.

    Raises:
        SourceError: It is not installed, or does not end in time.
    """
    kept = {name: value for name, value in os.environ.items() if name not in OF_ANOTHER_REPOSITORY}
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
            env={**kept, **ENVIRONMENT},
        )
    except FileNotFoundError:
        raise SourceError("git is not installed. Install it, or compare with files: --llm-baseline=files") from None
    except OSError as error:
        raise SourceError(f"git cannot be run: {error.strerror}.") from error
    except subprocess.TimeoutExpired:
        raise SourceError(
            f"git {arguments[0]} has not ended within {SECONDS:.0f} seconds. See why: git {shlex.join(arguments)}"
        ) from None


def _text_of(result: subprocess.CompletedProcess[bytes]) -> str:
    """Output of git without white space around it."""
    return os.fsdecode(result.stdout).strip()


def _lines_of(result: subprocess.CompletedProcess[bytes]) -> list[str]:
    """Lines of the output of git; none if it failed."""
    return os.fsdecode(result.stdout).split("\n")[:-1] if not result.returncode else []


def _complaint_of(result: subprocess.CompletedProcess[bytes]) -> str:
    """The first line of git's error message."""
    complaint = result.stderr.decode("utf-8", "replace").strip().removeprefix("fatal: ")
    return complaint.partition("\n")[0] or f"git exited with status {result.returncode}"
