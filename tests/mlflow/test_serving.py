"""Logged pyfuncs behind `mlflow models serve`: the answers over HTTP are those of this process."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import pandas as pd
import pytest

from pytest_llmcompare.evaluation import model_logging
from pytest_llmcompare.evaluation.pyfunc import HeldTransformer, PyfuncTransformer, PyfuncTransformerWithParams
from tests.platforms import needs_signals
from tests.stores import in_force

if TYPE_CHECKING:
    from .conftest import Store

QUESTIONS = ["Q: What color is the sky?\nA:", "Q: Are trees plants or animals?\nA:", "Q: What is 2+2?\nA:"]
EXAMPLES = "Q: Is fire hot?\nA: Yes.\n\n"
SAMPLED = json.dumps({"do_sample": True, "top_k": 10, "max_new_tokens": 8})
PATIENCE = 120.0  # seconds until a server has to be up

pytestmark = [pytest.mark.slow, needs_signals]  # the server's processes are ended as a group


@dataclass(frozen=True)
class Server:
    """A server, where it is, and the pyfunc that it serves."""

    address: str
    uri: str
    model: HeldTransformer

    def ask(self, body: Any) -> tuple[int, Any]:
        """Status and answer for a body."""
        request = urllib.request.Request(
            f"{self.address}/invocations", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


def wait_until_up(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    """Wait for the server to say that it is well."""
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{address}/ping", timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"the server did not come up:\n{log.read_text()}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the server with its workers."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
            return


@pytest.fixture(scope="module", params=["plain", "with_params"])
def server(
    request: pytest.FixtureRequest,
    made_store: Store,
    gpt2: str,
    tmp_path_factory: Any,
    warm_interpreter: Callable[[], str],
) -> Iterator[Server]:
    """A server of a logged pyfunc, started in another folder as a user would, and stopped with all its processes."""
    models: dict[str, HeldTransformer] = {
        "plain": PyfuncTransformer(gpt2, {"max_new_tokens": 10}, EXAMPLES),
        "with_params": PyfuncTransformerWithParams(gpt2),
    }
    model = models[request.param]
    with in_force(made_store.uri), mlflow.start_run(experiment_id=made_store.experiment):
        uri = model_logging.log(model, "served").model_uri
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("serve")
    log = folder / "log.txt"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", uri, "--env-manager", "local"]
    # MLflow starts uvicorn by its name.
    folders = [str(Path(python).parent) for python in (warm_interpreter(), sys.executable)]
    path = os.pathsep.join([*folders, os.environ.get("PATH", "")])
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "-h", "127.0.0.1", "-p", str(port)],
            cwd=folder,
            env={**os.environ, "MLFLOW_TRACKING_URI": made_store.uri, "PATH": path, "OMP_NUM_THREADS": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            wait_until_up(process, f"http://127.0.0.1:{port}", log)
            yield Server(f"http://127.0.0.1:{port}", uri, model)
        finally:
            stop(process)


def rows_for(server: Server) -> list[dict[str, Any]]:
    """Rows that use what the served pyfunc takes."""
    rows: list[dict[str, Any]] = [{"input_text": text} for text in QUESTIONS]
    if isinstance(server.model, PyfuncTransformerWithParams):
        for seed, row in enumerate(rows):
            row.update(few_shot_examples=EXAMPLES, config_dict=SAMPLED, seed=seed)
    return rows


def test_every_form_of_request(server: Server) -> None:
    """Each form of request that MLflow documents is answered, with the texts of a prediction in this process."""
    frame = pd.DataFrame(rows_for(server))
    expected = server.model.predict(None, frame)
    assert len(set(expected)) == 3
    bodies: dict[str, Any] = {
        "dataframe_split": frame.to_dict("split", index=False),
        "dataframe_records": rows_for(server),
        "inputs": frame.to_dict("list"),
        "instances": rows_for(server),
    }
    if isinstance(server.model, PyfuncTransformer):  # it wants texts, which need no column
        bodies["inputs"] = bodies["instances"] = list(QUESTIONS)
    for form, body in bodies.items():
        assert server.ask({form: body}) == (200, {"predictions": expected}), form


def test_input_example_is_servable(server: Server, store: Store) -> None:
    """The example that was stored with the model is a request as it stands."""
    folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=server.uri))
    status, answer = server.ask(json.loads((folder / "serving_input_example.json").read_text()))
    assert status == 200
    assert answer["predictions"][0].startswith(" The sky is blue.")


def test_a_request_without_prompts_is_refused(server: Server) -> None:
    """It is answered with what is missing, and the server goes on."""
    body: dict[str, Any] = {"dataframe_records": [{"question": "Q: Is it?\nA:"}]}
    missing = "Model is missing inputs ['input_text']"
    if isinstance(server.model, PyfuncTransformer):
        body, missing = {"dataframe_split": {"columns": [], "data": [[]]}}, "Model inference is missing inputs"
    status, answer = server.ask(body)
    assert status == 400
    assert missing in answer["message"]
    assert server.ask({"dataframe_records": [{"input_text": QUESTIONS[0]}]})[0] == 200


def test_faulty_row_is_named(server: Server) -> None:
    """A row that cannot be answered is named in the server's answer."""
    rows = rows_for(server)
    rows[1]["input_text"] = "Q: " * 600
    status, answer = server.ask({"dataframe_records": rows})
    assert status == 400
    assert "row 2 of 3: model 'tiny-gpt2': " in json.dumps(answer)
