"""`llmcompare copy`: what an MLflow run keeps of a model's outputs becomes the baselines in the files."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from pytest_llmcompare.baselines import store
from pytest_llmcompare.baselines.sources.mlflow_run import RunContent, open_run
from pytest_llmcompare.errors import BaselineError, UsageError
from pytest_llmcompare.models.config_file import read_file
from pytest_llmcompare.records import GroupKey
from pytest_llmcompare.text import disarm

from .project_root import CONFIG, Commands, add_root, pending_root, shown


def add(commands: Commands) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "copy",
        help="make the outputs of an MLflow run the baselines",
        description="Write what a model said in an MLflow run of ours into the baseline file of its table. Baselines "
        "of rows that the run did not ask stay; nothing is deleted.",
    )
    command.add_argument("source", metavar="runs:/ID", help="the run")
    command.add_argument("--model", metavar="NAME", help="whose baselines they become (default: the run's own model)")
    command.add_argument("--tracking-uri", metavar="URI", help="MLflow tracking store (default: that of a run here)")
    add_root(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command.

    Raises:
        UsageError: What is to be copied is no run.
        BaselineError: The run keeps nothing that can be a baseline, or the file cannot be written.
        TrackingError: The tracking store does not answer.
    """
    from pytest_llmcompare.evaluation.tracking import Store

    root = pending_root(options.root)
    source = open_run(options.source)
    with Store(options.tracking_uri or tracking_uri(root), Path.cwd()).used():
        kept = source.content()
    if kept.outputs is None:
        raise BaselineError(
            f"{source.title} keeps texts alone, without what was asked, so they cannot become baselines.\n"
            "Record anew: pytest --llm-update"
        )
    group = GroupKey(folder_in(root, kept, source.title), kept.table, options.model or kept.model)
    report = store.update(root, group, list(kept.outputs.baselines.values()), refresh=True)
    print(disarm(f"{shown(report.path)}: {report.counts or 'all as it was'}"))
    return 0


def folder_in(root: Path, kept: RunContent, title: str) -> str:
    """The folder of a run's table.

    Raises:
        BaselineError: There is none in this project.
    """
    folder = Path(os.path.normpath(root / kept.folder))
    if not kept.folder or not folder.is_relative_to(root) or not folder.is_dir():
        raise BaselineError(
            f"{title}: the tests of table {kept.table!r} were in folder {kept.folder!r}, which is not in {root}. "
            "Name pytest's root folder: --root=FOLDER"
        )
    return kept.folder


def tracking_uri(root: Path) -> str:
    """The tracking store that a run of pytest would take here; empty for MLflow's own rules.

    Raises:
        UsageError: `pyproject.toml` cannot be read.
    """
    found = os.environ.get("LLMCOMPARE_TRACKING_URI") or read_file(root / CONFIG).get("tracking_uri", "")
    if not isinstance(found, str):
        raise UsageError(f"[tool.llmcompare] in {root / CONFIG}: tracking_uri = {found!r}, expected text.")
    return found
