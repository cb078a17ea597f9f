"""Opens the sources that come with the plugin, by what stands before the colon."""

from __future__ import annotations

from pathlib import Path

from pytest_llmcompare.errors import SourceError
from pytest_llmcompare.settings import FILES

from .protocol import BaselineReader, OutputsOf

FORMS = (FILES, "git:REF", "runs:/ID", "model:NAME")


def open_source(source: str, root: Path, pinned: str, outputs: OutputsOf) -> BaselineReader | None:
    """Open a source of baselines; None where it is none of ours.

    Args:
        source: What the user wrote.
        root: pytest's root folder.
        pinned: What the source stands for in this run, where another process of it has opened it already.
        outputs: Gives what a table and model of this run said.

    Raises:
        SourceError: It cannot be opened.
    """
    kind, colon, rest = source.partition(":")
    if source == FILES:
        from .files import FileBaselines

        return FileBaselines(root)
    if not colon or kind not in ("git", "runs", "model"):
        return None
    if kind == "git":
        from .git_commit import open_commit

        return open_commit(root, rest, pinned)
    if kind == "runs":
        from .mlflow_run import open_run

        return open_run(source)
    from .reference_model import ModelBaselines

    if not rest:
        raise SourceError("expected model:NAME, the name of one of the models of this run.")
    return ModelBaselines(rest, outputs)
