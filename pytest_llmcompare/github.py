"""What a workflow on GitHub tells of itself: whether this is one, and how its files are named."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from .reports.annotations import Place

Location = tuple[str, int | None, str]
"""Where pytest says that a test stands: file relative to its root folder, line counted from 0, name."""


def on_github() -> bool:
    """Whether this is a step of a workflow."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


class Places:
    """Where tests stand in the repository.

    Attributes:
        root: pytest's root folder.
        locations: Where pytest says that tests stand, by node id.
    """

    def __init__(self, root: Path, locations: Mapping[str, Location]) -> None:
        self.root = root
        self.locations = locations

    def place(self, nodeid: str) -> Place | None:
        """Where a test stands; None where that is not in the repository, so that no other file is blamed."""
        file, line, _ = self.locations.get(nodeid, ("", None, ""))
        workspace = Path(os.path.realpath(os.environ.get("GITHUB_WORKSPACE") or self.root))
        path = Path(os.path.realpath(self.root / file))
        if not file or not path.is_relative_to(workspace):
            return None
        return Place(path.relative_to(workspace).as_posix(), (line or 0) + 1)
