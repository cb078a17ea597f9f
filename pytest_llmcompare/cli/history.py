"""`llmcompare history`: how the models of a table have changed, from the runs in MLflow."""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from pytest_llmcompare.baselines import atomic_write
from pytest_llmcompare.comparison.history import histories, known_metrics, metric_names
from pytest_llmcompare.errors import ReportError, TrackingError, UsageError, did_you_mean
from pytest_llmcompare.models.pyproject_file import read_config
from pytest_llmcompare.models.warning_filters import library_warnings_ignored
from pytest_llmcompare.reports.history_lines import history_lines
from pytest_llmcompare.reports.history_page import history_page
from pytest_llmcompare.reports.style import Page
from pytest_llmcompare.settings import check_file

from .project_root import CONFIG, find_root

AGO = re.compile(r"(\d+)\s*([hdw])")
SECONDS = {"h": 3600, "d": 86400, "w": 7 * 86400}
COLOURS = ("yellow", "red", "green")


@click.command(epilog="Example: llmcompare history trivia --since 30d --html history.html")
@click.argument("table", metavar="TABLE")
@click.option("--model", default="", metavar="NAME", help="only this model")
@click.option(
    "--since", default="", metavar="DATE|TIME", help="only runs from 2026-11-01 on, or of the last 30d, 12h, 2w"
)
@click.option("--metric", "metrics", multiple=True, metavar="NAME", help="show this metric of MLflow; may be repeated")
@click.option("--html", metavar="FILE", type=click.Path(path_type=Path), help="write a page with curves, too")
@click.option("--tracking-uri", default="", metavar="URI", help="MLflow's store (default: as in a run of pytest)")
@click.option("--root", metavar="FOLDER", help=f"folder with {CONFIG} (default: the nearest one upwards)")
def history(
    table: str,
    *,
    model: str,
    since: str,
    metrics: Sequence[str],
    html: Path | None,
    tracking_uri: str,
    root: str | None,
) -> int:
    """Show how the models of a table have changed, commit by commit.

    TABLE is the name of a prompt table, after the folder of its tests if several have that name: tests/trivia. Drift
    rate, model verdict and metrics are those of the newest run at each commit in MLflow.
    """
    folder = find_root(root, CONFIG)
    start = seconds_of(since) if since else 0.0
    with library_warnings_ignored():
        from pytest_llmcompare.evaluation.past_runs import past_runs

        uri = tracking_uri or configured_uri(folder)
        models = histories(past_runs(table, uri=uri, started=folder, since=start, model=model))
    if not models:
        raise TrackingError(f"table {table!r} has no run since {since}. Leave out --since to see older ones.")
    for metric in metrics:
        if metric not in (held := metric_names(models)):
            raise UsageError(f"--metric {metric!r}: no run of {table!r} has it.{did_you_mean(metric, held)}")
    shown = known_metrics(models, metrics)
    page = Page(shutil.get_terminal_size().columns, sys.stdout.encoding or "utf-8")
    for line in history_lines(models, shown, page):
        colour = next((colour for colour in COLOURS if line.markup.get(colour)), None)
        click.secho(line.text, fg=colour, bold=line.markup.get("bold"))
    if html is not None:
        write(html, history_page(table, models, shown))
    return 0


def write(path: Path, page: str) -> None:
    """Write the page.

    Raises:
        ReportError: The file cannot be written.
    """
    try:
        atomic_write.replace({path: page.encode("utf-8", "backslashreplace")})
    except OSError as error:
        raise ReportError(f"{path} cannot be written: {error.strerror}.") from None
    print(f"history: {path}")


def configured_uri(root: Path) -> str:
    """The tracking store that a run of pytest would take; empty for what MLflow's own rules give.

    Raises:
        UsageError: The project's settings are wrong.
    """
    table = read_config(root / CONFIG)
    check_file(table, f"[tool.llmcompare] in {root / CONFIG}")
    return os.environ.get("LLMCOMPARE_TRACKING_URI", "") or str(table.get("tracking_uri", ""))


def seconds_of(since: str) -> float:
    """A date, or how long ago, as seconds since 1970.

    Raises:
        UsageError: It is neither.
    """
    if match := AGO.fullmatch(since.strip()):
        return time.time() - int(match[1]) * SECONDS[match[2]]
    try:
        when = datetime.fromisoformat(since.strip())
    except ValueError:
        raise UsageError(f"--since {since!r}: expected a date such as 2026-11-01, or 30d, 12h, 2w.") from None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
