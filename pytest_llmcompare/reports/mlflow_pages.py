"""Where MLflow shows a run: the command that starts its pages, and their addresses. Pure.

MLflow opens an experiment on a page that is empty for evaluations; a fragment of the address leads to the runs.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from pytest_llmcompare.comparison.summary import MlflowPlace, Summary

SERVED = ("http://", "https://")
LOCAL = "http://127.0.0.1:5000"  # where `mlflow ui` listens
RUNS = "workflowType=machine_learning"  # one run of a model: the list of runs
SIDE_BY_SIDE = "compareRunsMode=ARTIFACT"  # several: their answers beside each other


def ui_command(places: Sequence[MlflowPlace]) -> str:
    """The command that starts MLflow's pages over the store of a run; empty if a server shows them already."""
    address = places[0].tracking_uri
    if address.startswith(SERVED) or "://" not in address:
        return ""
    default = f"sqlite:///{Path.cwd() / 'mlflow.db'}"
    return "mlflow ui" if address == default else f"mlflow ui --backend-store-uri {shlex.quote(address)}"


def page_address(place: MlflowPlace) -> str:
    """The address of the page with the runs of an experiment; with several runs, with their answers side by side."""
    base = place.tracking_uri.rstrip("/") if place.tracking_uri.startswith(SERVED) else LOCAL
    return f"{base}/#/experiments/{place.experiment_id}/runs?{SIDE_BY_SIDE if place.runs > 1 else RUNS}"


def mlflow_places(summary: Summary) -> list[dict[str, str]]:
    """Where MLflow has the runs, as plain data: the command that starts its pages, if one is needed; the address."""
    return [{"command": ui_command([place]), "address": page_address(place)} for place in summary.mlflow]
