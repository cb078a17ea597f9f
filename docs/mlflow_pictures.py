"""Takes the pictures of MLflow's UI: a real run of the example suite, `mlflow ui` over its store, a real browser.

python docs/mlflow_pictures.py
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from screens import browser, environment, run_suite, save

if TYPE_CHECKING:
    from tests.browser.chromium import Chromium

EXPERIMENT = "compare_small_models"
PATIENCE = 120.0  # seconds
WIDTH, HEIGHT, LOW, HIGH = 1440, 800, 440, 960
SETTLED = 2.0  # seconds, until what was asked for is drawn
LAST, DRIFTED = "log_model_tiny-bloom", "log_model_tiny-gpt2"
METRICS = ("verdict/drift_rate", "verdict/shift_rate", "margin/max", "token_count/sum")
COLUMNS = ["attributes.`Models`", *(f"metrics.`{name}`" for name in METRICS)]
"""Columns of the list of runs."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """`mlflow ui` in a folder, on this machine alone, until the block ends; its address.

    Raises:
        RuntimeError: It does not answer.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    log = folder / "ui.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, cwd=folder, env=environment(), stdout=output, stderr=output, start_new_session=True
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/health", log)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(PATIENCE)


def wait_for(address: str, log: Path) -> None:
    """Wait until a server answers.

    Raises:
        RuntimeError: It does not.
    """
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(address, timeout=5):  # noqa: S310 - our own server
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.25)
    raise RuntimeError(f"mlflow ui did not answer in {PATIENCE:g} s:\n{log.read_text()}")


def ask(address: str, question: str) -> Any:
    """What the server answers to a question of its page's kind."""
    with urllib.request.urlopen(f"{address}/ajax-api/2.0/mlflow/{question}") as answer:  # noqa: S310 - our own server
        return json.load(answer)


def arrange(shown: Chromium, experiment: str, *, answers: bool = False) -> None:
    """Set what a person would click together: which columns the list has, whether answers have all the room."""
    state = f'MLflowLocalStorage-1.1-ExperimentPage-["{experiment}"]-ReactComponentState'
    chosen = {"selectedColumns": COLUMNS, "runListHidden": answers}
    shown.js(
        f"{{ const name = {json.dumps(state)};"
        f" localStorage[name] = JSON.stringify({{...JSON.parse(localStorage[name]), ...{json.dumps(chosen)}}});"
        " localStorage['mlflow.assistant.panelOpen_v1'] = 'false'; }"
    )


def go(shown: Chromium, address: str, text: str) -> None:
    """Open a page of the UI, and wait until it shows a text."""
    shown.send("Page.navigate", url="about:blank")
    shown.send("Page.navigate", url=address)
    shown.wait(f"document.body?.innerText.includes({json.dumps(text)})")
    time.sleep(SETTLED)


def main() -> None:
    """Take the pictures anew."""
    with tempfile.TemporaryDirectory() as above:
        folder = Path(above) / "example_suite"
        run_suite(folder, "test_compare_small_models.py")
        with served(folder) as address, browser() as shown:
            take(shown, address)


def take(shown: Chromium, address: str) -> None:
    """Go through the UI and take each picture."""
    found = ask(address, f"experiments/get-by-name?experiment_name={EXPERIMENT}")["experiment"]["experiment_id"]
    page = f"{address}/#/experiments/{found}"
    shown.look(width=WIDTH, height=HEIGHT)
    shown.send("Page.navigate", url=page)
    time.sleep(10 * SETTLED)  # the first page of a server takes long
    go(shown, f"{page}/runs?workflowType=machine_learning", LAST)
    arrange(shown, found)
    shown.look(width=WIDTH, height=LOW)
    go(shown, f"{page}/runs?workflowType=machine_learning", LAST)
    save(shown, "mlflow-runs.png")
    arrange(shown, found, answers=True)
    shown.look(width=WIDTH, height=HIGH)
    go(shown, f"{page}/runs?compareRunsMode=ARTIFACT", "eval_results_table.json")
    save(shown, "mlflow-compare.png")
    shown.look(width=WIDTH, height=HEIGHT)
    arrange(shown, found)
    go(shown, f"{page}/runs?workflowType=machine_learning", LAST)
    link = f"[...document.querySelectorAll('a')].find(link => link.innerText === {json.dumps(DRIFTED)}).href"
    go(shown, str(shown.js(link)), "verdict/drift_rate")
    save(shown, "mlflow-run.png")


if __name__ == "__main__":
    main()
