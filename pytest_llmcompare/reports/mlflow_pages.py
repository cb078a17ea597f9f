"""Where MLflow shows a run: the command that starts its pages, and their addresses. Pure.

MLflow opens an experiment on a page that is empty for evaluations; a fragment of the address leads to the runs.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from pytest_llmcompare.comparison.summary import MlflowPlace, Summary
from pytest_llmcompare.text import HIDDEN, without_secrets

SERVED = ("http://", "https://")
LOCAL = "http://127.0.0.1:5000"  # where `mlflow ui` listens
FRAGMENT = "/#/experiments/"
RUNS = "workflowType=machine_learning"  # one run of a model: the list of runs
SIDE_BY_SIDE = "compareRunsMode=ARTIFACT"  # several: their answers beside each other
PAGES = {"runs": RUNS, "compare": SIDE_BY_SIDE}


def ui_command(places: Sequence[MlflowPlace]) -> str:
    """The command that starts MLflow's pages over the store of a run; empty if a server shows them already."""
    address = places[0].tracking_uri
    if address.startswith(SERVED) or "://" not in address:
        return ""
    default = f"sqlite:///{Path.cwd() / 'mlflow.db'}"
    return "mlflow ui" if address == default else f"mlflow ui --backend-store-uri {shlex.quote(address)}"


def page_address(place: MlflowPlace, mode: str = "") -> str:
    """The address of the page with the runs of an experiment.

    Args:
        place: The experiment.
        mode: `RUNS` or `SIDE_BY_SIDE`; by default what shows most, the answers side by side if there are several runs.
    """
    base = place.tracking_uri.rstrip("/") if place.tracking_uri.startswith(SERVED) else LOCAL
    return f"{base}{FRAGMENT}{place.experiment_id}/runs?{mode or (SIDE_BY_SIDE if place.runs > 1 else RUNS)}"


def mlflow_places(summary: Summary) -> list[dict[str, str]]:
    """Where MLflow has the runs, as plain data: the command that starts its pages, if one is needed; addresses."""
    return [
        {
            "command": ui_command([place]),
            "address": page_address(place),
            "experiment_id": place.experiment_id,
            **{name: page_address(place, mode) if _has_pages(place) else "" for name, mode in PAGES.items()},
        }
        for place in summary.mlflow
    ]


def is_link(address: str) -> bool:
    """True if an address of MLflow's pages can be a link: on the web, and without a user, password or parameter."""
    server = address.partition(FRAGMENT)[0]
    return server.startswith(SERVED) and without_secrets(server) == server and HIDDEN not in server


def _has_pages(place: MlflowPlace) -> bool:
    """True if the address of the pages is known: of a server, or of a store that `mlflow ui` can show."""
    return "://" in place.tracking_uri
