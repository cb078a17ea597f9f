"""A group's outputs as artifacts of an MLflow run: the two baseline files, in the folder `llmcompare`.

`outputs.baseline` has texts, hashes of prompts and settings, and the environment; `outputs.tokens.jsonl` has token ids
and log-probabilities.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pytest_llmcompare.records import Baseline, GroupKey

from . import group_file
from .group_file import Contents
from .paths import TEXT_SUFFIX, TOKENS_SUFFIX, read_pair

FOLDER = "llmcompare"
TEXT, TOKENS = f"outputs{TEXT_SUFFIX}", f"outputs{TOKENS_SUFFIX}"


def write(folder: Path, group: GroupKey, outputs: Iterable[Baseline]) -> None:
    """Write a group's outputs into an empty folder."""
    whole = group_file.empty(group)
    for output in outputs:
        whole.put(output, refresh=False)
    (folder / TEXT).write_bytes(whole.text().encode())
    (folder / TOKENS).write_bytes(whole.tokens_text().encode())


def read(folder: Path, source: str) -> Contents | None:
    """Read the outputs that `write` wrote; None if it wrote none.

    Args:
        folder: The folder.
        source: Name of the folder for messages.

    Raises:
        BaselineError: It cannot be read.
    """
    return read_pair(folder / TEXT, folder / TOKENS, f"{source}/{TEXT}", f"{source}/{TOKENS}")
