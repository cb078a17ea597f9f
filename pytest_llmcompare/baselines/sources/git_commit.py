"""`git:REF`: baselines of a commit instead of the working tree, so that a change cannot edit what it is judged by."""

from __future__ import annotations

import os
import posixpath
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_llmcompare.baselines.document import DamagedFileError
from pytest_llmcompare.baselines.paths import FOLDER, GroupFiles
from pytest_llmcompare.baselines.store import BaselineSet
from pytest_llmcompare.errors import SourceError
from pytest_llmcompare.records import Case, GroupKey

from .git import Repository, repository_of

SHOWN = 8  # digits of a commit


@dataclass(frozen=True)
class GitBaselines:
    """The baselines of a commit.

    Attributes:
        repository: The repository.
        ref: The branch, tag or commit that the user named.
        pinned: Hash of the commit.
    """

    repository: Repository
    ref: str
    pinned: str

    @property
    def title(self) -> str:
        """Name for the header and messages."""
        return f"git:{self.ref}" if self.ref == self.pinned else f"git:{self.ref} ({self.pinned[:SHOWN]})"

    @property
    def copying(self) -> str:
        """The command that copies the commit's baselines into the working tree."""
        below = f":(top,glob){self.repository.prefix}**/{FOLDER}/**"
        return f"git checkout {shlex.quote(self.ref)} -- {shlex.quote(below)}"

    def load(self, group: GroupKey, cases: Sequence[Case]) -> BaselineSet:
        """The baselines of a group in the commit.

        Raises:
            BaselineError: The file is damaged in the commit.
            SourceError: git cannot read it, or it is outside the repository.
        """
        del cases  # their rows are in the file
        try:
            files = GroupFiles(self.repository.root, group, self)
            stored = files.read()
        except DamagedFileError as error:
            raise error.elsewhere("Fix it there, or compare with another commit: git:REF") from None
        path = self.path_in_tree(files.path)
        lacks = f"has no {path}" if stored is None else f"has no baseline for this case in {path}"
        lacking = f"{self.title} {lacks}\n  Record it, and commit it to {self.ref}."
        if stored is None:
            return BaselineSet(lacking=lacking)
        conflicts = {row: f"{files.source}, {conflict.where}" for row, conflict in stored.document.conflicts.items()}
        return BaselineSet(None, stored.baselines, conflicts, stored.warnings_elsewhere, lacking)

    def names(self, folder: Path) -> list[str]:
        """Names in a folder of the commit."""
        return self.repository.names(self.pinned, self.path_in_tree(folder))

    def content(self, path: Path) -> bytes | None:
        """Content of a file of the commit; None if there is none."""
        if path.name not in self.names(path.parent):
            return None
        return self.repository.content(self.pinned, self.path_in_tree(path))

    def shown(self, path: Path, root: Path) -> str:
        """Name of a file for messages, as in git: `REF:PATH`."""
        del root  # the repository's own counts
        return f"{self.ref}:{self.path_in_tree(path)}"

    def path_in_tree(self, path: Path) -> str:
        """Path of a file from the repository's top folder.

        Raises:
            SourceError: It is outside the repository.
        """
        below = Path(os.path.relpath(path, self.repository.root)).as_posix()
        path_in_tree = posixpath.normpath(posixpath.join(self.repository.prefix, below))
        if path_in_tree.startswith("../"):
            raise SourceError(
                f"{path} is outside of the git repository of {self.repository.root}, so no commit of it has that file."
            )
        return path_in_tree


def open_commit(root: Path, ref: str, pinned: str) -> GitBaselines:
    """Open the baselines of a commit.

    Args:
        root: pytest's root folder.
        ref: A branch, a tag or a commit.
        pinned: The commit that another process of this run has resolved it to; else empty.

    Raises:
        SourceError: There is no such commit, no repository or no git.
    """
    repository = repository_of(root)
    return GitBaselines(repository, ref, pinned or repository.commit(ref))
