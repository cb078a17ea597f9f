"""What stands above the results of an HTML report: facts of the run, and where MLflow shows it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from pytest_llmcompare.records import GroupKey, GroupResult, MlflowRun
from pytest_llmcompare.reports.page_header import header_of, identity_items

from .runs import drawn, mixed

RUN = GroupResult(GroupKey("tests", "zoo", "small"), mlflow=MlflowRun("r", "", "7", "sqlite:////db"))


def run_in(store: str) -> GroupResult:
    """The same run in another store."""
    return dataclasses.replace(RUN, mlflow=dataclasses.replace(RUN.mlflow, tracking_uri=store))


def items_of(*groups: GroupResult) -> list[dict[str, Any]]:
    """Where MLflow shows groups, as the page tells it."""
    return [item for item in identity_items(drawn(mixed(), groups)) if item["name"].startswith("MLflow")]


def pages(base: str) -> list[tuple[str, str]]:
    """The pages of experiment 7."""
    address = f"{base}/#/experiments/7/runs?"
    return [
        ("runs", f"{address}workflowType=machine_learning"),
        ("answers side by side", f"{address}compareRunsMode=ARTIFACT"),
    ]


@pytest.mark.parametrize("base", ["http://mlflow.example:5000", "https://example.org/mlflow"])
def test_a_server_is_linked(base: str) -> None:
    """To the runs of the experiment, and to their answers side by side."""
    assert items_of(run_in(f"{base}/")) == [{"name": "MLflow", "text": "", "links": pages(base)}]


def test_a_local_store_has_a_command() -> None:
    """It starts MLflow's pages; their addresses are texts, because nothing answers there before."""
    (item,) = items_of(RUN)
    assert item == {
        "name": "MLflow",
        "text": "\n".join(f"{words}: {address}" for words, address in pages("http://127.0.0.1:5000")),
        "command": "mlflow ui --backend-store-uri sqlite:////db",
    }


def test_experiments_are_told_apart() -> None:
    """By their tables."""
    other = GroupResult(GroupKey("tests", "farm", "small"), mlflow=dataclasses.replace(RUN.mlflow, experiment_id="8"))
    assert [item["name"] for item in items_of(RUN, other)] == ["MLflow: farm", "MLflow: zoo"]


@pytest.mark.parametrize("address", ["databricks", "databricks://profile@host"])
def test_a_store_without_known_pages(address: str) -> None:
    """It has no link."""
    assert not any("links" in item for item in items_of(run_in(address)))


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "data:text/html,<script>",
        "http://user:secret@example.org/#/experiments/7/runs",
        "https://example.org/?token=secret/#/experiments/7/runs",
        "https://***/#/experiments/7/runs",
        " https://example.org",
    ],
)
def test_no_other_address_becomes_a_link(address: str) -> None:
    """A saved report may hold anything: scripts and secrets are no links."""
    document = drawn(mixed())
    document["mlflow"] = [{"command": "", "address": address, "runs": address, "compare": address}]
    assert "secret" not in str(header_of(document))
    assert not any("links" in item for item in identity_items(document))


def test_reports_of_earlier_versions() -> None:
    """They lack some keys, and are drawn without."""
    document = drawn(mixed())
    for key in ("faults", "gates", "mlflow", "identity", "texts", "assertions", "model_verdicts"):
        document.pop(key)
    header = header_of(document)
    assert header["run"] == "This run · pytest --llm-models=small,large"
    assert (header["gates"], header["faults"], header["texts"]) == ([], [], "")
