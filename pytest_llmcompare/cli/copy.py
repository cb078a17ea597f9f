"""`llmcompare copy`: make the outputs that an MLflow run has stored the baselines in the files."""

from __future__ import annotations

import os
from pathlib import Path

import click

from pytest_llmcompare.baselines import store
from pytest_llmcompare.baselines.sources.mlflow_run import RunContent, open_run
from pytest_llmcompare.errors import BaselineError, UsageError
from pytest_llmcompare.models.pyproject_file import read_config
from pytest_llmcompare.records import GroupKey
from pytest_llmcompare.text import disarm

from .project_root import CONFIG, pending_root, root_option, shown_path


@click.command(epilog="Example: llmcompare copy runs:/7f3a9c0d --model tiny")
@click.argument("source", metavar="runs:/ID")
@click.option("--model", metavar="NAME", help="whose baselines they become (default: the run's own model)")
@click.option("--tracking-uri", metavar="URI", help="MLflow tracking store (default: that of a pytest run here)")
@root_option
def copy(source: str, model: str | None, tracking_uri: str | None, root: str | None) -> int:
    """Make the outputs of an MLflow run the baselines.

    The run must be one that pytest-llmcompare logged. Its outputs are written to the baseline file of their table.
    Baselines of rows that are not in the run stay; nothing is deleted.
    """
    from pytest_llmcompare.evaluation.tracking_store import Store

    folder = pending_root(root)
    run = open_run(source)
    with Store(tracking_uri or default_tracking_uri(folder), Path.cwd()).used():
        kept = run.content()
    if kept.outputs is None:
        raise BaselineError(
            f"{run.title} has only the texts, not what was asked, so they cannot become baselines.\n"
            "Record anew: pytest --llm-update"
        )
    group = GroupKey(table_folder(folder, kept, run.title), kept.table, model or kept.model)
    report = store.update(folder, group, list(kept.outputs.baselines.values()), refresh=True)
    print(disarm(f"{shown_path(report.path)}: {report.counts or 'unchanged'}"))
    return 0


def table_folder(root: Path, kept: RunContent, title: str) -> str:
    """Return the folder of the tests whose outputs a run has.

    Raises:
        BaselineError: This project has no such folder.
    """
    folder = Path(os.path.normpath(root / kept.folder))
    if not kept.folder or not folder.is_relative_to(root) or not folder.is_dir():
        raise BaselineError(
            f"{title}: the tests of table {kept.table!r} were in folder {kept.folder!r}, which is not in {root}. "
            "Name pytest's root folder: --root=FOLDER"
        )
    return kept.folder


def default_tracking_uri(root: Path) -> str:
    """Return the tracking URI that pytest would use here; empty for MLflow's own default.

    Raises:
        UsageError: `pyproject.toml` cannot be read.
    """
    uri = os.environ.get("LLMCOMPARE_TRACKING_URI") or read_config(root / CONFIG).get("tracking_uri", "")
    if not isinstance(uri, str):
        raise UsageError(f"[tool.llmcompare] in {root / CONFIG}: tracking_uri = {uri!r}, expected text.")
    return uri
