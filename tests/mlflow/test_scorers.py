"""Scorers of `mlflow.genai` in `metrics=`: code-based ones and a judge, beside classic metrics."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from .evaluations import Suite, made_template, suite

__all__ = ["made_template", "suite"]

SCORERS = """
import pytest
from mlflow.entities import Feedback
from mlflow.genai.scorers import scorer

@scorer
def polite(outputs):
    return "sorry" not in outputs

@scorer(aggregations=["min", "max"])
def words(inputs, outputs, expectations):
    assert inputs == {"input_text": "Q: What color is the sky?"} or "snow" in inputs["input_text"]
    assert expectations["topic"] == "colors"
    return len(expectations["expected_response"].split())

@scorer
def kinds(outputs):
    return [Feedback(name="tone", value="calm"), Feedback(name="is it short?", value="yes", rationale="few words")]

@scorer(pass_if=lambda value: value > 3)
def broken_on_snow(inputs, outputs):
    if "snow" in inputs["input_text"]:
        raise ValueError("no snow today")
    return 4

ROWS = [
    {"id": "sky", "prompt": "Q: What color is the sky?", "target": "The sky is blue.", "topic": "colors"},
    {"id": "snow", "prompt": "Q: What color is snow?", "target": "White.", "topic": "colors"},
]

@pytest.mark.llm_prompts(ROWS, name="colors", model_type=None, METRICS)
def test_colors(llm_output):
    assert llm_output
"""


def test_scorers_beside_classic_metrics(suite: Suite) -> None:
    """Their values are scores of rows and metrics of the table; those that fail cost themselves alone."""
    asked = "metrics=['exact_match', polite, words, kinds, broken_on_snow]"
    suite.pytester.makepyfile(test_colors=SCORERS.replace("METRICS", asked))
    result = suite.run("m=echo:")
    result.assert_outcomes(passed=2)
    shown = " ".join(result.stdout.str().split())
    assert "scorer 'broken_on_snow' failed on 1 of 2 outputs, so it has no metric: ValueError: no snow today" in shown
    metrics = suite.only_run("colors").data.metrics
    assert {name: value for name, value in metrics.items() if name.startswith(("polite", "words", "is", "broken"))} == {
        "polite/mean": 1,
        "polite/pass_rate": 1,
        "words/min": 1,
        "words/max": 4,
        "is it short_/mean": 1,
        "is it short_/pass_rate": 1,
    }
    assert "exact_match/v1" in metrics
    table = suite.table("colors")
    assert list(table["words/score"]) == [4, 1]
    assert list(table["tone/score"]) == ["calm"] * 2
    assert list(table["is it short_/justification"]) == ["few words"] * 2
    assert list(table["broken_on_snow/score"].fillna(-1)) == [4, -1]


def test_thresholds_on_scorers(suite: Suite) -> None:
    """A rate that is too low fails the run, and so does one that could not be computed."""
    wanted = "metrics=[words, broken_on_snow], thresholds={'words/min': '>=2', 'broken_on_snow/pass_rate': '>=0.5'}"
    suite.pytester.makepyfile(test_colors=SCORERS.replace("METRICS", wanted))
    result = suite.run("m=echo:", args=())
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    text = " ".join(result.stdout.str().split())
    assert "words/min is 1 over 2 cases, wanted >=2" in text
    assert "broken_on_snow/pass_rate" in text


@pytest.mark.parametrize(
    ("code", "lacks"),
    [
        ("@scorer\ndef traced(trace):\n    return True", "'traced', which needs a trace"),
        ("@scorer\ndef whole(session):\n    return True", "'whole', which needs a session"),
    ],
)
def test_scorers_that_need_more_than_a_row(suite: Suite, code: str, lacks: str) -> None:
    """They are refused with what they need and what there is."""
    name = code.partition("def ")[2].partition("(")[0]
    text = SCORERS.replace("METRICS", f"metrics=[{name}]").replace("ROWS = [", f"{code}\n\nROWS = [")
    suite.pytester.makepyfile(test_colors=text)
    result = suite.run("m=echo:")
    result.assert_outcomes(errors=2)
    assert f"{lacks}. Expected one that takes inputs, outputs or expectations" in " ".join(result.stdout.str().split())


class Judge(BaseHTTPRequestHandler):
    """Answers as a chat model that follows the judge's instructions: no if the prompt asks about snow."""

    def do_POST(self) -> None:
        """Answer a request."""
        asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
        verdict = {"rationale": "it is blue", "result": "no" if "color is snow" in asked else "yes"}
        message = {"role": "assistant", "content": json.dumps(verdict)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        answer = {"id": "1", "object": "chat.completion", "created": 0, "model": "judge", "choices": [choice]}
        body = json.dumps({**answer, "usage": usage}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        """Print nothing."""


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server that judges; MLflow asks it as it asks OpenAI."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Judge) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("OPENAI_API_BASE", f"http://127.0.0.1:{server.server_port}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        monkeypatch.setenv("MLFLOW_MODEL_CATALOG_URI", "")  # MLflow would look for prices of models on the internet
        yield
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("judge")
def test_judges(suite: Suite) -> None:
    """A judge of MLflow asks the model that the user names, and its rationale stands beside the output."""
    judged = (
        "metrics=[__import__('mlflow').genai.scorers.Guidelines(name='about_sky', guidelines='It is about the sky.',"
        " model='openai:/judge')]"
    )
    suite.pytester.makepyfile(test_colors=SCORERS.replace("METRICS", judged))
    suite.run("m=echo:").assert_outcomes(passed=2)
    assert suite.only_run("colors").data.metrics["about_sky/pass_rate"] == 0.5
    table = suite.table("colors")
    assert list(table["about_sky/score"]) == [1, 0]
    assert list(table["about_sky/justification"]) == ["it is blue"] * 2
