"""Served models at level `path`, asked of a server with vLLM's answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_llmcompare.models.served import Address, ServerOptions
from pytest_llmcompare.serving.client import Client
from pytest_llmcompare.serving.server import Level, Question, Server
from tests.plugin.suites import Suite, says

from .test_llama import NAMES, verdicts
from .vllm_like import VllmLike

ROWS = [
    {"id": f"{thing}-{name}".lower(), "prompt": f"Q: What is the {thing} of {name}?\nA:"}
    for thing in ("capital", "color")
    for name in NAMES[:6]
]
TEST = """
import pytest

@pytest.mark.llm_prompts("trivia.jsonl", gen_config={"max_new_tokens": 24}, model_type=None)
def test_trivia(llm_output, llm_baseline):
    assert llm_output == llm_baseline
"""
GREEDY = {"do_sample": False, "max_new_tokens": 6}


def probed(vllm: VllmLike, **options: Any) -> Server:
    """The server after its probe."""
    server = Server(Client(Address("tiny-gpt2", vllm.url), ServerOptions(**options)))
    server.probe("m")
    return server


def spec(vllm: VllmLike) -> str:
    return f"m=openai:tiny-gpt2@{vllm.url}"


@pytest.mark.parametrize(
    ("what", "level", "alternatives", "requests"),
    [
        ({}, Level.PATH, 5, 1),
        ({"max_logprobs": 3}, Level.PATH, 3, 2),
        ({"max_logprobs": 1}, Level.PATH, 1, 2),
        ({"ignores": ["prompt_logprobs"]}, Level.OUTPUT, 5, 1),
        ({"ignores": ["return_token_ids"]}, Level.OUTPUT, 5, 1),
        ({"ignores": ["logprobs"]}, Level.TEXT, 0, 1),
        ({"refuses": ["logprobs"]}, Level.TEXT, 0, 3),
    ],
)
def test_the_level_follows_from_the_answer(
    vllm: VllmLike, what: dict[str, Any], level: Level, alternatives: int, requests: int
) -> None:
    """Not from what the server accepts; with fewer alternatives where it gives no more."""
    vllm.serve(**what)
    server = probed(vllm)
    assert (server.capabilities.level, server.capabilities.alternatives) == (level, alternatives)
    assert len(vllm.requests()) == requests
    assert server.ask(Question("Q: Is ice cold?\nA:", GREEDY)).text


def test_the_level_is_named_everywhere(suite: Suite, vllm: VllmLike) -> None:
    """In the notes, the line of the model, the JSON report, MLflow and the baseline; a lower one later is a note."""
    suite.trivia(ROWS[:2], TEST)
    result = suite.run("--llm-update", "--llm-report=report.json", models=[spec(vllm)])
    result.assert_outcomes(passed=2)
    assert says(result, "model 'm': level path (vllm): compared by tokens, log-probs and margins")
    result.stdout.re_match_lines([r"model\s.*\slevel", r"m\s.*\spath"])
    assert b"level=path" in suite.stored()["__baselines__/trivia/m.baseline"]
    (run,) = suite.mlflow_runs()
    assert run.data.params["server.level"] == "path"
    report = json.loads((suite.path / "report.json").read_text(encoding="utf-8"))
    assert report["models"][0]["level"] == report["groups"][0]["level"] == "path"
    assert verdicts(suite, models=[spec(vllm)]) == {"identical": 2}
    for ignored, level in (("prompt_logprobs", "output"), ("logprobs", "text")):
        vllm.serve(ignores=[ignored])
        result = suite.run(models=[spec(vllm)])
        assert says(result, f"its baselines were recorded at level path, and today its server shows level {level} alone")
